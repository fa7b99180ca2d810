"""How a deny-list is kept and followed in Redis."""
