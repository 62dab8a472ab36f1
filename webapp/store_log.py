"""Rows of the log: its head, entries and checkpoints. Contains no policy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from webapp.models import CheckpointRow, CosignedCheckpoint, EntryPeriod, LogEntry, LogHead

HEAD = 1


def make_head(session: Session) -> None:
    """Make the head of an empty log, unless there is one."""
    if session.get(LogHead, HEAD) is None:
        session.add(LogHead(id=HEAD, size=0, turn=0))


def take_turn(session: Session) -> int:
    """Wait for the sequencer's lock, held until the transaction ends; gives the log's size."""
    size: int | None = session.scalar(
        update(LogHead).where(LogHead.id == HEAD).values(turn=LogHead.turn + 1).returning(LogHead.size)
    )
    if size is None:
        raise LookupError("the log has no head row")
    return size


def set_size(session: Session, size: int) -> None:
    """Note the new size."""
    session.execute(update(LogHead).where(LogHead.id == HEAD).values(size=size))


def size_of(session: Session) -> int:
    """Get the log's size."""
    return session.scalar(select(LogHead.size).where(LogHead.id == HEAD)) or 0


def last_index(session: Session) -> int | None:
    """Get the number of the last entry."""
    return session.scalar(select(func.max(LogEntry.idx)))


def add_entry(session: Session, entry: LogEntry, periods: Iterable[str]) -> None:
    """Add an entry and the months it says something about."""
    session.add(entry)
    session.add_all(
        EntryPeriod(plant=entry.plant, period=period, idx=entry.idx, kind=entry.kind) for period in set(periods)
    )
    session.flush()


def by_sid(session: Session, sid: str) -> LogEntry | None:
    """Find an entry by its statement."""
    return session.scalar(select(LogEntry).where(LogEntry.sid == sid))


def by_number(session: Session, gw: str, epoch: int, seq: int) -> LogEntry | None:
    """Find a device's entry by its number."""
    return session.scalar(select(LogEntry).where(LogEntry.gw == gw, LogEntry.epoch == epoch, LogEntry.seq == seq))


def entries(session: Session, start: int, end: int) -> list[LogEntry]:
    """Get entries start to end - 1 in order."""
    query = select(LogEntry).where(LogEntry.idx >= start, LogEntry.idx < end).order_by(LogEntry.idx)
    return list(session.scalars(query))


def statements(session: Session, start: int, end: int) -> list[tuple[int, str]]:
    """Get (number, JWS) of entries start to end - 1 in order."""
    query = select(LogEntry.idx, LogEntry.jws).where(LogEntry.idx >= start, LogEntry.idx < end)
    return [(row.idx, row.jws) for row in session.execute(query.order_by(LogEntry.idx))]


def all_statements(session: Session, size: int, step: int) -> Iterator[list[tuple[int, str]]]:
    """Walk the whole log in runs of `step` entries."""
    for start in range(0, size, step):
        yield statements(session, start, min(size, start + step))


def plant_entries(
    session: Session, plant: str, *, kinds: Sequence[str], after: int = -1, limit: int | None = None
) -> list[LogEntry]:
    """List a plant's entries of some kinds, oldest first."""
    query = (
        select(LogEntry)
        .where(LogEntry.plant == plant, LogEntry.kind.in_(kinds), LogEntry.idx > after)
        .order_by(LogEntry.idx)
        .limit(limit)
    )
    return list(session.scalars(query))


def device_entries_of_others(
    session: Session, plant: str, gw: str, epoch: int, *, kinds: Sequence[str], after: int, limit: int
) -> list[LogEntry]:
    """List what the plant's devices signed, but for one gateway's own epoch, oldest first."""
    query = (
        select(LogEntry)
        .where(
            LogEntry.plant == plant,
            LogEntry.kind.in_(kinds),
            LogEntry.idx > after,
            or_(LogEntry.gw != gw, LogEntry.epoch < epoch),
        )
        .order_by(LogEntry.idx)
        .limit(limit)
    )
    return list(session.scalars(query))


def period_entries(session: Session, plant: str, period: str, kinds: Sequence[str]) -> list[LogEntry]:
    """List the entries of some kinds that say something about a month, oldest first."""
    query = (
        select(LogEntry)
        .join(EntryPeriod, (EntryPeriod.idx == LogEntry.idx) & (EntryPeriod.plant == LogEntry.plant))
        .where(EntryPeriod.plant == plant, EntryPeriod.period == period, EntryPeriod.kind.in_(kinds))
        .order_by(LogEntry.idx)
    )
    return list(session.scalars(query))


def newest_of_period(session: Session, plant: str, period: str, kind: str) -> LogEntry | None:
    """Get the newest entry of a kind that says something about a month."""
    index = newest_index(session, plant, period, [kind])
    return None if index < 0 else session.get(LogEntry, index)


def chain_entries(session: Session, gw: str, epoch: int, first: int, last: int) -> list[LogEntry]:
    """List a device's entries by number, first to last."""
    query = (
        select(LogEntry)
        .where(LogEntry.gw == gw, LogEntry.epoch == epoch, LogEntry.seq >= first, LogEntry.seq <= last)
        .order_by(LogEntry.seq)
    )
    return list(session.scalars(query))


def declaration_before(session: Session, gw: str, epoch: int, seq: int, channel: str) -> LogEntry | None:
    """Find the newest declaration of a channel before a device's statement of this number."""
    query = (
        select(LogEntry)
        .where(LogEntry.gw == gw, LogEntry.epoch == epoch, LogEntry.seq < seq)
        .where(LogEntry.kind == "event", LogEntry.subject == channel)
        .order_by(LogEntry.seq.desc())
        .limit(1)
    )
    return session.scalar(query)


