"""Users and user groups."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Create their tables."""
    for table in ("users", "user_groups"):
        op.create_table(
            table,
            sa.Column("account", sa.String(), primary_key=True),
            sa.Column("region", sa.String(), primary_key=True),
            sa.Column("name", sa.String(), primary_key=True),
            sa.Column("document", sa.Text(), nullable=False),
        )
