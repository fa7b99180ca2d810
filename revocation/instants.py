"""Instants: how people and programs are shown them (RFC 3339, UTC)."""

from datetime import UTC, datetime


def rfc3339(milliseconds: float, *, timespec: str = "milliseconds") -> str:
    """Milliseconds since the epoch, written out."""
    instant = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return instant.isoformat(timespec=timespec).replace("+00:00", "Z")
