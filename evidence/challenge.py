"""The retention challenge (C2): raw tiles that nobody could know before, and what the answers to it mean.

A request names a signed month and the size of the log when it was made. A checkpoint signed later fixes which tiles
are asked for, so a plant cannot keep just those, and whoever asks cannot pick them. The log's signature is drawn from
beside the root: whoever appends the next entry knows that root before, and could try statements until the draw misses
what was lost. What was answered, and when, is told to these functions; they ask nobody and know no clock.
"""

import hashlib
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from evidence.errors import Code, EvidenceError
from evidence.note import Checkpoint, NoteKey, parse_note
from evidence.tiles import TILE_WIDTH

LEAST_DRAWS = 299
"""Draws that hit at least one lost tile with 95 % when 1 % are lost: 1 - 0.99 ** 299."""
MOST_DRAWS = 450
"""As many as fit into one statement with what an inspector writes beside them."""


class TileState(StrEnum):
    """What became of one challenged tile."""

    PROVEN = "proven"
    REFUSED = "refused"
    MISSING = "missing"


class Result(StrEnum):
    """What became of a challenge."""

    PASSED = "passed"
    FAILED = "failed"


@dataclass(frozen=True, order=True)
class TileRef:
    """A raw tile: 256 leaves of one gateway's tree."""

    gw: str
    epoch: int
    tile: int


@dataclass(frozen=True)
class Answer:
    """What a gateway said for a challenged tile, and when; without a code, the tile proved itself."""

    at: datetime
    code: str = ""


def tile_count(cover: Iterable[Mapping[str, Any]]) -> int:
    """Count the raw tiles that a month's cover touches."""
    return sum(len(tiles) for _, tiles in _touched(cover))


def seed_of(checkpoint: Checkpoint, log: NoteKey) -> bytes:
    """Return what tiles are drawn from: the 32 bytes of a checkpoint's root and the 64 of the log's signature.

    Raises:
        EvidenceError: ``SIGNATURE`` unless the log signed it exactly once; the signature itself is not checked here.
    """
    lines = parse_note(checkpoint.note).signatures
    signatures = [blob for name, key_id, blob in lines if (name, key_id) == (log.name, log.key_id)]
    if len(signatures) != 1 or len(signatures[0]) != 64:
        raise EvidenceError(Code.SIGNATURE, f"a seed bears one signature of {log.name}, this one {len(signatures)}")
    return checkpoint.root + signatures[0]


def draw(seed: bytes, month: str, cover: Sequence[Mapping[str, Any]], draws: int = LEAST_DRAWS) -> list[TileRef]:
    """Draw tiles of a month, in the order of their first draw, each once.

    Draw k is the first 8 bytes (big-endian) of SHA-256(``seed`` ‖ 32 bytes of the ``month`` sid ‖ big-endian uint32 k)
    modulo the number of tiles; the tiles are counted through the cover, entry by entry.
    """
    return list(dict.fromkeys(_drawn(seed, month, cover, draws)))


def least_size(ref: TileRef, cover: Iterable[Mapping[str, Any]]) -> int:
    """Return how large the proven tree must be at least to hold all that a month has of a tile.

    Raises:
        EvidenceError: ``CHALLENGE_FAIL``: the cover does not touch the tile.
    """
    for part, tiles in _touched(cover):
        if (part["gw"], part["epoch"]) == (ref.gw, ref.epoch) and ref.tile in tiles:
            return min((ref.tile + 1) * TILE_WIDTH, int(part["end"]))
    raise EvidenceError(Code.CHALLENGE_FAIL, f"tile {ref.tile} of {ref.gw} epoch {ref.epoch} is none of the month")


def state_of(answer: Answer | None, due: datetime, now: datetime) -> TileState | None:
    """Judge one tile; None while its answer may still come. What comes after the time allowed does not count."""
    if answer is not None and answer.at <= due:
        return TileState.REFUSED if answer.code else TileState.PROVEN
    return TileState.MISSING if now > due else None


def result_of(states: Iterable[TileState | str | None]) -> Result | None:
    """Judge a challenge by its tiles: one that was not shown fails it; None while nothing failed and not all is in."""
    known = list(states)
    if any(state not in (None, TileState.PROVEN) for state in known):
        return Result.FAILED
    return Result.PASSED if known and None not in known else None


def check_tiles(
    challenge: Mapping[str, Any],
    checkpoint: Checkpoint,
    log: NoteKey,
    cover: Sequence[Mapping[str, Any]],
    logged_at: int | None,
) -> None:
    """Check a challenge of a statement (its schema holds) against its checkpoint, whose signature was verified.

    ``cover`` is that of the challenged month, ``logged_at`` the month's log index, None when that is not known.

    Raises:
        EvidenceError: ``CHALLENGE_FAIL``, or ``SIGNATURE`` as of ``seed_of``.
    """
    asked = challenge["asked"]
    if checkpoint.size <= asked:
        raise EvidenceError(
            Code.CHALLENGE_FAIL, f"its seed of {checkpoint.size} entries was known when it was asked, at {asked}"
        )
    if logged_at is not None and logged_at >= asked:
        raise EvidenceError(Code.CHALLENGE_FAIL, f"asked at {asked}, before the month was logged at {logged_at}")
    stated = [TileRef(one["gw"], one["epoch"], one["tile"]) for one in challenge["tiles"]]
    if not _follow(stated, seed_of(checkpoint, log), challenge["month"], cover):
        raise EvidenceError(Code.CHALLENGE_FAIL, "its tiles do not follow from its seed")
    result = result_of(one["state"] for one in challenge["tiles"])
    if result != challenge["result"]:
        raise EvidenceError(Code.CHALLENGE_FAIL, f"its result is {challenge['result']}, its tiles say {result}")


def check_result(challenge: Mapping[str, Any]) -> None:
    """Check that a challenge was passed.

    Raises:
        EvidenceError: ``CHALLENGE_FAIL``, saying how many tiles were not shown, and the first.
    """
    lost = [one for one in challenge["tiles"] if one["state"] != TileState.PROVEN]
    if challenge["result"] == Result.FAILED and lost:
        first = lost[0]
        raise EvidenceError(
            Code.CHALLENGE_FAIL,
            f"{len(lost)} of {len(challenge['tiles'])} challenged tiles were not shown, first tile {first['tile']} of"
            f" {first['gw']} epoch {first['epoch']}: {first['state']}",
        )


def _follow(stated: Sequence[TileRef], seed: bytes, month: str, cover: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether tiles are those of some number of draws, of LEAST_DRAWS at least."""
    drawn: dict[TileRef, None] = {}
    for count, tile in enumerate(_drawn(seed, month, cover, MOST_DRAWS), 1):
        drawn.setdefault(tile)
        if count >= LEAST_DRAWS and len(drawn) >= len(stated):
            break
    return list(drawn) == list(stated)


def _drawn(seed: bytes, month: str, cover: Sequence[Mapping[str, Any]], draws: int) -> Iterator[TileRef]:
    touched = list(_touched(cover))
    count = sum(len(tiles) for _, tiles in touched)
    if not count:
        return
    begun = hashlib.sha256(seed + bytes.fromhex(month))
    for counter in range(draws):
        digest = begun.copy()
        digest.update(struct.pack(">I", counter))
        number = int.from_bytes(digest.digest()[:8], "big") % count
        for part, tiles in touched:
            if number < len(tiles):
                yield TileRef(part["gw"], part["epoch"], tiles[number])
                break
            number -= len(tiles)


def _touched(cover: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], range]]:
    for part in cover:
        yield part, range(part["start"] // TILE_WIDTH, -(-part["end"] // TILE_WIDTH))
