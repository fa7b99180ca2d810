"""Operator: the person at the terminal, as logs and audits record that person."""

import getpass
import socket


def operator() -> str:
    """The name of the person, after that of the system's user."""
    return f"operator {getpass.getuser()}"


def here() -> str:
    """The name of this machine, which stands where a request would leave its address."""
    return socket.gethostname()
