"""The centre's tables, as SQLAlchemy sees them.

Every table that grows with the number of plants carries `plant`, so that it can be distributed by it. What
is legally binding is only in `log_entry` (and the tiles on disk that repeat it); all other tables are
either derived from it or operational. This file holds no queries; those are in the `store_*` modules.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SID = String(64)
KID = String(43)
PLANT = String(64)
GATEWAY = String(32)
PERIOD = String(7)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time; a naive one is a programming error and is refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"naive time {value!r} given to the database; pass an aware UTC time")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        # SQLite forgets the zone; everything in it was written in UTC.
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """All tables of the centre."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcDateTime,
        dict[str, Any]: JSON,
        list[Any]: JSON,
        list[str]: JSON,
    }


# --- who and what ---------------------------------------------------------------------------------


class Plant(Base):
    """A plant and its data-quality control plan (a content, by digest)."""

    __tablename__ = "plant"
    id: Mapped[str] = mapped_column(PLANT, primary_key=True)
    name_zh: Mapped[str] = mapped_column(String(200))
    name_en: Mapped[str] = mapped_column(String(200))
    zone: Mapped[str] = mapped_column(String(64))
    region: Mapped[str] = mapped_column(String(12), index=True)
    sector: Mapped[str] = mapped_column(String(32))
    plan_sha256: Mapped[str] = mapped_column(SID)
    parameters_id: Mapped[str] = mapped_column(String(64))
    parameters_sha256: Mapped[str] = mapped_column(SID)
    created_at: Mapped[datetime]
    sm2_from: Mapped[int | None] = mapped_column(BigInteger)
    """Log index from which on its gateways sign a second time; None: nobody asks for it."""


class User(Base):
    """A person's account. Names live here only, never in statements."""

    __tablename__ = "user_account"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    password_hash: Mapped[str] = mapped_column(String(255))
    name_zh: Mapped[str] = mapped_column(String(100))
    name_en: Mapped[str] = mapped_column(String(100))
    role: Mapped[str] = mapped_column(String(16))
    plants: Mapped[list[str]]
    region: Mapped[str] = mapped_column(String(12), default="")
    kid: Mapped[str | None] = mapped_column(KID)
    enabled: Mapped[bool] = mapped_column(Boolean, default=True)
    enrolments_left: Mapped[int] = mapped_column(Integer, default=1)
    session_generation: Mapped[int] = mapped_column(Integer, default=1)
    created_at: Mapped[datetime]
    last_login_at: Mapped[datetime | None]


class Gateway(Base):
    """A gateway that was invited to a plant."""

    __tablename__ = "gateway"
    id: Mapped[str] = mapped_column(GATEWAY, primary_key=True)
    plant: Mapped[str] = mapped_column(ForeignKey("plant.id"), index=True)
    kid: Mapped[str | None] = mapped_column(KID)
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime | None]


class GatewayChain(Base):
    """Head of the statement chain of one (gateway, epoch)."""

    __tablename__ = "gateway_chain"
    plant: Mapped[str] = mapped_column(PLANT, index=True)
    gw: Mapped[str] = mapped_column(GATEWAY, primary_key=True)
    epoch: Mapped[int] = mapped_column(Integer, primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)
    sid: Mapped[str] = mapped_column(SID)
    tree_end: Mapped[int] = mapped_column(BigInteger, default=0)
    tree_root: Mapped[str] = mapped_column(SID, default="")
    anchor_size: Mapped[int] = mapped_column(BigInteger, default=0)
    boot: Mapped[str] = mapped_column(String(64), default="")
    mono: Mapped[int] = mapped_column(BigInteger, default=0)


class Invite(Base):
    """A one-time code for enrolling a gateway; only its hash is kept."""

    __tablename__ = "invite"
    code_hash: Mapped[str] = mapped_column(SID, primary_key=True)
    plant: Mapped[str] = mapped_column(ForeignKey("plant.id"), index=True)
    gw: Mapped[str] = mapped_column(GATEWAY)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    nonce: Mapped[str | None] = mapped_column(String(64))
    nonce_expires_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]
    used_sid: Mapped[str | None] = mapped_column(SID)


