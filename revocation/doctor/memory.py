"""Memory: whether the server has room for new revocations."""

from collections.abc import Iterator
from typing import Final

from revocation.doctor.finding import Finding, fine
from revocation.doctor.server import ExaminedServer

#: The parts of the server's memory from which on the doctor warns, and from which on it sees a problem.
_TIGHT: Final = 0.7
_FULL: Final = 0.9


def memory(server: ExaminedServer) -> Iterator[Finding]:
    """Whether the server is nearly full: a full server accepts no revocation."""
    info = server.info
    why = "A full server that must not evict accepts no new revocation: logging out fails with 503."
    if info is None:
        yield Finding(
            "memory",
            "unknown",
            "The doctor cannot read the memory in use: the server forbids INFO to this user.",
            why,
            server.grant_info,
        )
        return
    used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    available = limit or int(info.get("total_system_memory", 0))
    bound = "maxmemory" if limit else "the machine's memory, without a limit"
    usage = f"The server uses {_megabytes(used)} of {_megabytes(available)} ({bound})."
    if not available or used < _TIGHT * available:
        yield fine("memory", usage if available else f"The server uses {_megabytes(used)}.")
        return
    mend = (
        server.mend("CONFIG", "SET", "maxmemory", str(2 * limit), everywhere=True)
        if limit
        else "give the machine more memory"
    )
    yield Finding("memory", "problem" if used >= _FULL * available else "warning", usage, why, mend)


def _megabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 10**9 else f"{count / 1e6:.1f} MB"
