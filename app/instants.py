"""Instants: this moment, and what the API takes as one (UTC, milliseconds)."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """This instant in UTC, in whole milliseconds."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def milliseconds(instant: datetime) -> int:
    """Milliseconds since the epoch."""
    return round(instant.timestamp() * 1000)
