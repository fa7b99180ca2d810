"""Loopback: whether what is sent to a host stays on this machine."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether it does, whatever a name service says: `localhost`, or an address of the loopback network."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
