"""Instants: this moment, and how the API shows and takes instants (RFC 3339, UTC, milliseconds)."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """This instant in UTC, in whole milliseconds."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def rfc3339(milliseconds: float) -> str:
    """Milliseconds since the epoch, written out."""
    instant = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def milliseconds(instant: datetime) -> int:
    """Milliseconds since the epoch."""
    return round(instant.timestamp() * 1000)
