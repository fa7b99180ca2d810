"""The audit knows which line of the deny-list's log a record was copied from, and how far the log was copied."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add them, and what the audit is searched by.

    The id of a revocation is that of its line. The first release recorded a revocation itself, at times twice; the
    first of these records stands for the line.
    """
    op.add_column("audit", sa.Column("log_id", sa.String(100), nullable=True))
    op.execute(
        "UPDATE audit SET log_id = revocation_id WHERE id IN "
        "(SELECT MIN(id) FROM audit WHERE revocation_id IS NOT NULL GROUP BY revocation_id)"
    )
    op.create_index("ix_audit_log_id", "audit", ["log_id"], unique=True)
    for column in ("at", "actor", "target"):
        op.create_index(f"ix_audit_{column}", "audit", [column])
    op.create_table(
        "audit_positions",
        sa.Column("namespace", sa.String(200), primary_key=True),
        sa.Column("epoch", sa.String(64), nullable=False),
        sa.Column("log_id", sa.String(64), nullable=False),
    )
