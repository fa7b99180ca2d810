"""Ports on loopback for the servers of one test."""

import itertools
import os
import random
import socket

# Below what Linux gives to outgoing connections: between the choice and the server's start nobody else takes the port.
# The bus of a cluster's node listens 10,000 above its port.
_LOWEST, _HIGHEST = 10_000, 32_000
#: How many ports each process of the suite has to choose from.
_EACH = 1_000


def _own_ports() -> "itertools.cycle[int]":
    """The ports of this process, from a random one on: two suites at once seldom try the same."""
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = _LOWEST + process * _EACH % (_HIGHEST - _LOWEST)
    start = random.randrange(_EACH)
    return itertools.cycle([*range(first + start, first + _EACH), *range(first, first + start)])


_ports = _own_ports()


def free_port() -> int:
    """A loopback port that was free a moment ago, and that this process did not choose lately."""
    for port in itertools.islice(_ports, _EACH):
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError(f"none of {_EACH} ports from {_LOWEST} on is free")
