"""Notifications that are to be delivered, and how far logs were."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Create their tables."""
    op.create_table(
        "notifications",
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("source_type", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_notifications_topic", "notifications", ["topic"])
    op.create_table(
        "log_cursors",
        sa.Column("node", sa.String(), primary_key=True),
        sa.Column("log_type", sa.String(), primary_key=True),
        sa.Column("topology", sa.String(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
    )
    op.create_index("ix_log_cursors_topology", "log_cursors", ["topology"])
