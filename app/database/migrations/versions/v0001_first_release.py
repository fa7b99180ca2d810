"""The tables of the first release, which kept no version: users, clients, audit."""

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Do nothing: the first release made its tables itself, and a new database begins with those of today."""
