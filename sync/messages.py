"""The messages between gateway and centre, and their JSON.

Each is frozen and checked when it is read: an unknown member, a wrong type or a list over its limit is
refused with its path. Statements inside are opaque text here; who may say what is decided by the centre.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sync.fields import Fields, dump, parse, present

MAX_ITEMS = 1000
"""Statements in one push, and items in one pull."""
MAX_SAMPLES = 5000
MAX_PATH = 64
TILE_LEAVES = 256
NO_LONGER_KEPT = "NO_LONGER_KEPT"
"""What a refusal says of a tile that is older than the gateway's retention; no fault, so no code of verification."""


class Status(StrEnum):
    """What became of a pushed statement."""

    LOGGED = "logged"
    WAITING = "waiting"
    """In the log, but its checkpoint waits for cosignatures: there is no receipt yet."""
    HELD = "held"
    REFUSED = "refused"


@dataclass(frozen=True)
class PushItem:
    """A statement; a segment brings the consistency proof from the previous end of its tree.

    `sm2` is a second signature in hexadecimal, where the plant's policy asks for one.
    """

    jws: str
    consistency: tuple[str, ...] | None = None
    sm2: str | None = None

    @classmethod
    def read(cls, value: Any, where: str) -> PushItem:
        fields = Fields(value, where)
        item = cls(fields.text("jws"), fields.optional_texts("consistency", MAX_PATH), fields.optional_text("sm2"))
        fields.end()
        return item


@dataclass(frozen=True)
class Push:
    """Statements from a gateway, oldest first."""

    items: tuple[PushItem, ...]

    def to_json(self) -> str:
        items = [
            present({"jws": item.jws, "consistency": _list(item.consistency), "sm2": item.sm2}) for item in self.items
        ]
        return dump({"items": items})

    @classmethod
    def from_json(cls, text: str | bytes) -> Push:
        fields = Fields(parse(text))
        message = cls(fields.objects("items", MAX_ITEMS, PushItem.read))
        fields.end()
        return message


@dataclass(frozen=True)
class ItemResult:
    """What became of one statement: with a receipt, or a code, or the statement that is missing before it."""

    sid: str
    status: Status
    receipt: str | None = None
    code: str | None = None
    detail: str | None = None
    missing: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return present(
            {
                "sid": self.sid,
                "status": self.status.value,
                "receipt": self.receipt,
                "code": self.code,
                "detail": self.detail,
                "missing": self.missing,
            }
        )

    @classmethod
    def read(cls, value: Any, where: str) -> ItemResult:
        fields = Fields(value, where)
        status = fields.text("status")
        result = cls(
            fields.text("sid"),
            # A status this program does not know is as good as no answer: the item stays in the queue.
            Status(status) if status in set(Status) else Status.HELD,
            fields.optional_text("receipt"),
            fields.optional_text("code"),
            fields.optional_text("detail"),
            fields.optional_text("missing"),
        )
        fields.end()
        return result


@dataclass(frozen=True)
class PushResult:
    """The centre's answer to a push, in the order of its items."""

    results: tuple[ItemResult, ...]

    def to_json(self) -> str:
        return dump({"results": [result.to_dict() for result in self.results]})

    @classmethod
    def from_json(cls, text: str | bytes) -> PushResult:
        fields = Fields(parse(text))
        message = cls(fields.objects("results", MAX_ITEMS, ItemResult.read))
        fields.end()
        return message


@dataclass(frozen=True)
class PulledItem:
    """A statement of somebody else about the gateway's plant."""

    index: int
    jws: str
    receipt: str

    @classmethod
    def read(cls, value: Any, where: str) -> PulledItem:
        fields = Fields(value, where)
        item = cls(fields.number("index"), fields.text("jws"), fields.text("receipt"))
        fields.end()
        return item


@dataclass(frozen=True)
class ContentRef:
    """A content that pulled statements name."""

    sha256: str
    size: int

    @classmethod
    def read(cls, value: Any, where: str) -> ContentRef:
        fields = Fields(value, where)
        item = cls(fields.text("sha256"), fields.number("size"))
        fields.end()
        return item


@dataclass(frozen=True)
class TileWanted:
    """The centre asks for the raw readings of one 256-leaf tile."""

    id: str
    epoch: int
    tile: int

    @classmethod
    def read(cls, value: Any, where: str) -> TileWanted:
        fields = Fields(value, where)
        item = cls(fields.text("id"), fields.number("epoch"), fields.number("tile"))
        fields.end()
        return item


