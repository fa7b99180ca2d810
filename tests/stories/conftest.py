"""The stories run on PostgreSQL, too."""

from tests.app.postgres import postgres_url

__all__ = ["postgres_url"]
