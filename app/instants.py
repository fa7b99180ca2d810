"""Instants as the API shows and takes them: RFC 3339, UTC, milliseconds."""

from datetime import UTC, datetime


def rfc3339(milliseconds: float) -> str:
    """Milliseconds since the epoch, written out."""
    instant = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def milliseconds(instant: datetime) -> int:
    """Milliseconds since the epoch."""
    return round(instant.timestamp() * 1000)
