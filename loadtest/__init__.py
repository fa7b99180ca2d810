"""What the deny-list costs, measured beside the alternatives: measure, store, present."""
