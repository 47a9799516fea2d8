"""What several control planes on one database tell each other, which of them leads, and which hosts are being emptied."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create their tables, and the hosts' column."""
    op.create_table(
        "changes",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
    )
    op.create_table(
        "leader",
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("plane", sa.String(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("term", sa.BigInteger(), nullable=False),
        sa.Column("beat", sa.BigInteger(), nullable=False),
    )
    op.add_column("agents", sa.Column("draining", sa.Boolean(), nullable=False, server_default=sa.false()))