def newest_declaration(session: Session, plant: str, channel: str, gw: str | None) -> LogEntry | None:
    """Find the newest declaration of a channel, of one gateway or of any."""
    return next(iter(declarations(session, plant, channel, gw, 1)), None)


def declarations(session: Session, plant: str, channel: str, gw: str | None, limit: int) -> list[LogEntry]:
    """List the newest declarations of a channel, newest first."""
    query = select(LogEntry).where(LogEntry.plant == plant, LogEntry.kind == "event", LogEntry.subject == channel)
    if gw is not None:
        query = query.where(LogEntry.gw == gw)
    return list(session.scalars(query.order_by(LogEntry.idx.desc()).limit(limit)))


def segment_ending_at(session: Session, gw: str, epoch: int, size: int) -> LogEntry | None:
    """Find the segment that states the root of a device's tree at a size."""
    query = select(LogEntry).where(
        LogEntry.gw == gw, LogEntry.epoch == epoch, LogEntry.kind == "segment", LogEntry.tree_end == size
    )
    return session.scalar(query)


def periods_of(session: Session, plant: str) -> list[str]:
    """List the months of which a plant has entries, newest first."""
    query = select(EntryPeriod.period).where(EntryPeriod.plant == plant).distinct()
    return sorted(session.scalars(query), reverse=True)


def periods_of_entry(session: Session, row: LogEntry) -> list[str]:
    """List the months an entry says something about."""
    query = select(EntryPeriod.period).where(EntryPeriod.plant == row.plant, EntryPeriod.idx == row.idx)
    return sorted(session.scalars(query))


def newest_index(session: Session, plant: str, period: str, kinds: Sequence[str]) -> int:
    """Get the number of the newest entry about a month; -1 when there is none."""
    query = select(func.max(EntryPeriod.idx)).where(
        EntryPeriod.plant == plant, EntryPeriod.period == period, EntryPeriod.kind.in_(kinds)
    )
    newest = session.scalar(query)
    return -1 if newest is None else newest


def newest_of_plant(session: Session, plant: str) -> int:
    """Get the number of the newest entry about a plant; -1 when there is none."""
    newest = session.scalar(select(func.max(LogEntry.idx)).where(LogEntry.plant == plant))
    return -1 if newest is None else newest


def signers_of_plant(session: Session, plant: str, kinds: Sequence[str]) -> list[str]:
    """List the keys that signed entries of some kinds about a plant."""
    query = select(LogEntry.kid).where(LogEntry.plant == plant, LogEntry.kind.in_(kinds)).distinct()
    return sorted(session.scalars(query))


def add_checkpoint(session: Session, size: int, root: bytes, text: str, at: datetime) -> None:
    """Keep a signed checkpoint."""
    session.add(CheckpointRow(size=size, root=root.hex(), text=text, signed_at=at))
    session.flush()


def last_checkpoint(session: Session) -> CheckpointRow | None:
    """Get the newest signed checkpoint."""
    return session.scalar(select(CheckpointRow).order_by(CheckpointRow.size.desc()).limit(1))


def count_checkpoints(session: Session) -> int:
    """Count the signed checkpoints."""
    return session.scalar(select(func.count()).select_from(CheckpointRow)) or 0


def checkpoint_at(session: Session, size: int) -> CheckpointRow | None:
    """Get the checkpoint of exactly this size."""
    return session.get(CheckpointRow, size)


def checkpoint_covering(session: Session, index: int) -> CheckpointRow | None:
    """Get the first signed checkpoint that covers an entry."""
    query = select(CheckpointRow).where(CheckpointRow.size > index).order_by(CheckpointRow.size).limit(1)
    return session.scalar(query)


def checkpoints(session: Session) -> list[CheckpointRow]:
    """List all checkpoints by size."""
    return list(session.scalars(select(CheckpointRow).order_by(CheckpointRow.size)))


def add_cosigned(session: Session, policy: str, size: int, root: str, text: str, at: datetime) -> None:
    """Keep a checkpoint that satisfies a policy, unless one of its size is there."""
    if session.get(CosignedCheckpoint, (policy, size)) is None:
        session.add(CosignedCheckpoint(policy=policy, size=size, root=root, text=text, cosigned_at=at))
        session.flush()


def last_cosigned(session: Session, policy: str) -> CosignedCheckpoint | None:
    """Get the newest checkpoint that satisfies a policy."""
    query = select(CosignedCheckpoint).where(CosignedCheckpoint.policy == policy)
    return session.scalar(query.order_by(CosignedCheckpoint.size.desc()).limit(1))


def cosigned_covering(session: Session, policy: str, index: int) -> CosignedCheckpoint | None:
    """Get the first checkpoint that satisfies a policy and covers an entry."""
    query = select(CosignedCheckpoint).where(CosignedCheckpoint.policy == policy, CosignedCheckpoint.size > index)
    return session.scalar(query.order_by(CosignedCheckpoint.size).limit(1))


def checkpoints_between(session: Session, above: int, to: int) -> list[CheckpointRow]:
    """List the checkpoints of sizes above one size, up to another."""
    query = select(CheckpointRow).where(CheckpointRow.size > above, CheckpointRow.size <= to)
    return list(session.scalars(query.order_by(CheckpointRow.size)))


def cosigned_between(session: Session, above: int, to: int) -> list[CosignedCheckpoint]:
    """List the cosigned checkpoints of sizes above one size, up to another."""
    query = select(CosignedCheckpoint).where(CosignedCheckpoint.size > above, CosignedCheckpoint.size <= to)
    return list(session.scalars(query.order_by(CosignedCheckpoint.size)))
