"""Watch the central log: it may only grow, and every checkpoint must continue the last one verified.

A receipt counts only when its checkpoint and the log's present one are one history. The proof is computed here from
the log's public tiles; the log's own proofs are not needed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from evidence.contradiction import two_trees
from evidence.errors import EvidenceError
from evidence.merkle import HASH_BYTES, verify_consistency
from evidence.note import Checkpoint, NoteKey, verify_checkpoint
from evidence.tiles import TILE_WIDTH, Tile, TileTree
from evidence.trust import Trust
from gateway.errors import GatewayError, UplinkError
from gateway.uplink import RefusedByCentreError, Uplink

CHECKPOINT = "/log/checkpoint"
TILES_KEPT = 256


class LogHistoryError(GatewayError):
    """The log shrank or shows two histories: evidence of tampering or of a restored backup; nothing is believed.

    `evidence` is a file that proves it to anyone, where the older checkpoint is at hand and the tiles give the newer.
    """

    def __init__(self, zh: str, en: str, evidence: bytes | None = None) -> None:
        super().__init__(zh, en)
        self.evidence = evidence


@dataclass(frozen=True)
class Anchor:
    """The last checkpoint that was verified."""

    origin: str
    size: int
    root: bytes
    note: str | None = None
    """The signed checkpoint itself, where it was kept."""

    @classmethod
    def read(cls, members: Mapping[str, Any] | None, note: str | None = None) -> Anchor | None:
        """Read the form statements carry."""
        if members is None:
            return None
        return cls(members["origin"], members["size"], bytes.fromhex(members["root"]), note)


def verified_head(
    uplink: Uplink, tiles: RemoteTiles, trust: Trust, anchor: Anchor | None, seen: Iterable[Checkpoint]
) -> Checkpoint:
    """Fetch the log's checkpoint and prove that it continues the anchor and every checkpoint seen.

    Raises:
        UplinkError: no answer, or one that cannot be read.
        LogHistoryError: the log is smaller than the anchor or shows another history.
    """
    try:
        head = verify_checkpoint(uplink.get(CHECKPOINT).decode("utf-8"), trust.log, trust.policy)
    except (EvidenceError, UnicodeDecodeError) as error:
        raise UplinkError(
            f"中心端日志的检查点无效: {error}", f"the checkpoint of the centre's log is not valid: {error}"
        ) from error
    older: dict[tuple[int, bytes], str | None] = {(one.size, one.root): one.note for one in seen}
    if anchor is not None:
        older.setdefault((anchor.size, anchor.root), anchor.note)
    tree = TileTree(tiles.read, head.size)
    for size, root in sorted(older):
        if size == 0:
            continue
        if size > head.size:
            raise LogHistoryError(
                f"中心端日志变小了: 曾为 {size}，现为 {head.size}",
                f"the centre's log shrank: it had {size} entries, now {head.size}",
            )
        try:
            verify_consistency(size, head.size, tree.consistency(size), root, head.root)
        except EvidenceError as error:
            raise LogHistoryError(
                f"中心端日志出现两个历史（大小 {size} 与 {head.size}）: {error.detail}",
                f"the centre's log shows two histories (sizes {size} and {head.size}): {error.detail}",
                _proof(trust.log, older[size, root], head, tree),
            ) from error
    return head


def _proof(log: NoteKey, older: str | None, head: Checkpoint, tree: TileTree) -> bytes | None:
    """Make the file that proves two histories; None where it would prove nothing, or tiles cannot be had."""
    if older is None:
        return None
    try:
        before = verify_checkpoint(older, log)
        began, path = tree.range_hash(0, before.size), tree.consistency(before.size)
        found = two_trees(log, before, head, began, path if before.size < head.size else ())
        found.prove()
    except (EvidenceError, GatewayError):
        return None
    return found.to_bytes()


class RemoteTiles:
    """Tiles of the log over HTTP: full ones never change and are kept, a partial one may be cut from the full."""

    def __init__(self, uplink: Uplink) -> None:
        self._uplink = uplink
        self._full: OrderedDict[str, bytes] = OrderedDict()

    def read(self, tile: Tile) -> bytes:
        """Return a tile's hashes."""
        full = Tile(tile.level, tile.number)
        if full.path in self._full:
            return self._full[full.path][: tile.width * HASH_BYTES]
        try:
            data = self._uplink.get(f"/log/{tile.path}")
        except RefusedByCentreError as error:
            if error.status != 404 or tile.width == TILE_WIDTH:
                raise
            data = self._uplink.get(f"/log/{full.path}")
        if len(data) == TILE_WIDTH * HASH_BYTES:
            self._full[full.path] = data
            if len(self._full) > TILES_KEPT:
                self._full.popitem(last=False)
        return data[: tile.width * HASH_BYTES]
