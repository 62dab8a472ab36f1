"""Time-stamps over checkpoints, second signatures of statements, and which plants ask for them.

Revision: 0005, after 0004.
"""

import sqlalchemy as sa
from alembic import op

from webapp.models import UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "time_stamp",
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("size", name=op.f("pk_time_stamp")),
    )
    op.create_table(
        "second_signature",
        sa.Column("sid", sa.String(length=64), nullable=False),
        sa.Column("plant", sa.String(length=64), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sid", name=op.f("pk_second_signature")),
    )
    op.create_index(op.f("ix_second_signature_plant"), "second_signature", ["plant"])
    # In place: a plant's row cannot be dropped and made anew while others refer to it.
    op.add_column("plant", sa.Column("sm2_from", sa.BigInteger(), nullable=True))
    op.add_column("registry_key", sa.Column("sm2", sa.String(length=128), nullable=True))


def downgrade() -> None:
    op.drop_column("registry_key", "sm2")
    op.drop_column("plant", "sm2_from")
    op.drop_table("second_signature")
    op.drop_table("time_stamp")
