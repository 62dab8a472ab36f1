"""Failed logins are counted in the database, for all workers and across restarts.

Revision: 0003, after 0002.
"""

import sqlalchemy as sa
from alembic import op

from webapp.models import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "login_failure",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_login_failure")),
    )
    op.create_index("ix_login_failure_account", "login_failure", ["account", "at"])
    op.create_index("ix_login_failure_address", "login_failure", ["address", "at"])


def downgrade() -> None:
    op.drop_table("login_failure")
