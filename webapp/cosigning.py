"""Gets checkpoints cosigned: asks the witnesses of the policy, and keeps what satisfies it.

One process at a time asks, always about the newest signed checkpoint, so what a witness says it saw can never be
larger, unless the log was set back. Then, and when a witness finds another history, nothing is signed any more.
Failures of witnesses are no failures of the log: entries are logged, their receipts wait.
"""

from __future__ import annotations

import fcntl
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from evidence.note import NoteKey
from evidence.policy import Policy, Witness
from evidence.tiles import TileReader, TileTree
from webapp import store_log, witness_client
from webapp.database import Database
from webapp.errors import LogRefusedError
from webapp.models import CheckpointRow
from webapp.policy_file import digest
from webapp.witness_client import Cosigned, Elsewhere, Inconsistent, WitnessSilentError

logger = logging.getLogger(__name__)
STRAGGLERS_S = 0.3
"""How long the other witnesses are waited for when there are enough."""
_ATTEMPTS = 3


class CosignedLog(Protocol):
    """What is needed of the log."""

    folder: Path

    @property
    def read_tile(self) -> TileReader:
        """Reads its tiles."""
        ...

    def publish(self, text: str) -> None:
        """Shows a checkpoint to the world."""
        ...


@dataclass(frozen=True)
class Round:
    """What one round of questions brought: who cosigned the newest checkpoint."""

    size: int
    lines: dict[NoteKey, str]
    is_met: bool


