"""Injected faults."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create their table."""
    op.create_table(
        "faults",
        sa.Column("fault", sa.String(), primary_key=True),
        sa.Column("account", sa.String(), nullable=False, index=True),
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False, index=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
    )
