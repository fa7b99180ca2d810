"""Version: whether the server is new enough."""

from collections.abc import Iterator
from typing import Final

from revocation.doctor.finding import Finding, fine
from revocation.doctor.server import ExaminedServer

_OLDEST: Final = {"redis": (6, 2), "valkey": (8, 0)}


def version(server: ExaminedServer) -> Iterator[Finding]:
    """Whether the server is Redis 6.2 or Valkey 8, or a later one."""
    info = server.info
    mend = "install Redis 6.2 or later, or Valkey 8 or later"
    if info is None:
        yield Finding(
            "version", "unknown", "The server forbids INFO to this user.", "Older servers lack commands.", mend
        )
        return
    name = "valkey" if "valkey_version" in info else "redis"
    text = str(info.get(f"{name}_version", "0"))
    numbers = tuple(int(part) for part in text.split(".")[:2] if part.isdecimal())
    if numbers < _OLDEST[name]:
        yield Finding(
            "version",
            "problem",
            f"The server is {name.capitalize()} {text}.",
            "It lacks commands that the library needs.",
            mend,
        )
    else:
        yield fine("version", f"The server is {name.capitalize()} {text}.")
