"""The append-only log: one sequencer at a time, tiles before commit, checkpoint after commit.

Order of one turn, which makes a crash at any point harmless:

    lock the head row → decide and insert entries → write tiles (durably) → read them back, recompute the
    root, check that it continues the last signed one → sign → keep the checkpoint → commit
    → have witnesses cosign it, where the policy wants that → publish the checkpoint file → answer

Nothing is shown before its checkpoint is committed and satisfies the policy: an entry that waits for cosignatures is
logged, its receipt comes later. What was signed may never shrink: a database or a
tile folder that is older than the published checkpoint is refused (`recover`), never repaired forward.
"""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from sqlalchemy.orm import Session

from evidence.errors import EvidenceError
from evidence.keys import SigningKey
from evidence.merkle import leaf_hash, verify_consistency
from evidence.note import ED25519_NOTE, Checkpoint, NoteKey, sign_checkpoint, verify_checkpoint
from evidence.policy import NO_WITNESSES, Policy
from evidence.receipt import Receipt
from evidence.tiles import TILE_WIDTH, Tile, TileReader, TileTree, entries_tile, tile_hash, tiles_between
from webapp import store_log
from webapp.cosigning import Cosigning
from webapp.database import Database
from webapp.errors import LogRefusedError
from webapp.models import CheckpointRow, CosignedCheckpoint, LogEntry
from webapp.policy_file import digest
from webapp.restored_mark import require_confirmed
from webapp.tile_files import ENTRIES, TileFiles, write_durably

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")


@dataclass
class Turn:
    """A turn at the sequencer: the transaction, the centre's time, and what was appended so far."""

    session: Session
    now: datetime
    start: int
    appended: list[LogEntry] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Size of the log including this turn's entries: the index of the next one."""
        return self.start + len(self.appended)

    def append(self, entry: LogEntry, periods: Iterable[str]) -> int:
        """Append an entry; sets its number, leaf hash and time, and gives the number."""
        entry.idx = self.size
        entry.leaf_hash = leaf_hash(entry.jws.encode("ascii"))
        entry.received_at = self.now
        store_log.add_entry(self.session, entry, periods)
        self.appended.append(entry)
        return entry.idx