@dataclass(frozen=True)
class PullResult:
    """What is new for the plant; `next` is what to ask after the next time."""

    items: tuple[PulledItem, ...]
    next: int
    contents: tuple[ContentRef, ...] = ()
    wants: tuple[TileWanted, ...] = ()

    def to_json(self) -> str:
        return dump(
            {
                "items": [{"index": i.index, "jws": i.jws, "receipt": i.receipt} for i in self.items],
                "next": self.next,
                "contents": [{"sha256": c.sha256, "size": c.size} for c in self.contents],
                "wants": [{"id": w.id, "epoch": w.epoch, "tile": w.tile} for w in self.wants],
            }
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> PullResult:
        fields = Fields(parse(text))
        message = cls(
            fields.objects("items", MAX_ITEMS, PulledItem.read),
            fields.number("next"),
            fields.objects("contents", MAX_ITEMS, ContentRef.read),
            fields.objects("wants", MAX_ITEMS, TileWanted.read),
        )
        fields.end()
        return message


@dataclass(frozen=True)
class Pull:
    """Ask for what was logged about the plant after log number `after` (−1: from the beginning).

    As a query string it is `after=<number>&wait=<seconds>`; −1 is left out. A gateway that says its `epoch` also gets
    what other devices signed, and what it signed itself in earlier epochs.
    """

    after: int = -1
    wait: int = 0
    epoch: int | None = None

    def to_query(self) -> dict[str, str]:
        query = {"wait": str(self.wait)}
        if self.epoch is not None:
            query["epoch"] = str(self.epoch)
        return query if self.after < 0 else {"after": str(self.after), **query}


@dataclass(frozen=True)
class LiveSample:
    """A live value for the plant page; never evidence."""

    channel: str
    time: str
    value: str | None
    unit: str
    flag: str

    @classmethod
    def read(cls, value: Any, where: str) -> LiveSample:
        fields = Fields(value, where)
        sample = cls(
            fields.text("channel"),
            fields.text("time"),
            fields.optional_text("value"),
            fields.text("unit"),
            fields.text("flag"),
        )
        fields.end()
        return sample


@dataclass(frozen=True)
class Live:
    """Live values since the last such message."""

    samples: tuple[LiveSample, ...]

    def to_json(self) -> str:
        return dump(
            {
                "samples": [
                    present({"channel": s.channel, "time": s.time, "value": s.value, "unit": s.unit, "flag": s.flag})
                    for s in self.samples
                ]
            }
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> Live:
        fields = Fields(parse(text))
        message = cls(fields.objects("samples", MAX_SAMPLES, LiveSample.read))
        fields.end()
        return message


@dataclass(frozen=True)
class TileAnswer:
    """The readings of one tile, with the proof of the tile.

    `lines` are leaf lines without salt, `raw` holds a `RawSide` text for each of them; `tile_salt` and
    `path` are hexadecimal; `size` is the end of the logged segment whose root the path leads to.
    """

    id: str
    epoch: int
    tile: int
    size: int
    tile_salt: str
    lines: tuple[str, ...]
    path: tuple[str, ...]
    raw: tuple[str, ...]

    def to_json(self) -> str:
        return dump(
            {
                "id": self.id,
                "epoch": self.epoch,
                "tile": self.tile,
                "size": self.size,
                "tile_salt": self.tile_salt,
                "lines": list(self.lines),
                "path": list(self.path),
                "raw": list(self.raw),
            }
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> TileAnswer:
        fields = Fields(parse(text))
        message = cls(
            fields.text("id"),
            fields.number("epoch"),
            fields.number("tile"),
            fields.number("size"),
            fields.text("tile_salt"),
            fields.texts("lines", TILE_LEAVES),
            fields.texts("path", MAX_PATH),
            fields.texts("raw", TILE_LEAVES),
        )
        fields.end()
        return message


@dataclass(frozen=True)
class TileRefusal:
    """The gateway cannot show a tile that was asked for: a code, and why in two languages.

    The code is one of verification, or `NO_LONGER_KEPT`.
    """

    id: str
    epoch: int
    tile: int
    code: str
    zh: str
    en: str

    def to_json(self) -> str:
        return dump(
            {
                "id": self.id,
                "epoch": self.epoch,
                "tile": self.tile,
                "code": self.code,
                "reason": {"zh": self.zh, "en": self.en},
            }
        )

    @classmethod
    def read(cls, value: Any) -> TileRefusal:
        fields = Fields(value)
        where = (fields.text("id"), fields.number("epoch"), fields.number("tile"), fields.text("code"))
        reason = fields.object("reason")
        message = cls(*where, reason.text("zh"), reason.text("en"))
        reason.end()
        fields.end()
        return message


def read_tile(text: str | bytes) -> TileAnswer | TileRefusal:
    """Read what a gateway says to a want: the tile, or why it cannot be shown."""
    value = parse(text)
    return TileRefusal.read(value) if isinstance(value, dict) and "code" in value else TileAnswer.from_json(text)


def _list(values: tuple[str, ...] | None) -> list[str] | None:
    return None if values is None else list(values)
