"""Checkpoints that enough witnesses cosigned, under the policy that was judged by.

Revision: 0004, after 0003.
"""

import sqlalchemy as sa
from alembic import op

from webapp.models import UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cosigned_checkpoint",
        sa.Column("policy", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("root", sa.String(length=64), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("cosigned_at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("policy", "size", name=op.f("pk_cosigned_checkpoint")),
    )


def downgrade() -> None:
    op.drop_table("cosigned_checkpoint")
