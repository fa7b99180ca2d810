"""Users, clients and the audit trail in SQL: SQLite in a file, or PostgreSQL."""

from app.database.database import Database
from app.database.errors import DatabaseUnavailableError, InvalidValueError
from app.database.pool import MOST_CONNECTIONS
from app.database.rows import AuditPositionRow, AuditRow, Base, ClientRow, DebtRow, UserRow
from app.database.turns import in_background
from app.database.url import DATABASE_URLS, parse_database_url

__all__ = [
    "DATABASE_URLS",
    "MOST_CONNECTIONS",
    "AuditPositionRow",
    "AuditRow",
    "Base",
    "ClientRow",
    "Database",
    "DatabaseUnavailableError",
    "DebtRow",
    "InvalidValueError",
    "UserRow",
    "in_background",
    "parse_database_url",
]
