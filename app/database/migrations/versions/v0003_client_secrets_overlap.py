"""A client's secret of before is good for a while."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add it, and until when."""
    op.add_column("clients", sa.Column("previous_secret_hash", sa.String(64), nullable=True))
    op.add_column("clients", sa.Column("previous_secret_until", sa.DateTime(timezone=True), nullable=True))
