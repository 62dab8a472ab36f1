"""Let go of what is old enough: rows that raw tiles hold as well, and raw tiles after the years of retention.

    rows of full tiles ──rows_days──▶ only in the raw tiles ──years──▶ gone; roots, salts and statements stay

Only what is sealed in a segment with a verified receipt ever goes, oldest first, a bounded number a run. Age counts
from when the receipt was stored: the centre takes no request of a gateway whose clock is wrong, so no wrong clock ends
a retention early, and "now" is never later than the newest receipt.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from evidence.encoding import parse_time, time_text
from evidence.merkle import leaf_hash
from evidence.reading import salted_line
from evidence.tiles import TILE_WIDTH, tile_hash
from gateway.chain import own_statements
from gateway.errors import IntegrityError
from gateway.hours import HOUR
from gateway.kept_store import (
    Kept,
    SealedSpan,
    drop_rows,
    drop_unread,
    full_tiles,
    keep_from,
    kept_of,
    kept_of_all,
    needed_rows,
    newest_receipt,
    old_rows,
    spans_from,
)
from gateway.pipeline import Pipeline
from gateway.problems import clear_problem, raise_problem
from gateway.pulled_store import pulled_statements
from gateway.reading_store import StoredReading, sealed_readings
from gateway.settings import RetentionSettings
from gateway.store import Store
from gateway.tile_repair import tile_of

TILES_A_STEP = 16
"""Rows of so many tiles go in one transaction, short enough for other writers."""
STEPS_A_RUN = 256
SPANS_A_STEP = 512
FRAMES_A_RUN = 10_000
DAYS_A_YEAR = 366
"""A year of retention is never shorter than a calendar year."""
FIRST_POSSIBLE = datetime(2025, 1, 1, tzinfo=UTC)
"""What says it was received earlier was received under a wrong clock, and stays."""

log = logging.getLogger("cunzheng.gateway")


@dataclass
class Pruned:
    """What one run let go."""

    rows: int = 0
    tiles: int = 0
    frames: int = 0


class Retention:
    """Prunes one gateway; blocking, runs beside the event loop."""

    def __init__(self, pipeline: Pipeline, settings: RetentionSettings) -> None:
        self._pipeline, self._settings = pipeline, settings
        self._call, self._raw = pipeline.writer.call, pipeline.raw
        self._spared: dict[int, int] = {}
        """How many rows of each epoch stay however old, as the last run left them."""

    def run(self) -> Pruned:
        """Let go of what may go, up to a bound; the next run goes on."""
        done = Pruned()
        sure = self._call(newest_receipt)
        if sure is None:
            return done
        now = min(parse_time(sure), self._pipeline.signer.clock.now())
        rows_before = now - timedelta(days=self._settings.rows_days)
        files_before = now - timedelta(days=DAYS_A_YEAR * self._settings.years)
        for kept in self._call(kept_of_all):
            self._drop_files(kept, files_before, done)
            self._drop_rows(kept.epoch, rows_before, done)
        first, before = time_text(FIRST_POSSIBLE), time_text(max(files_before, FIRST_POSSIBLE))
        done.frames = self._call(partial(drop_unread, first=first, before=before, limit=FRAMES_A_RUN))
        if done != Pruned():
            log.info("retention rows=%d tiles=%d frames=%d", done.rows, done.tiles, done.frames)
        return done

    # -- rows -----------------------------------------------------------------------------------------------

    def _drop_rows(self, epoch: int, before: datetime, done: Pruned) -> None:
        for _ in range(STEPS_A_RUN):
            first = self._call(partial(kept_of, epoch=epoch)).rows_from
            end = self._call(partial(_ready, epoch=epoch, first=first, before=before))
            good = self._checked(epoch, first, end)
            # Also when nothing new may go: rows that were called back for a late reading go again.
            if good > first or self._call(partial(old_rows, epoch=epoch)) > self._spared.get(epoch, 0):
                done.rows += self._drop(Kept(epoch, rows_from=good))
            if good < end:
                self._raise(epoch, good)
            else:
                self._call(partial(clear_problem, key=_key(epoch)))
            if good - first < TILES_A_STEP:
                return

    def _checked(self, epoch: int, first: int, end: int) -> int:
        """Return up to which tile the files hold all that the rows and the roots say."""
        for number in range(first, end):
            root, salt, rows = self._call(partial(_tile_of, epoch=epoch, number=number))
            wanted = tile_of(epoch, number, salt, rows)
            # The lines come from rows, so that they need not be read to be hashed; the file must hold the very same.
            lines = enumerate(wanted.lines, number * TILE_WIDTH)
            hashes = [leaf_hash(salted_line(line, index, salt)) for index, line in lines]
            try:
                if len(hashes) != TILE_WIDTH or tile_hash(hashes) != root or self._raw.read(epoch, number) != wanted:
                    return number
            except IntegrityError:
                return number
        return end

    def _raise(self, epoch: int, number: int) -> None:
        now = time_text(self._pipeline.signer.clock.now())
        zh = f"第 {epoch} 期的原始数据块 {number} 与数据库不符，数据库中的行予以保留；请运行 gateway check --repair"
        en = (
            f"raw tile {number} of epoch {epoch} is not what the database holds; the rows stay;"
            " run gateway check --repair"
        )
        self._call(lambda store: raise_problem(store, _key(epoch), zh, en, now))

    # -- files ----------------------------------------------------------------------------------------------

    def _drop_files(self, kept: Kept, before: datetime, done: Pruned) -> None:
        epoch, first = kept.epoch, kept.files_from
        end = self._call(partial(_ready, epoch=epoch, first=first, before=before))
        is_signed = self._signed_month() if end > first else _always
        for _ in range(STEPS_A_RUN if end > first else 0):
            end = self._call(partial(_ready, epoch=epoch, first=first, before=before, is_settled=is_signed))
            if end == first:
                break
            # The database says first that they are gone; a file that outlives a power cut goes with the next run.
            done.rows += self._drop(Kept(epoch, rows_from=end, files_from=end))
            done.tiles, first = done.tiles + end - first, end
        if first:
            self._raw.drop_before(epoch, first)

    def _signed_month(self) -> Callable[[SealedSpan], bool]:
        zone, periods = self._pipeline.signer.identity.zone_info, self._call(_signed_periods)
        return lambda span: f"{parse_time(span.hour).astimezone(zone):%Y-%m}" in periods

    def _drop(self, kept: Kept) -> int:
        def drop(store: Store) -> tuple[int, int]:
            keep_from(store, kept)
            return drop_rows(store, kept.epoch, needed_rows(store)), old_rows(store, kept.epoch)

        dropped, self._spared[kept.epoch] = self._call(drop)
        return dropped


def _key(epoch: int) -> str:
    return f"retention:{epoch}"


def _tile_of(store: Store, epoch: int, number: int) -> tuple[bytes, bytes, list[StoredReading]]:
    row = store.row("SELECT hash, salt FROM tile WHERE epoch = ? AND level = 1 AND n = ?", (epoch, number))
    start = number * TILE_WIDTH
    rows = sealed_readings(store, epoch, start, start + TILE_WIDTH)
    return (b"", b"", rows) if row is None else (row["hash"], row["salt"], rows)


def _always(_span: SealedSpan) -> bool:
    return True


def _ready(
    store: Store,
    epoch: int,
    first: int,
    before: datetime,
    is_settled: Callable[[SealedSpan], bool] = _always,
) -> int:
    """Return up to which tile, from `first` on, everything may go; the last full tile always stays."""
    reached = first * TILE_WIDTH
    for span in spans_from(store, epoch, reached, SPANS_A_STEP):
        if not _is_older(span, before) or not is_settled(span):
            break
        reached = max(reached, span.end)
        if reached // TILE_WIDTH - first >= TILES_A_STEP:
            break
    return max(first, min(reached // TILE_WIDTH, full_tiles(store, epoch) - 1, first + TILES_A_STEP))


def _is_older(span: SealedSpan, before: datetime) -> bool:
    if span.received is None:
        return False
    return max(parse_time(span.received), parse_time(span.signed), parse_time(span.hour) + HOUR) < before


def _signed_periods(store: Store) -> frozenset[str]:
    months = [*own_statements(store, "month"), *(one.statement for one in pulled_statements(store, "month"))]
    return frozenset(str(one.payload["period"]) for one in months)
