"""Sparkplug B 3.0 payloads: bytes to metrics and back. What a metric means is for `sparkplug`.

Only single values are read; data sets, templates, files and arrays come out as metrics without a value.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from .errors import EncodeError, PayloadError
from .protobuf import ProtobufError, bytes_field, double_field, fields, float_field, varint_field
from .words import number

#: More metrics than this in one message are not those of a meter.
MAX_METRICS = 10_000

#: Data types by number: bits and sign of whole numbers.
SIGNED = {1: 8, 2: 16, 3: 32, 4: 64}
UNSIGNED = {5: 8, 6: 16, 7: 32, 8: 64, 13: 64}
FLOAT, DOUBLE, BOOLEAN, STRING, DATETIME, TEXT = 9, 10, 11, 12, 13, 14

QUALITY_PROPERTY = "Quality"

Value = Decimal | bool | str


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric as sent: a name (always in a birth), an alias, or both."""

    name: str = ""
    alias: int | None = None
    timestamp: int | None = None
    datatype: int = 0
    value: Value | None = None
    is_null: bool = False
    is_historical: bool = False
    quality: int | None = None


@dataclass(frozen=True, slots=True)
class SparkplugPayload:
    """One message: its time in ms, its sequence number, its metrics."""

    timestamp: int | None
    seq: int | None
    metrics: tuple[Metric, ...]


@dataclass
class _Raw:
    """Fields of a metric before its data type is known: it may follow the value, or stand in the birth only."""

    name: str = ""
    alias: int | None = None
    timestamp: int | None = None
    datatype: int = 0
    is_null: bool = False
    is_historical: bool = False
    quality: int | None = None
    field: int = 0
    content: int | bytes = 0


def read_payload(data: bytes, datatypes: dict[int, int] | None = None) -> SparkplugPayload:
    """Read a message; `datatypes` by alias fill in for metrics that do not repeat theirs.

    Raises: PayloadError (code not-sparkplug).
    """
    timestamp: int | None = None
    seq: int | None = None
    metrics: list[Metric] = []
    try:
        for field, content in fields(data):
            if field == 1 and isinstance(content, int):
                timestamp = content
            elif field == 3 and isinstance(content, int):
                seq = content
            elif field == 2 and isinstance(content, bytes):
                if len(metrics) >= MAX_METRICS:
                    raise PayloadError("not-sparkplug", f"more than {MAX_METRICS} metrics")
                metrics.append(_metric(content, datatypes or {}))
    except (ProtobufError, UnicodeDecodeError) as error:
        raise PayloadError("not-sparkplug", str(error)) from error
    return SparkplugPayload(timestamp, seq, tuple(metrics))


def _metric(data: bytes, datatypes: dict[int, int]) -> Metric:
    raw = _Raw()
    for field, content in fields(data):
        if isinstance(content, int):
            if field == 2:
                raw.alias = content
            elif field == 3:
                raw.timestamp = content
            elif field == 4:
                raw.datatype = content
            elif field == 5:
                raw.is_historical = bool(content)
            elif field == 7:
                raw.is_null = bool(content)
            elif 10 <= field <= 14:
                raw.field, raw.content = field, content
        elif field == 1:
            raw.name = content.decode("utf-8")
        elif field == 9:
            raw.quality = _quality(content)
        elif field == 15:
            raw.field, raw.content = field, content
    datatype = raw.datatype or datatypes.get(raw.alias if raw.alias is not None else -1, 0)
    value = None if raw.is_null else _value(raw.field, raw.content, datatype)
    return Metric(raw.name, raw.alias, raw.timestamp, datatype, value, raw.is_null, raw.is_historical, raw.quality)


def _value(field: int, content: int | bytes, datatype: int) -> Value | None:
    if field == 15 and isinstance(content, bytes):
        return content.decode("utf-8")
    if isinstance(content, bytes) or field == 0:
        return None
    if field == 14:
        return bool(content)
    if field == 12:
        return number("float32", content.to_bytes(4, "big"))
    if field == 13:
        return number("float64", content.to_bytes(8, "big"))
    if datatype in SIGNED:
        bits = SIGNED[datatype]
        whole = content & (1 << bits) - 1
        return Decimal(whole - (1 << bits) if whole >> bits - 1 else whole)
    if datatype in UNSIGNED:
        return Decimal(content & (1 << UNSIGNED[datatype]) - 1)
    return None


def _quality(data: bytes) -> int | None:
    keys: list[str] = []
    values: list[int | None] = []
    for field, content in fields(data):
        if field == 1 and isinstance(content, bytes):
            keys.append(content.decode("utf-8"))
        elif field == 2 and isinstance(content, bytes):
            found = [one for number_, one in fields(content) if number_ in (3, 4) and isinstance(one, int)]
            values.append(found[0] if found else None)
    return dict(zip(keys, values, strict=False)).get(QUALITY_PROPERTY)


def write_payload(payload: SparkplugPayload) -> bytes:
    """Write a message, as an edge node does.

    Raises: EncodeError for a value that its data type cannot hold.
    """
    result = b"" if payload.timestamp is None else varint_field(1, payload.timestamp)
    for metric in payload.metrics:
        result += bytes_field(2, _metric_bytes(metric))
    return result if payload.seq is None else result + varint_field(3, payload.seq)


def _metric_bytes(metric: Metric) -> bytes:
    result = bytes_field(1, metric.name.encode("utf-8")) if metric.name else b""
    for field, value in ((2, metric.alias), (3, metric.timestamp), (4, metric.datatype or None)):
        if value is not None:
            result += varint_field(field, value)
    if metric.is_historical:
        result += varint_field(5, 1)
    if metric.is_null or metric.value is None:
        result += varint_field(7, 1)
    if metric.quality is not None:
        entry = varint_field(1, 3) + varint_field(3, metric.quality)
        result += bytes_field(9, bytes_field(1, QUALITY_PROPERTY.encode()) + bytes_field(2, entry))
    if metric.value is None or metric.is_null:
        return result
    return result + _value_bytes(metric.datatype, metric.value)


def _value_bytes(datatype: int, value: Value) -> bytes:
    if isinstance(value, str):
        return bytes_field(15, value.encode("utf-8"))
    if isinstance(value, bool):
        return varint_field(14, int(value))
    if datatype == FLOAT:
        return float_field(12, float(value))
    if datatype == DOUBLE:
        return double_field(13, float(value))
    bits = {**SIGNED, **UNSIGNED}.get(datatype)
    if bits is None or value != int(value):
        raise EncodeError(f"{value} does not fit data type {datatype}")
    # Small signed types travel in 32 bits, in two's complement.
    wide = 64 if bits == 64 else 32
    return varint_field(11 if bits == 64 else 10, int(value) & (1 << wide) - 1)
