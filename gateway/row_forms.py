"""What each column of the database can hold, and what the columns of a row say together: forms as data.

Only what this program writes fits; who looks at the rows is `gateway/row_check.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from evidence.channel import Channel
from evidence.encoding import MAX_SAFE_INTEGER, parse_decimal, parse_time, sha256_hex
from evidence.errors import EvidenceError
from evidence.merkle import HASH_BYTES
from evidence.reading import FLAG_NAMED, TILE_SALT_BYTES
from evidence.statement import parse
from evidence.trust import Trust
from gateway.errors import GarbledError, Words
from gateway.quality_store import record_of
from gateway.store import Row

UNREADABLE = (EvidenceError, GarbledError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError)
"""What those raise who read a row that holds something else than was written."""
_SHOWN = 40
_HEX64 = re.compile(r"[0-9a-f]{64}\Z", re.ASCII)
_WHOLE = re.compile(r"-?[0-9]{1,18}\Z", re.ASCII)


@dataclass(frozen=True)
class Form:
    """What a column holds; `read` raises one of UNREADABLE, or returns False, for anything else."""

    zh: str
    en: str
    read: Callable[[Any], object]

    def is_met_by(self, value: object) -> bool:
        """Tell whether a value is what was once written."""
        try:
            return self.read(value) is not False
        except (*UNREADABLE, OSError):  # a time zone may name a folder
            return False


def is_digest(value: object) -> bool:
    """Tell whether a value is the text of a SHA-256 in hexadecimal."""
    return isinstance(value, str) and bool(_HEX64.match(value))


def shown(value: object) -> str:
    """Write a value so that it fits into a sentence, whatever it is: bytes that are no text as `\\xff`."""
    text = value.hex() if isinstance(value, bytes) else str(value)
    short = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    return "".join(one if one.isprintable() else f"\\x{ord(one) & 0xFF:02x}" for one in short)


def said_of(column: str, value: object, zh: str, en: str) -> Words:
    """Say what is wrong with the value of a column."""
    return (f"{column} 的值“{shown(value)}”{zh}", f'{column} "{shown(value)}" {en}')


# -- columns -----------------------------------------------------------------------------------------------


def _int_of(text: str) -> int:
    if not _WHOLE.match(text):
        raise ValueError("no whole number")
    return int(text)


def _hashes(text: str) -> bool:
    found = json.loads(text)
    return isinstance(found, list) and all(is_digest(one) for one in found)


def _baseline(text: str) -> None:
    value, time = json.loads(text)
    parse_decimal(value)
    parse_time(time)


def _baselines(text: str) -> None:
    for one in json.loads(text).values():
        _baseline(one)


def _anchor(text: str) -> bool:
    found = json.loads(text)
    return isinstance(found["origin"], str) and isinstance(found["size"], int) and is_digest(found["root"])


_TIME = Form("不是时间", "is no time", parse_time)
_DECIMAL = Form("不是十进制数", "is no decimal number", parse_decimal)
_FLAG = Form("不是已知的数据标记", "is no known flag", lambda value: value in FLAG_NAMED)
_DIGEST = Form("不是 SHA-256 摘要", "is no SHA-256 digest", is_digest)
_COUNT = Form("不是非负整数", "is no count", lambda value: 0 <= value <= MAX_SAFE_INTEGER)
_TRUTH = Form("不是 0 或 1", "is neither 0 nor 1", lambda value: value in (0, 1))
_HASH = Form("长度不对", "has the wrong length", lambda value: len(value) == HASH_BYTES)
_SALT = Form("长度不对", "has the wrong length", lambda value: len(value) == TILE_SALT_BYTES)
_EDGE = Form("长度不对", "has the wrong length", lambda value: len(value) % HASH_BYTES == 0)
_STATEMENT = Form("不是声明", "is no statement", parse)
_JSON = Form("不是 JSON", "is no JSON", json.loads)
_HOUR = Form("不是时间", "is no time", lambda value: value == "" or parse_time(value))
"""Rows that were read out of raw tiles have lost the name of their hour."""

FORMS: Mapping[str, Mapping[str, Form]] = {
    "channel": {
        "config": Form("不是通道声明", "declares no channel", lambda text: Channel.from_config(json.loads(text))),
        "sid": _DIGEST,
    },
    "channel_state": {"carry": Form("不是数与时间", "is no number and time", _baseline)},
    "content": {"sha256": _DIGEST, "size": _COUNT, "stored": _TRUTH},
    "device_clock": {"shown": _TIME, "read": _TIME, "offset_s": _DECIMAL},
    "device_identity": {"since": _TIME, "seen": _TIME},
    "hj212_frame": {"sha256": _DIGEST, "received": _TIME, "times": _COUNT},
    "import_file": {"sha256": _DIGEST, "map_sha256": _DIGEST, "rows": _COUNT, "stored": _COUNT, "imported": _TIME},
    "kept": {"epoch": _COUNT, "rows_from": _COUNT, "files_from": _COUNT},
    "outbox": {
        "sid": _DIGEST,
        "consistency": Form("不是哈希列表", "is no list of hashes", _hashes),
        "queued": _TIME,
        "state": Form(
            "不是已知的状态", "is no known state", lambda one: one in ("queued", "held", "refused", "logged")
        ),
    },
    "problem": {"since": _TIME},
    "pulled": {"sid": _DIGEST, "jws": _STATEMENT},
    "quality_count": {"n": _COUNT},
    "quality_record": {"data": _JSON, "sid": _DIGEST},
    "quarantine": {"received": _TIME},
    "reading": {
        "time": _TIME,
        "hour": _HOUR,
        "value": _DECIMAL,
        "flag": _FLAG,
        "received": _TIME,
        "imported": _TRUTH,
        "epoch": _COUNT,
        "leaf": _COUNT,
    },
    "receipt": {"sid": _DIGEST, "log_index": _COUNT, "stored": _TIME},
    "sealing": {
        "epoch": _COUNT,
        "hour": _TIME,
        "at": _COUNT,
        "upto": _COUNT,
        "start": _COUNT,
        "entries": _JSON,
        "baselines": Form("不是数与时间", "is no list of numbers and times", _baselines),
    },
    "segment": {"start": _COUNT, "end": _COUNT, "hour": _TIME, "sid": _DIGEST},
    "statement": {"epoch": _COUNT, "seq": _COUNT, "sid": _DIGEST, "t": _TIME},
    "tile": {"epoch": _COUNT, "level": _COUNT, "n": _COUNT, "hash": _HASH, "salt": _SALT},
    "tree": {"epoch": _COUNT, "size": _COUNT, "edge": _EDGE, "salt": _SALT},
}

"""By table and column. What a statement says is looked at with the chain."""

_REMEMBERED: Mapping[str, Form] = {
    "epoch": Form("不是整数", "is no whole number", _int_of),
    "zone": Form("不是时区", "is no time zone", ZoneInfo),
    "pull_next": Form("不是整数", "is no whole number", _int_of),
    "anchor": Form("不是检查点", "is no checkpoint", _anchor),
    "trust": Form("不是可信文件", "is no trust file", lambda text: Trust.from_json(json.loads(text))),
    "clock_trusted": _TIME,
    "clock_used": _TIME,
    "mqtt_session": _TIME,
    "hj212_seen": _TIME,
    "reload": _JSON,
}
"""What the `identity` table remembers, by name up to a colon."""


# -- what the columns of a row say together ----------------------------------------------------------------


def _identity(row: Row) -> Words | None:
    form = _REMEMBERED.get(row["name"].partition(":")[0])
    return None if form is None or form.is_met_by(row["value"]) else said_of("value", row["value"], form.zh, form.en)


def _reading(row: Row) -> Words | None:
    if row["value"] is None and row["flag"] == "N":
        return ("标记为 N 却没有数值", "is flagged N and has no value")
    if (row["leaf"] is None) != (row["epoch"] is None) or (row["leaf"] is None and not row["hour"]):
        return ("期、叶或小时缺失", "lacks its epoch, leaf or hour")
    return None


def _frame(row: Row) -> Words | None:
    return (
        None
        if sha256_hex(row["raw"]) == row["sha256"]
        else ("报文与其摘要不符", "the frame is not what its digest says")
    )


def _pulled(row: Row) -> Words | None:
    said = parse(row["jws"])
    return (
        None
        if (said.sid, said.kind) == (row["sid"], row["kind"])
        else ("编号与内容不符", "is filed under the wrong name")
    )


def _record(row: Row) -> Words | None:
    try:
        record_of(row["kind"], json.loads(row["data"]))
    except UNREADABLE:
        return said_of("data", row["data"], "不是标记或校准记录", "is no mark or calibration")
    return None


def _channel(row: Row) -> Words | None:
    same = json.loads(row["config"])["channel"] == row["id"]
    return None if same else ("编号与声明不符", "is filed under another id than it declares")


RULES: Mapping[str, Callable[[Row], Words | None]] = {
    "channel": _channel,
    "hj212_frame": _frame,
    "identity": _identity,
    "pulled": _pulled,
    "quality_record": _record,
    "reading": _reading,
}
"""By table: what is wrong with a row whose columns are right; None where nothing is."""