class RegistryKey(Base):
    """One key of the registry, folded from the log's `key` statements; not yet approved without `from_index`."""

    __tablename__ = "registry_key"
    kid: Mapped[str] = mapped_column(KID, primary_key=True)
    jwk: Mapped[dict[str, Any]]
    nonce: Mapped[str] = mapped_column(String(200), default="")
    owner_type: Mapped[str] = mapped_column(String(16), default="")
    owner_id: Mapped[str] = mapped_column(String(64), index=True, default="")
    roles: Mapped[list[str]]
    plants: Mapped[list[str]]
    region: Mapped[str | None] = mapped_column(String(12))
    custody: Mapped[str] = mapped_column(String(16), default="software")
    from_index: Mapped[int | None] = mapped_column(BigInteger)
    until_index: Mapped[int | None] = mapped_column(BigInteger)
    reason: Mapped[str | None] = mapped_column(String(16))
    sm2: Mapped[str | None] = mapped_column(String(128))


class ServerNonce(Base):
    """A nonce the centre gave out for the enrolment of a browser key."""

    __tablename__ = "server_nonce"
    nonce: Mapped[str] = mapped_column(String(64), primary_key=True)
    subject: Mapped[str] = mapped_column(String(64))
    expires_at: Mapped[datetime] = mapped_column(index=True)
    used_at: Mapped[datetime | None]


class RequestNonce(Base):
    """A nonce of a signed request that was used up."""

    __tablename__ = "request_nonce"
    kid: Mapped[str] = mapped_column(KID, primary_key=True)
    nonce: Mapped[str] = mapped_column(String(128), primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)


# --- the log --------------------------------------------------------------------------------------


class LogEntry(Base):
    """One statement of the log; `idx` is its leaf number, the legal order.

    `subject` is what it is about: a review's month, a declaration's predecessor, a configuration's channel.
    """

    __tablename__ = "log_entry"
    idx: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    sid: Mapped[str] = mapped_column(SID, unique=True)
    leaf_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    jws: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(String(16))
    plant: Mapped[str] = mapped_column(PLANT)
    gw: Mapped[str | None] = mapped_column(GATEWAY)
    epoch: Mapped[int | None] = mapped_column(Integer)
    seq: Mapped[int | None] = mapped_column(BigInteger)
    tree_start: Mapped[int | None] = mapped_column(BigInteger)
    tree_end: Mapped[int | None] = mapped_column(BigInteger)
    subject: Mapped[str | None] = mapped_column(String(64))
    kid: Mapped[str] = mapped_column(KID)
    received_at: Mapped[datetime]
    __table_args__ = (
        UniqueConstraint("gw", "epoch", "seq"),
        Index("ix_log_entry_plant_idx", "plant", "kind", "idx"),
        Index("ix_log_entry_subject", "subject", "kind"),
        Index("ix_log_entry_tree", "gw", "epoch", "tree_end"),
    )


class EntryPeriod(Base):
    """Which months an entry says something about; a segment with late or imported readings may touch several."""

    __tablename__ = "entry_period"
    plant: Mapped[str] = mapped_column(PLANT, primary_key=True)
    period: Mapped[str] = mapped_column(PERIOD, primary_key=True)
    idx: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(16))


class LogHead(Base):
    """The one row whose update is the sequencer's lock."""

    __tablename__ = "log_head"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    size: Mapped[int] = mapped_column(BigInteger)
    turn: Mapped[int] = mapped_column(BigInteger, default=0)


class CheckpointRow(Base):
    """A signed checkpoint; the receipt of an entry is against the first one that covers it."""

    __tablename__ = "checkpoint"
    size: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    root: Mapped[str] = mapped_column(SID)
    text: Mapped[str] = mapped_column(Text)
    signed_at: Mapped[datetime]


