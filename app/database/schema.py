"""Schema: the tables in their versions, and the way from each version to the newest (Alembic)."""

from pathlib import Path

import sqlalchemy as sa

from app.database.errors import DatabaseUnavailableError
from app.database.rows import Base

#: By their numbers, which begin the names of their files.
_VERSIONS = sorted(path.stem[1:5] for path in (Path(__file__).parent / "migrations" / "versions").glob("v*.py"))

#: The first release kept no version: a database that has its tables and no version is of that release.
_FIRST, _NEWEST = _VERSIONS[0], _VERSIONS[-1]


def is_current(connection: sa.Connection) -> bool:
    """Whether the tables are those of this release.

    Raises DatabaseUnavailableError, which says what to do, for a database of a newer release, and for one that somebody
    changed by hand: neither may become an outage that begins later.
    """
    version = _version(connection)
    if version == _NEWEST:
        _check(connection)
        return True
    if version is not None and version not in _VERSIONS:
        raise DatabaseUnavailableError(
            f"The database has the schema {version} of a newer release, and this release knows none after {_NEWEST}. "
            "Start the newer release, or restore the backup from before its first start."
        )
    return False


def upgrade(connection: sa.Connection) -> None:
    """Make the tables those of this release, in the transaction of the connection. Raises what `is_current` raises.

    The caller keeps other processes from doing the same meanwhile.
    """
    if is_current(connection):
        return
    if _version(connection) is None and not sa.inspect(connection).has_table("users"):
        _create(connection)
        return
    # Only a process that upgrades needs Alembic; importing it takes half as long as importing all the rest.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "app.database:migrations")
    config.attributes["connection"] = connection
    if _version(connection) is None:
        command.stamp(config, _FIRST)
    command.upgrade(config, "head")
    _check(connection)


def _create(connection: sa.Connection) -> None:
    """Make the tables of a new database as they are today, and the note of Alembic that says so."""
    # A table of somebody else that has such a name is no table of this service.
    Base.metadata.create_all(connection, checkfirst=False)
    version = sa.Table("alembic_version", sa.MetaData(), sa.Column("version_num", sa.String(32), primary_key=True))
    version.create(connection, checkfirst=True)
    connection.execute(version.insert().values(version_num=_NEWEST))


def _version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return version


def _check(connection: sa.Connection) -> None:
    there = sa.inspect(connection)
    for table in Base.metadata.sorted_tables:
        columns = {column["name"] for column in there.get_columns(table.name)} if there.has_table(table.name) else set()
        missing = [column.name for column in table.columns if column.name not in columns]
        if missing:
            raise DatabaseUnavailableError(
                f"The table {table.name} lacks {', '.join(missing)}, which belongs to the schema {_NEWEST} that the "
                "database claims to have: somebody changed it by hand. Restore a backup, or add what is missing as "
                "app/database/migrations/versions does."
            )