class Cosigning:
    """Asks the witnesses of one policy about one log."""

    def __init__(
        self,
        log: CosignedLog,
        database: Database,
        policy: Policy,
        clock: Callable[[], datetime],
        *,
        timeout_s: float,
        retry_s: float,
    ) -> None:
        self._log, self._database, self._policy, self._clock = log, database, policy, clock
        self._timeout_s, self._retry_s = timeout_s, retry_s
        self._digest = digest(policy)
        self._seen: dict[NoteKey, int] = {}
        self._asked_last = 0
        self._not_before = 0.0
        self._has_begun = False
        self._stopped: LogRefusedError | None = None

    def settle(self, size: int) -> bool:
        """Have a checkpoint of at least this size cosigned; False when too few witnesses answered."""
        if self._is_settled(size):
            return True
        with self._alone():
            if self._is_settled(size):
                return True
            if time.monotonic() < self._not_before or self._stopped is not None:
                return False
            done = self._round()
            return done is not None and done.is_met and done.size >= size

    def _is_settled(self, size: int) -> bool:
        with self._database.reading() as session:
            newest = store_log.last_cosigned(session, self._digest)
        return newest is not None and newest.size >= size

    def ask_again(self) -> None:
        """Have the newest checkpoint cosigned, if it is not yet: what the centre does by itself."""
        with self._database.reading() as session:
            last = store_log.last_checkpoint(session)
        if last is not None:
            self.settle(last.size)

    def require_agreement(self) -> None:
        """Ask the witnesses, once a process before the first signature, whether they know more than this log.

        Raises:
            LogRefusedError: a witness saw a larger log or another history; nothing may be signed.
        """
        if not self._has_begun:
            self._has_begun = True
            with self._alone():
                self._round()
        if self._stopped is not None:
            raise self._stopped

    def confirmed_by(self) -> set[NoteKey]:
        """Ask all witnesses whether the newest checkpoint is the largest they know; gives those who say so.

        Raises:
            LogRefusedError: a witness saw a larger log or another history.
        """
        with self._alone():
            done = self._round(is_for_all=True)
        if self._stopped is not None:
            raise self._stopped
        return set() if done is None else set(done.lines)

    # --- one round -------------------------------------------------------------------------------------

    def _round(self, *, is_for_all: bool = False) -> Round | None:
        """Ask about the newest signed checkpoint; keep it and publish it when enough have cosigned."""
        with self._database.reading() as session:
            row = store_log.last_checkpoint(session)
            before = store_log.last_cosigned(session, self._digest)
        if row is None:
            return None
        # Another process may have asked last; a witness that was not among those who answered says what it has.
        self._asked_last = 0 if before is None else before.size
        lines = self._collect(row, is_for_all=is_for_all)
        met = self._policy.is_met(set(lines))
        if met and lines:
            text = row.text + "".join(lines[key] for key in self._policy.witness_keys if key in lines)
            with self._database.writing() as session:
                store_log.add_cosigned(session, self._digest, row.size, row.root, text, self._clock())
            self._log.publish(text)
        if not met or not lines:
            self._not_before = time.monotonic() + self._retry_s
            logger.warning("checkpoint not cosigned yet size=%d cosigned=%d", row.size, len(lines))
        return Round(row.size, lines, met)

    def _collect(self, row: CheckpointRow, *, is_for_all: bool) -> dict[NoteKey, str]:
        asked = {self._start(witness, row): witness for witness in self._policy.witnesses if witness.url}
        lines: dict[NoteKey, str] = {}
        deadline = time.monotonic() + self._timeout_s
        waiting = set(asked)
        while waiting and (left := deadline - time.monotonic()) > 0:
            done, waiting = wait(waiting, left, FIRST_COMPLETED)
            for future in done:
                line = self._line(asked[future], future)
                if line is not None:
                    lines[asked[future].key] = line
            if lines and self._policy.is_met(set(lines)) and not is_for_all:
                deadline = min(deadline, time.monotonic() + STRAGGLERS_S)
        for future in waiting:
            logger.warning("witness too slow name=%s", asked[future].name)
        return lines

    def _start(self, witness: Witness, row: CheckpointRow) -> Future[str]:
        """Ask in a thread that nobody waits for at the end."""
        future: Future[str] = Future()

        def work() -> None:
            try:
                future.set_result(self._ask(witness, row))
            except Exception as error:
                future.set_exception(error)

        threading.Thread(target=work, name=f"witness-{witness.name}", daemon=True).start()
        return future

    def _line(self, witness: Witness, future: Future[str]) -> str | None:
        try:
            return future.result()
        except WitnessSilentError as error:
            logger.warning("witness silent name=%s reason=%r", witness.name, str(error))
        except LogRefusedError as error:
            logger.critical("witness contradicts name=%s detail=%s", witness.name, error.en)
            self._stopped = error
        except Exception:
            logger.exception("witness could not be asked name=%s", witness.name)
        return None

    def _ask(self, witness: Witness, row: CheckpointRow) -> str:
        old = max(self._seen.get(witness.key, 0), self._asked_last)
        for _ in range(_ATTEMPTS):
            proof = TileTree(self._log.read_tile, row.size).consistency(old) if old else []
            match witness_client.ask(witness, old, proof, row.text, self._timeout_s):
                case Cosigned(line):
                    self._seen[witness.key] = row.size
                    return line
                case Inconsistent(said):
                    raise _contradicted(witness, row.size, said)
                case Elsewhere(size):
                    if size > row.size:
                        raise _set_back(witness, row.size, size)
                    if size == old == row.size:
                        raise _contradicted(witness, row.size, "another root for this size")
                    old = size
        raise WitnessSilentError("another process asks it, too")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._log.folder.mkdir(parents=True, exist_ok=True)
        with (self._log.folder / ".cosigning").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _set_back(witness: Witness, size: int, seen: int) -> LogRefusedError:
    return LogRefusedError(
        f"见证 {witness.name} 已见过 {seen} 条的检查点，本中心只有 {size} 条：本中心是从旧备份恢复的，"
        "继续签名会使日志分叉；请恢复更新的备份",
        f"witness {witness.name} has seen a checkpoint of {seen} entries, this centre has only {size}: it was restored "
        "from an old backup, and going on would fork the log; restore a newer backup",
    )


def _contradicted(witness: Witness, size: int, said: str) -> LogRefusedError:
    return LogRefusedError(
        f"见证 {witness.name} 所见的历史与本中心 {size} 条的检查点不一致（{said}）；请停机并保全证据",
        f"witness {witness.name} knows another history than the checkpoint of {size} entries here ({said}); "
        "stop and keep everything as evidence",
    )