class CosignedCheckpoint(Base):
    """A checkpoint with the cosignatures that a policy asks for; `policy` is the digest of that policy."""

    __tablename__ = "cosigned_checkpoint"
    policy: Mapped[str] = mapped_column(SID, primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    root: Mapped[str] = mapped_column(SID)
    text: Mapped[str] = mapped_column(Text)
    cosigned_at: Mapped[datetime]


class TimeStamp(Base):
    """A time-stamp (RFC 3161 response) over the text of a checkpoint, as it was verified when it came."""

    __tablename__ = "time_stamp"
    size: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    data: Mapped[bytes] = mapped_column(LargeBinary)


class SecondSignature(Base):
    """An SM2 signature beside a logged statement's own; the log itself holds none of them."""

    __tablename__ = "second_signature"
    sid: Mapped[str] = mapped_column(SID, primary_key=True)
    plant: Mapped[str] = mapped_column(PLANT, index=True)
    data: Mapped[bytes] = mapped_column(LargeBinary)


class HeldStatement(Base):
    """A statement whose predecessor has not come yet."""

    __tablename__ = "held_statement"
    sid: Mapped[str] = mapped_column(SID, primary_key=True)
    plant: Mapped[str] = mapped_column(PLANT, index=True)
    gw: Mapped[str] = mapped_column(GATEWAY)
    epoch: Mapped[int] = mapped_column(Integer)
    seq: Mapped[int] = mapped_column(BigInteger)
    missing: Mapped[str] = mapped_column(SID, index=True)
    jws: Mapped[str] = mapped_column(Text)
    consistency: Mapped[list[str] | None] = mapped_column(JSON)
    held_at: Mapped[datetime]


class ForkEvidence(Base):
    """Two statements of one device with the same number: evidence of cheating, both kept whole."""

    __tablename__ = "fork_evidence"
    sid: Mapped[str] = mapped_column(SID, primary_key=True)
    jws: Mapped[str] = mapped_column(Text)
    logged_sid: Mapped[str] = mapped_column(SID)
    logged_jws: Mapped[str] = mapped_column(Text)
    plant: Mapped[str] = mapped_column(PLANT, index=True)
    gw: Mapped[str] = mapped_column(GATEWAY)
    epoch: Mapped[int] = mapped_column(Integer)
    seq: Mapped[int] = mapped_column(BigInteger)
    seen_at: Mapped[datetime]


# --- contents, drafts, months ---------------------------------------------------------------------


class Content(Base):
    """A file named by its digest."""

    __tablename__ = "content"
    sha256: Mapped[str] = mapped_column(SID, primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    type: Mapped[str] = mapped_column(String(100))
    data: Mapped[bytes] = mapped_column(LargeBinary)
    added_at: Mapped[datetime]


class ContentUse(Base):
    """Which plants may read a content; `name` is how it was called when it was added."""

    __tablename__ = "content_use"
    plant: Mapped[str] = mapped_column(PLANT, primary_key=True)
    sha256: Mapped[str] = mapped_column(ForeignKey("content.sha256"), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))


class Draft(Base):
    """The newest composed draft of a month; what a technician is asked to declare."""

    __tablename__ = "draft"
    plant: Mapped[str] = mapped_column(ForeignKey("plant.id"), primary_key=True)
    period: Mapped[str] = mapped_column(PERIOD, primary_key=True)
    rev: Mapped[int] = mapped_column(Integer)
    body_sha256: Mapped[str] = mapped_column(SID)
    plan_sha256: Mapped[str] = mapped_column(SID)
    parameters_sha256: Mapped[str] = mapped_column(SID)
    cover: Mapped[list[Any]]
    subjects: Mapped[list[Any]]
    log_size: Mapped[int] = mapped_column(BigInteger)
    made_at: Mapped[datetime]


class MonthState(Base):
    """Where a month stands, folded from its declare, month and review statements."""

    __tablename__ = "month_state"
    plant: Mapped[str] = mapped_column(ForeignKey("plant.id"), primary_key=True)
    period: Mapped[str] = mapped_column(PERIOD, primary_key=True)
    status: Mapped[str] = mapped_column(String(24), index=True)
    rev: Mapped[int] = mapped_column(Integer)
    month_sid: Mapped[str | None] = mapped_column(SID)
    changed_at: Mapped[datetime]


# --- operational: never evidence ------------------------------------------------------------------


class LiveSample(Base):
    """A live value as the gateway reported it, kept 48 hours; never evidence."""

    __tablename__ = "live_sample"
    plant: Mapped[str] = mapped_column(PLANT, primary_key=True)
    channel: Mapped[str] = mapped_column(String(64), primary_key=True)
    time: Mapped[datetime] = mapped_column(primary_key=True)
    value: Mapped[str | None] = mapped_column(String(64))
    unit: Mapped[str] = mapped_column(String(32))
    flag: Mapped[str] = mapped_column(String(2))
    gw: Mapped[str] = mapped_column(GATEWAY)
    __table_args__ = (Index("ix_live_sample_time", "time"),)


class TileWant(Base):
    """A raw tile that somebody asked the gateway for; made by nobody where only challenges ask for it."""

    __tablename__ = "tile_want"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    plant: Mapped[str] = mapped_column(PLANT, index=True)
    gw: Mapped[str] = mapped_column(GATEWAY)
    epoch: Mapped[int] = mapped_column(Integer)
    tile: Mapped[int] = mapped_column(BigInteger)
    made_by: Mapped[str] = mapped_column(String(64))
    made_at: Mapped[datetime]
    answered_at: Mapped[datetime | None]
    __table_args__ = (UniqueConstraint("gw", "epoch", "tile"),)


class TileAnswer(Base):
    """The raw readings of a tile, kept only after their proof held against a logged root."""

    __tablename__ = "tile_answer"
    gw: Mapped[str] = mapped_column(GATEWAY, primary_key=True)
    epoch: Mapped[int] = mapped_column(Integer, primary_key=True)
    tile: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    plant: Mapped[str] = mapped_column(PLANT, index=True)
    size: Mapped[int] = mapped_column(BigInteger)
    tile_salt: Mapped[str] = mapped_column(String(64))
    lines: Mapped[list[Any]]
    path: Mapped[list[str]]
    raw: Mapped[list[Any]]
    segment_sid: Mapped[str] = mapped_column(SID)
    received_at: Mapped[datetime]


class Challenge(Base):
    """A retention challenge of a month: what was asked when the log had `asked` entries, and until when it counts.

    `seed` is the checkpoint, of size `seed_size`, that fixed its tiles; before one is signed there are none.
    """

    __tablename__ = "challenge"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    plant: Mapped[str] = mapped_column(PLANT)
    period: Mapped[str] = mapped_column(PERIOD)
    month: Mapped[str] = mapped_column(SID)
    asked: Mapped[int] = mapped_column(BigInteger)
    draws: Mapped[int] = mapped_column(Integer)
    days: Mapped[int] = mapped_column(Integer)
    made_by: Mapped[str] = mapped_column(String(64))
    made_at: Mapped[datetime]
    seed_size: Mapped[int | None] = mapped_column(BigInteger)
    seed: Mapped[str] = mapped_column(Text, default="")
    due_at: Mapped[datetime | None]
    __table_args__ = (Index("ix_challenge_plant", "plant", "period"),)


class ChallengeTile(Base):
    """One tile of a challenge, and the first answer to it; without a code, it proved itself up to `least_size`."""

    __tablename__ = "challenge_tile"
    challenge: Mapped[str] = mapped_column(ForeignKey("challenge.id"), primary_key=True)
    place: Mapped[int] = mapped_column(Integer, primary_key=True)
    plant: Mapped[str] = mapped_column(PLANT)
    gw: Mapped[str] = mapped_column(GATEWAY)
    epoch: Mapped[int] = mapped_column(Integer)
    tile: Mapped[int] = mapped_column(BigInteger)
    least_size: Mapped[int] = mapped_column(BigInteger)
    answered_at: Mapped[datetime | None]
    code: Mapped[str] = mapped_column(String(40), default="")
    said: Mapped[dict[str, Any]]
    __table_args__ = (Index("ix_challenge_tile_tile", "gw", "epoch", "tile"),)


class LoginFailure(Base):
    """A failed login; what all workers count before they look at a password."""

    __tablename__ = "login_failure"
    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    at: Mapped[datetime]
    account: Mapped[str] = mapped_column(String(64))
    address: Mapped[str] = mapped_column(String(64))
    __table_args__ = (
        Index("ix_login_failure_account", "account", "at"),
        Index("ix_login_failure_address", "address", "at"),
    )


class Act(Base):
    """Who did what in the web application (logins, accounts, exports); statements are not repeated here."""

    __tablename__ = "act"
    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(40))
    object: Mapped[str] = mapped_column(String(200))
    plant: Mapped[str | None] = mapped_column(PLANT)
    details: Mapped[dict[str, Any]]
    __table_args__ = (Index("ix_act_plant_at", "plant", "at"),)
