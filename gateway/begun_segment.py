"""A segment whose leaves are appended in several transactions, and signed in the last of them.

The row in `sealing` says which one is under way: its leaves stand in the tree before anything signs them, and nothing
else is sealed in between. Whoever comes after a kill goes on with the row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evidence.errors import EvidenceError
from evidence.merkle import HASH_BYTES
from evidence.segment import Baseline
from gateway.chain import Signer, draft
from gateway.channel_store import baseline_of, baseline_text, save_baselines
from gateway.errors import GarbledError, IntegrityError
from gateway.rawtile import RawFolder
from gateway.reading_store import assign_leaves, window_end, window_readings
from gateway.sealer import Sealed, new_tile_salt, segment_members, sign_segment
from gateway.store import Store
from gateway.tree import ReadingTree


@dataclass(frozen=True)
class Begun:
    """A part of an hour whose leaves are being appended: `at` is the last reading looked at, `upto` the last of all."""

    epoch: int
    hour: str
    at: int
    upto: int
    start: int
    entries: Sequence[Mapping[str, Any]]
    baselines: Mapping[str, Baseline]


def begun(store: Store) -> Begun | None:
    """Return the part that is under way.

    Raises:
        GarbledError: its row holds what was never written there.
    """
    row = store.row("SELECT epoch, hour, at, upto, start, entries, baselines FROM sealing")
    if row is None:
        return None
    try:
        carried = {name: baseline_of(text) for name, text in json.loads(row["baselines"]).items()}
        entries = [{**entry, "id": str(entry["id"]), "n": int(entry["n"])} for entry in json.loads(row["entries"])]
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, EvidenceError) as error:
        raise GarbledError(
            f"数据库中 {row['hour']} 这一小时的封存记录不可读；请用 cunzheng gateway export 保存副本，"
            "再按 docs/recovery.md 处理",
            f"the record of sealing the hour {row['hour']} is garbled in the database; keep a copy with"
            " cunzheng gateway export, then see docs/recovery.md",
        ) from error
    return Begun(row["epoch"], row["hour"], row["at"], row["upto"], row["start"], entries, carried)


def begin_part(
    signer: Signer,
    hour: str,
    upto: int,
    entries: Sequence[Mapping[str, Any]],
    carried: Mapping[str, Baseline],
    store: Store,
) -> None:
    """Write down which readings become leaves now: those of the entries' channels, up to a sequence number.

    Raises:
        EvidenceError: the entries do not fit a segment; nothing has begun.
    """
    epoch, names = signer.identity.epoch, {entry["id"] for entry in entries}
    start = int(store.value("SELECT size FROM tree WHERE epoch = ?", (epoch,)) or 0)
    end = start + sum(entry["n"] for entry in entries)
    draft(store, signer, "segment", segment_members(start, end, bytes(HASH_BYTES), hour, entries))
    kept = {name: baseline_text(one) for name, one in carried.items() if name in names}
    store.execute(
        "INSERT INTO sealing (epoch, hour, at, upto, start, entries, baselines) VALUES (?, ?, 0, ?, ?, ?, ?)",
        (epoch, hour, upto, start, json.dumps(list(entries)), json.dumps(kept)),
    )


def go_on(store: Store, signer: Signer, raw: RawFolder, most: int) -> Sealed | None:
    """Append the next leaves of the part that is under way, and sign its segment with the last; None: nothing is."""
    part = begun(store)
    if part is None:
        return None
    tree = ReadingTree(store, raw, part.epoch, new_tile_salt)
    end = window_end(store, part.hour, part.at, part.upto, most)
    group = window_readings(store, part.hour, part.at, end, [str(entry["id"]) for entry in part.entries])
    first = tree.size
    for reading in group:
        tree.append(reading)
    assign_leaves(store, tree.epoch, first, group)
    if end == part.upto and tree.size - part.start != sum(entry["n"] for entry in part.entries):
        raise IntegrityError(
            f"{part.hour} 这一小时在封存期间少了读数；请运行 cunzheng gateway check",
            f"readings of the hour {part.hour} went missing while it was sealed; run cunzheng gateway check",
        )
    if end < part.upto:
        store.execute("UPDATE sealing SET at = ? WHERE epoch = ?", (end, part.epoch))
    else:
        sign_segment(store, signer, tree, part.start, part.hour, part.entries)
        save_baselines(store, part.baselines)
        store.execute("DELETE FROM sealing WHERE epoch = ?", (part.epoch,))
    tree.save()
    return Sealed(int(end == part.upto), len(group))


def give_up_begun(store: Store, epoch: int) -> None:
    """Open the readings again that an ended epoch took without signing for them."""
    for row in store.rows("SELECT epoch, start FROM sealing WHERE epoch <> ?", (epoch,)):
        store.execute("UPDATE reading SET epoch = NULL, leaf = NULL WHERE epoch = ? AND leaf >= ?", tuple(row))
    store.execute("DELETE FROM sealing WHERE epoch <> ?", (epoch,))
