"""The first schema.

Revision: 0001, the first.
"""

import sqlalchemy as sa
from alembic import op

from webapp.models import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "act",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("object", sa.String(length=200), nullable=False),
        sa.Column("plant", sa.String(length=64), nullable=True),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_act")),
    )
    with op.batch_alter_table("act", schema=None) as batch_op:
        batch_op.create_index("ix_act_plant_at", ["plant", "at"], unique=False)

    op.create_table(
        "checkpoint",
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("root", sa.String(length=64), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("signed_at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("size", name=op.f("pk_checkpoint")),
    )
    op.create_table(
        "content",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.String(length=100), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("added_at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_content")),
    )
    op.create_table(
        "entry_period",
        sa.Column("plant", sa.String(length=64), nullable=False),
        sa.Column("period", sa.String(length=7), nullable=False),
        sa.Column("idx", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("plant", "period", "idx", name=op.f("pk_entry_period")),
    )
    op.create_table(
        "fork_evidence",
        sa.Column("sid", sa.String(length=64), nullable=False),
        sa.Column("jws", sa.Text(), nullable=False),
        sa.Column("logged_sid", sa.String(length=64), nullable=False),
        sa.Column("logged_jws", sa.Text(), nullable=False),
        sa.Column("plant", sa.String(length=64), nullable=False),
        sa.Column("gw", sa.String(length=32), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sid", name=op.f("pk_fork_evidence")),
    )
    with op.batch_alter_table("fork_evidence", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_fork_evidence_plant"), ["plant"], unique=False)

    op.create_table(
        "gateway_chain",
        sa.Column("plant", sa.String(length=64), nullable=False),
        sa.Column("gw", sa.String(length=32), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("sid", sa.String(length=64), nullable=False),
        sa.Column("tree_end", sa.BigInteger(), nullable=False),
        sa.Column("tree_root", sa.String(length=64), nullable=False),
        sa.Column("anchor_size", sa.BigInteger(), nullable=False),
        sa.Column("boot", sa.String(length=64), nullable=False),
        sa.Column("mono", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("gw", "epoch", name=op.f("pk_gateway_chain")),
    )
    with op.batch_alter_table("gateway_chain", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_gateway_chain_plant"), ["plant"], unique=False)

    op.create_table(
        "held_statement",
        sa.Column("sid", sa.String(length=64), nullable=False),
        sa.Column("plant", sa.String(length=64), nullable=False),
        sa.Column("gw", sa.String(length=32), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("missing", sa.String(length=64), nullable=False),
        sa.Column("jws", sa.Text(), nullable=False),
        sa.Column("consistency", sa.JSON(), nullable=True),
        sa.Column("held_at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sid", name=op.f("pk_held_statement")),
    )
    with op.batch_alter_table("held_statement", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_held_statement_missing"), ["missing"], unique=False)
        batch_op.create_index(batch_op.f("ix_held_statement_plant"), ["plant"], unique=False)

    op.create_table(
        "live_sample",
        sa.Column("plant", sa.String(length=64), nullable=False),
        sa.Column("channel", sa.String(length=64), nullable=False),
        sa.Column("time", UtcDateTime(timezone=True), nullable=False),
        sa.Column("value", sa.String(length=64), nullable=True),
        sa.Column("unit", sa.String(length=32), nullable=False),
        sa.Column("flag", sa.String(length=2), nullable=False),
        sa.Column("gw", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("plant", "channel", "time", name=op.f("pk_live_sample")),
    )
    with op.batch_alter_table("live_sample", schema=None) as batch_op:
        batch_op.create_index("ix_live_sample_time", ["time"], unique=False)

    op.create_table(
        "log_entry",
        sa.Column("idx", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sid", sa.String(length=64), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("jws", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("plant", sa.String(length=64), nullable=False),
        sa.Column("gw", sa.String(length=32), nullable=True),
        sa.Column("epoch", sa.Integer(), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("tree_start", sa.BigInteger(), nullable=True),
        sa.Column("tree_end", sa.BigInteger(), nullable=True),
        sa.Column("subject", sa.String(length=64), nullable=True),
        sa.Column("kid", sa.String(length=43), nullable=False),
        sa.Column("received_at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("idx", name=op.f("pk_log_entry")),
        sa.UniqueConstraint("gw", "epoch", "seq", name=op.f("uq_log_entry_gw")),
        sa.UniqueConstraint("sid", name=op.f("uq_log_entry_sid")),
    )
    with op.batch_alter_table("log_entry", schema=None) as batch_op:
        batch_op.create_index("ix_log_entry_plant_idx", ["plant", "kind", "idx"], unique=False)
        batch_op.create_index("ix_log_entry_subject", ["subject", "kind"], unique=False)
        batch_op.create_index("ix_log_entry_tree", ["gw", "epoch", "tree_end"], unique=False)

    op.create_table(
        "log_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("turn", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_log_head")),
    )
    op.create_table(
        "plant",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name_zh", sa.String(length=200), nullable=False),
        sa.Column("name_en", sa.String(length=200), nullable=False),
        sa.Column("zone", sa.String(length=64), nullable=False),
        sa.Column("region", sa.String(length=12), nullable=False),
        sa.Column("sector", sa.String(length=32), nullable=False),
        sa.Column("plan_sha256", sa.String(length=64), nullable=False),
        sa.Column("parameters_id", sa.String(length=64), nullable=False),
        sa.Column("parameters_sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plant")),
    )
    with op.batch_alter_table("plant", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_plant_region"), ["region"], unique=False)

    op.create_table(
        "registry_key",
        sa.Column("kid", sa.String(length=43), nullable=False),
        sa.Column("jwk", sa.JSON(), nullable=False),
        sa.Column("nonce", sa.String(length=200), nullable=False),
        sa.Column("owner_type", sa.String(length=16), nullable=False),
        sa.Column("owner_id", sa.String(length=64), nullable=False),
        sa.Column("roles", sa.JSON(), nullable=False),
        sa.Column("plants", sa.JSON(), nullable=False),
        sa.Column("region", sa.String(length=12), nullable=True),
        sa.Column("custody", sa.String(length=16), nullable=False),
        sa.Column("from_index", sa.BigInteger(), nullable=True),
        sa.Column("until_index", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(length=16), nullable=True),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_registry_key")),
    )
    with op.batch_alter_table("registry_key", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_registry_key_owner_id"), ["owner_id"], unique=False)

    op.create_table(
        "request_nonce",
        sa.Column("kid", sa.String(length=43), nullable=False),
        sa.Column("nonce", sa.String(length=128), nullable=False),
        sa.Column("expires_at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("kid", "nonce", name=op.f("pk_request_nonce")),
    )
    with op.batch_alter_table("request_nonce", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_request_nonce_expires_at"), ["expires_at"], unique=False)

    op.create_table(
        "server_nonce",
        sa.Column("nonce", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("expires_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("used_at", UtcDateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("nonce", name=op.f("pk_server_nonce")),
    )
    with op.batch_alter_table("server_nonce", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_server_nonce_expires_at"), ["expires_at"], unique=False)

    op.create_table(
        "tile_answer",
        sa.Column("gw", sa.String(length=32), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("tile", sa.BigInteger(), nullable=False),
        sa.Column("plant", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("tile_salt", sa.String(length=64), nullable=False),
        sa.Column("lines", sa.JSON(), nullable=False),
        sa.Column("path", sa.JSON(), nullable=False),
        sa.Column("raw", sa.JSON(), nullable=False),
        sa.Column("segment_sid", sa.String(length=64), nullable=False),
        sa.Column("received_at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("gw", "epoch", "tile", name=op.f("pk_tile_answer")),
    )
    with op.batch_alter_table("tile_answer", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tile_answer_plant"), ["plant"], unique=False)

    op.create_table(
        "tile_want",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("plant", sa.String(length=64), nullable=False),
        sa.Column("gw", sa.String(length=32), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("tile", sa.BigInteger(), nullable=False),
        sa.Column("made_by", sa.String(length=64), nullable=False),
        sa.Column("made_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("answered_at", UtcDateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tile_want")),
        sa.UniqueConstraint("gw", "epoch", "tile", name=op.f("uq_tile_want_gw")),
    )
    with op.batch_alter_table("tile_want", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tile_want_plant"), ["plant"], unique=False)

    op.create_table(
        "user_account",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=False),
        sa.Column("name_zh", sa.String(length=100), nullable=False),
        sa.Column("name_en", sa.String(length=100), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("plants", sa.JSON(), nullable=False),
        sa.Column("region", sa.String(length=12), nullable=False),
        sa.Column("kid", sa.String(length=43), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("enrolments_left", sa.Integer(), nullable=False),
        sa.Column("session_generation", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("last_login_at", UtcDateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_user_account")),
    )
    op.create_table(
        "content_use",
        sa.Column("plant", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["sha256"], ["content.sha256"], name=op.f("fk_content_use_sha256")),
        sa.PrimaryKeyConstraint("plant", "sha256", name=op.f("pk_content_use")),
    )
    op.create_table(
        "draft",
        sa.Column("plant", sa.String(length=64), nullable=False),
        sa.Column("period", sa.String(length=7), nullable=False),
        sa.Column("rev", sa.Integer(), nullable=False),
        sa.Column("body_sha256", sa.String(length=64), nullable=False),
        sa.Column("plan_sha256", sa.String(length=64), nullable=False),
        sa.Column("parameters_sha256", sa.String(length=64), nullable=False),
        sa.Column("cover", sa.JSON(), nullable=False),
        sa.Column("subjects", sa.JSON(), nullable=False),
        sa.Column("log_size", sa.BigInteger(), nullable=False),
        sa.Column("made_at", UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["plant"], ["plant.id"], name=op.f("fk_draft_plant")),
        sa.PrimaryKeyConstraint("plant", "period", name=op.f("pk_draft")),
    )
    op.create_table(
        "gateway",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("plant", sa.String(length=64), nullable=False),
        sa.Column("kid", sa.String(length=43), nullable=True),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", UtcDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["plant"], ["plant.id"], name=op.f("fk_gateway_plant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gateway")),
    )
    with op.batch_alter_table("gateway", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_gateway_plant"), ["plant"], unique=False)

    op.create_table(
        "invite",
        sa.Column("code_hash", sa.String(length=64), nullable=False),
        sa.Column("plant", sa.String(length=64), nullable=False),
        sa.Column("gw", sa.String(length=32), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("expires_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("nonce", sa.String(length=64), nullable=True),
        sa.Column("nonce_expires_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("used_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("used_sid", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["plant"], ["plant.id"], name=op.f("fk_invite_plant")),
        sa.PrimaryKeyConstraint("code_hash", name=op.f("pk_invite")),
    )
    with op.batch_alter_table("invite", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_invite_plant"), ["plant"], unique=False)

    op.create_table(
        "month_state",
        sa.Column("plant", sa.String(length=64), nullable=False),
        sa.Column("period", sa.String(length=7), nullable=False),
        sa.Column("status", sa.String(length=24), nullable=False),
        sa.Column("rev", sa.Integer(), nullable=False),
        sa.Column("month_sid", sa.String(length=64), nullable=True),
        sa.Column("changed_at", UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["plant"], ["plant.id"], name=op.f("fk_month_state_plant")),
        sa.PrimaryKeyConstraint("plant", "period", name=op.f("pk_month_state")),
    )
    with op.batch_alter_table("month_state", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_month_state_status"), ["status"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("month_state", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_month_state_status"))

    op.drop_table("month_state")
    with op.batch_alter_table("invite", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_invite_plant"))

    op.drop_table("invite")
    with op.batch_alter_table("gateway", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_gateway_plant"))

    op.drop_table("gateway")
    op.drop_table("draft")
    op.drop_table("content_use")
    op.drop_table("user_account")
    with op.batch_alter_table("tile_want", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tile_want_plant"))

    op.drop_table("tile_want")
    with op.batch_alter_table("tile_answer", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tile_answer_plant"))

    op.drop_table("tile_answer")
    with op.batch_alter_table("server_nonce", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_server_nonce_expires_at"))

    op.drop_table("server_nonce")
    with op.batch_alter_table("request_nonce", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_request_nonce_expires_at"))

    op.drop_table("request_nonce")
    with op.batch_alter_table("registry_key", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_registry_key_owner_id"))

    op.drop_table("registry_key")
    with op.batch_alter_table("plant", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_plant_region"))

    op.drop_table("plant")
    op.drop_table("log_head")
    with op.batch_alter_table("log_entry", schema=None) as batch_op:
        batch_op.drop_index("ix_log_entry_tree")
        batch_op.drop_index("ix_log_entry_subject")
        batch_op.drop_index("ix_log_entry_plant_idx")

    op.drop_table("log_entry")
    with op.batch_alter_table("live_sample", schema=None) as batch_op:
        batch_op.drop_index("ix_live_sample_time")

    op.drop_table("live_sample")
    with op.batch_alter_table("held_statement", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_held_statement_plant"))
        batch_op.drop_index(batch_op.f("ix_held_statement_missing"))

    op.drop_table("held_statement")
    with op.batch_alter_table("gateway_chain", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_gateway_chain_plant"))

    op.drop_table("gateway_chain")
    with op.batch_alter_table("fork_evidence", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_fork_evidence_plant"))

    op.drop_table("fork_evidence")
    op.drop_table("entry_period")
    op.drop_table("content")
    op.drop_table("checkpoint")
    with op.batch_alter_table("act", schema=None) as batch_op:
        batch_op.drop_index("ix_act_plant_at")

    op.drop_table("act")