class Log:
    """The log of one centre, over its database and its tile folder.

    `cosigning` asks witnesses; without it a policy is judged by what was cosigned before.
    """

    def __init__(
        self,
        database: Database,
        folder: Path,
        origin: str,
        key: SigningKey,
        clock: Callable[[], datetime],
        policy: Policy = NO_WITNESSES,
    ) -> None:
        self.policy = policy
        self.cosigning: Cosigning | None = None
        self._policy_digest = digest(policy)
        self._database = database
        self._key = key
        self._clock = clock
        self.folder = folder
        self.origin = origin
        self.tiles = TileFiles(folder)
        self.vkey = NoteKey(origin, ED25519_NOTE, key.public.raw)

    # --- appending ---------------------------------------------------------------------------------

    def sequence(self, decide: Callable[[Turn], Answer]) -> Answer:
        """Run `decide` alone against the log; what it appends is signed and committed with it.

        Raises:
            LogRefusedError: the tiles do not continue the last signed checkpoint, a restore was not confirmed, or a
                witness knows more than this log; nothing was kept.
        """
        if self.cosigning is not None:
            self.cosigning.require_agreement()
        with self._database.writing() as session:
            start = store_log.take_turn(session)
            turn = Turn(session, self._clock(), start)
            answer = decide(turn)
            if not turn.appended:
                return answer
            require_confirmed(self.folder)
            try:
                written = self._write_tiles(start, turn.appended)
            except FileNotFoundError as error:
                raise self._stopped(error) from error
            text = self._sign(session, start, turn)
            store_log.set_size(session, turn.size)
        if self.policy.needs_witnesses:
            self._note_signed(text)
            self.settle(turn.size)
        else:
            self.publish(text)
        for tile in written:
            self.tiles.drop_narrower(tile)
        logger.info("log extended old=%d new=%d", start, turn.size)
        return answer

    def settle(self, size: int) -> None:
        """Have the first `size` entries cosigned, where the policy wants that; may fail, then their receipts wait."""
        if size and self.cosigning is not None and self.policy.needs_witnesses:
            self.cosigning.settle(size)

    def settle_newest(self) -> None:
        """Have all entries cosigned, as `settle` does."""
        if self.cosigning is not None and self.policy.needs_witnesses:
            self.cosigning.ask_again()

    def _write_tiles(self, start: int, entries: list[LogEntry]) -> list[Tile]:
        size = start + len(entries)
        hashes = {start + offset: entry.leaf_hash for offset, entry in enumerate(entries)}
        written = []
        for tile in tiles_between(start, size):
            first = tile.number * TILE_WIDTH
            if tile.level == 0:
                known = self._known(Tile(0, tile.number, max(1, start - first))) if start > first else []
                content = known + [hashes[index] for index in range(max(first, start), first + tile.width)]
                self._write_entries(tile, start, entries)
                written.append(Tile(ENTRIES, tile.number, tile.width))
            else:
                content = [tile_hash(self._known(Tile(tile.level - 1, first + offset))) for offset in range(tile.width)]
            self.tiles.write(tile, b"".join(content))
            written.append(tile)
        return written

    def _write_entries(self, tile: Tile, start: int, entries: list[LogEntry]) -> None:
        first = tile.number * TILE_WIDTH
        data = self.tiles.read_entries(tile.number, start - first) if start > first else b""
        begin = max(first, start)
        fresh = entries[begin - start : first + tile.width - start]
        data += entries_tile([entry.jws.encode("ascii") for entry in fresh])
        self.tiles.write(Tile(ENTRIES, tile.number, tile.width), data)

    def _known(self, tile: Tile) -> list[bytes]:
        data = self.tiles.read(tile)
        return [data[at : at + 32] for at in range(0, len(data), 32)]

    def _sign(self, session: Session, start: int, turn: Turn) -> str:
        last = store_log.last_checkpoint(session)
        tree = TileTree(self.tiles.read, turn.size)
        try:
            root = tree.root()
            if last is not None:
                verify_consistency(last.size, turn.size, tree.consistency(last.size), bytes.fromhex(last.root), root)
        except (EvidenceError, OSError) as error:
            raise self._stopped(error) from error
        if (0 if last is None else last.size) != start:
            raise LogRefusedError(
                f"数据库中的日志大小 {start} 与上次签名的检查点不同；请从完整备份恢复",
                f"the database says the log has {start} entries, the last signed checkpoint says otherwise; "
                "restore a complete backup",
            )
        text = sign_checkpoint(self.origin, turn.size, root, self._key)
        store_log.add_checkpoint(session, turn.size, root, text, turn.now)
        return text

    def _stopped(self, error: Exception) -> LogRefusedError:
        return LogRefusedError(
            f"日志 {self.origin} 的哈希块与上次签名的检查点不一致（{error}）；请停机并运行 center check",
            f"tiles of log {self.origin} do not continue the last signed checkpoint ({error}); "
            "stop the centre and run center check",
        )

    # --- publishing and proving --------------------------------------------------------------------

    @property
    def read_tile(self) -> TileReader:
        """Reads the tiles of hashes."""
        return self.tiles.read

    @property
    def checkpoint_file(self) -> Path:
        """The published checkpoint."""
        return self.folder / "checkpoint"

    @property
    def signed_file(self) -> Path:
        """The newest signed checkpoint, where it is not published at once: it waits for cosignatures."""
        return self.folder / "signed"

    def publish(self, text: str) -> None:
        """Write the checkpoint file, unless a newer one is there, or the same with as many signatures."""
        size = int(text.split("\n", 2)[1])
        with self._file_lock():
            published = self.published()
            is_newer = published is None or published.size < size
            if is_newer or (published is not None and published.size == size and len(published.note) < len(text)):
                write_durably(self.checkpoint_file, text.encode())

    def _note_signed(self, text: str) -> None:
        size = int(text.split("\n", 2)[1])
        with self._file_lock():
            known = self._read(self.signed_file)
            if known is None or known.size < size:
                write_durably(self.signed_file, text.encode())

    def published(self) -> Checkpoint | None:
        """Read and verify the published checkpoint.

        Raises:
            LogRefusedError: it is not this log's, or is damaged.
        """
        return self._read(self.checkpoint_file)

    def promised(self) -> list[Checkpoint]:
        """Read what was published, and what was signed to be: the log may not fall behind either; raises as that."""
        return [one for file in (self.checkpoint_file, self.signed_file) if (one := self._read(file)) is not None]

    def _read(self, file: Path) -> Checkpoint | None:
        try:
            note = file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        try:
            return verify_checkpoint(note, self.vkey)
        except EvidenceError as error:
            raise LogRefusedError(
                f"检查点文件 {file} 不属于本日志或已损坏（{error}）",
                f"checkpoint file {file} is damaged or of another log ({error})",
            ) from error

    def newest_shown(self, session: Session) -> CheckpointRow | CosignedCheckpoint | None:
        """Get the newest checkpoint that satisfies the policy."""
        if self.policy.needs_witnesses:
            return store_log.last_cosigned(session, self._policy_digest)
        return store_log.last_checkpoint(session)

    def shown_size(self, session: Session) -> int:
        """Tell how many entries have a receipt."""
        newest = self.newest_shown(session)
        return 0 if newest is None else newest.size

    def shown_covering(self, session: Session, index: int) -> CheckpointRow | CosignedCheckpoint | None:
        """Get the first checkpoint that covers an entry and that receipts are made against."""
        if self.policy.needs_witnesses:
            return store_log.cosigned_covering(session, self._policy_digest, index)
        return store_log.checkpoint_covering(session, index)

    def receipt(self, session: Session, index: int) -> Receipt | None:
        """Prove an entry against the first checkpoint that covers it and satisfies the policy, once there is one.

        It is the same receipt every time, as long as the policy is the same.
        """
        return self.receipts(session, [index])[0]

    def receipts(self, session: Session, indexes: Iterable[int]) -> list[Receipt | None]:
        """Prove several entries, reading each tile once."""
        trees: dict[int, TileTree] = {}
        texts: dict[int, str] = {}
        result: list[Receipt | None] = []
        row, asked = None, 0
        for index in indexes:
            # The first checkpoint that covers an entry is the first for all entries from there to its size.
            if row is None or not asked <= index < row.size:
                row, asked = self.shown_covering(session, index), index
            if row is None:
                result.append(None)
                continue
            tree = trees.setdefault(row.size, TileTree(self.tiles.read, row.size))
            texts[row.size] = row.text
            result.append(Receipt(index, tuple(tree.inclusion(index)), row.text))
        if texts:
            # The worker that committed it may not have come to publish it; nothing is shown before it is published.
            self.publish(texts[max(texts)])
        return result

    def fresh_receipts(self, session: Session, indexes: Iterable[int]) -> list[Receipt | None]:
        """Prove several entries against the newest checkpoint shown, all the same one; None for those after it."""
        row = self.newest_shown(session)
        if row is None:
            return [None for _ in indexes]
        tree = TileTree(self.tiles.read, row.size)
        self.publish(row.text)
        return [
            Receipt(index, tuple(tree.inclusion(index)), row.text) if index < row.size else None for index in indexes
        ]

    @contextmanager
    def _file_lock(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    # --- starting ----------------------------------------------------------------------------------

    def recover(self, *, is_confirmed: bool = True) -> None:
        """Bring a log that was stopped anywhere to a state that may be continued.

        `is_confirmed=False` opens a restored log, too, that nobody confirmed; it still signs nothing.

        Raises:
            LogRefusedError: rows, tiles and published checkpoint cannot all be of one log.
        """
        from webapp.log_recovery import recover

        if is_confirmed:
            require_confirmed(self.folder)
        recover(self, self._database, is_confirmed=is_confirmed)
