"""From a profile's text to a `Profile`, or to a list of everything wrong with it.

Order: lines and plain data (`document`), JSON Schema (`schema`), meaning (here), test vectors (`vectors`).
A profile that fails any of them is refused whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from evidence.encoding import jcs, sha256_hex

from .addresses import HIGHEST, wire_address
from .document import Document, read_document
from .document import Path as Place
from .errors import Fault, ProfileError
from .model import (
    Invalid,
    Mqtt,
    Parameter,
    PayloadState,
    Point,
    Role,
    Table,
    Totaliser,
    Transport,
    Vector,
)
from .profile import Profile
from .quality import FLAG_OF, Quality
from .schema import check
from .units import AMOUNT_KINDS, UNITS, rate_per_hour
from .vectors import vector_faults
from .words import FLOATS, SIZED, fits, hex_words, width

#: Types of points that come out of JSON.
JSON_TYPES = ("number", "text_number", "bool", "string")


def load(path_or_text: Path | str) -> Profile:
    """Load a profile from a path, or from its text (anything with a line break in it).

    Raises: ProfileError naming file, line and key of everything wrong; OSError where the file cannot be read.
    """
    if isinstance(path_or_text, str) and "\n" in path_or_text:
        return load_text(path_or_text, "<text>")
    path = Path(path_or_text)
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        says = f"byte {error.start}"
        raise ProfileError((Fault(str(path), 1, "", f"不是 UTF-8：{says}", f"not UTF-8: {says}"),)) from error
    return load_text(text, str(path))


def load_text(text: str, source: str) -> Profile:
    """Load a profile from its text; `source` names it in messages.

    Raises: ProfileError.
    """
    document = read_document(text, source)
    faults = check(document)
    if faults:
        raise ProfileError(tuple(faults))
    builder = _Builder(document)
    profile = builder.profile()
    found = builder.faults or vector_faults(profile, document)
    if found:
        raise ProfileError(tuple(sorted(found, key=lambda fault: (fault.line, fault.key))))
    return profile


def content_hash(data: Any) -> str:
    """Name a profile's content: layout and comments of the file do not count, every value does."""
    return sha256_hex(jcs(data))


class _Builder:
    """Turns one schema-checked document into a profile, collecting faults on the way."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.data: Mapping[str, Any] = document.data
        self.faults: list[Fault] = []
        self.defaults: Mapping[str, Any] = self.data.get("defaults", {})
        self.parameters = {name: self.parameter(name, given) for name, given in self.data.get("parameters", {}).items()}

    def fault(self, place: Place, zh: str, en: str) -> None:
        self.faults.append(self.document.fault(place, zh, en))

    def profile(self) -> Profile:
        data = self.data
        points = {name: self.point(name, given) for name, given in data["points"].items()}
        return Profile(
            id=data["profile"],
            version=data["version"],
            hash=content_hash(data),
            vendor=data["vendor"],
            model=data["model"],
            name=MappingProxyType(data["name"]),
            trust=data["trust"],
            sources=tuple(data["sources"]),
            address_base=data.get("address_base", ""),
            transport=self.transport(data.get("transport", {}), points),
            parameters=MappingProxyType(self.parameters),
            points=MappingProxyType(points),
            mqtt=self.mqtt(data["mqtt"], points) if "mqtt" in data else None,
            vectors=tuple(self.vector(at, given, points) for at, given in enumerate(data["vectors"])),
        )

    # --- points ---------------------------------------------------------------------------------

    def parameter(self, name: str, given: Mapping[str, Any]) -> Parameter:
        required = given.get("required", "default" not in given)
        if not required and "default" not in given:
            self.fault(("parameters", name), "非必填参数须有 default", "a parameter not required needs a default")
        return Parameter(
            name,
            MappingProxyType(given["name"]),
            given["unit"],
            required,
            _decimal(given.get("default")),
            _decimal(given.get("lowest")),
            _decimal(given.get("highest")),
        )

    def point(self, name: str, given: Mapping[str, Any]) -> Point:
        place: Place = ("points", name)
        role = Role(given["role"])
        unit = given.get("unit", "")
        kind = given.get("type", self.defaults.get("type", "uint16"))
        self.check_role(place, role, unit, given)
        reading = self.json_place(given) if "mqtt" in self.data else self.word_place(place, given, kind)
        limits = given.get("range", {})
        period = given.get("period", {})
        enum = given.get("enum")
        point = Point(
            id=name,
            name=MappingProxyType(given.get("name", {"zh": name, "en": name})),
            role=role,
            unit=unit,
            type=kind,
            quantity=given.get("quantity", ""),
            basis=given.get("basis", ""),
            scale=_decimal(given.get("scale", 1)) or Decimal(0),
            offset=_decimal(given.get("offset", 0)) or Decimal(0),
            enum=MappingProxyType({int(code): text for code, text in enum.items()}) if enum else None,
            totaliser=self.totaliser(place, given.get("totaliser"), unit),
            lowest=_decimal(limits.get("lowest")),
            highest=_decimal(limits.get("highest")),
            period_s=period.get("seconds"),
            period_label=period.get("label", "start"),
            invalid=self.invalids(place, given, kind, reading.get("words", 1)),
            **reading,
        )
        if point.scale == 0:
            self.fault((*place, "scale"), "scale 不能为 0", "scale must not be 0")
        if kind == "string" and ("scale" in given or "offset" in given or enum):
            self.fault(place, "文本不能有 scale、offset、enum", "text takes no scale, offset or enum")
        if enum and ("scale" in given or "offset" in given or kind in FLOATS):
            self.fault((*place, "enum"), "枚举须为不换算的整数", "an enumeration is an unscaled integer")
        return point

    def check_role(self, place: Place, role: Role, unit: str, given: Mapping[str, Any]) -> None:
        if role in (Role.RATE, Role.TOTAL, Role.INTERVAL) and not unit:
            self.fault(place, f"{role.value} 须有单位 unit", f"the key unit is missing for role {role.value}")
        if role in (Role.TOTAL, Role.INTERVAL) and unit and UNITS[unit].kind not in AMOUNT_KINDS:
            self.fault(
                (*place, "unit"),
                f"{unit} 不是累计量单位",
                f"{unit} is no unit of an amount, as role {role.value} needs",
            )
        if role is Role.TOTAL and "totaliser" not in given:
            self.fault(place, "累计量须有 totaliser", "the key totaliser is missing for role total")
        if role is not Role.TOTAL and "totaliser" in given:
            self.fault((*place, "totaliser"), "仅 role: total 可用", "allowed with role total only")
        if role is Role.INTERVAL and "period" not in given:
            self.fault(place, "时段量须有 period", "the key period is missing for role interval")

    def word_place(self, place: Place, given: Mapping[str, Any], kind: str) -> dict[str, Any]:
        """Read where in the registers a point is."""
        base = given.get("base", self.data["address_base"])
        written_table = given.get("table")
        if written_table is None and base in ("wire0", "number1"):
            written_table = self.defaults.get("table")
        table, address = Table.HOLDING, 0
        try:
            table, address = wire_address(given["address"], base, Table(written_table) if written_table else None)
        except ValueError as error:
            self.fault((*place, "address"), f"地址不对：{error}", str(error))
        if (kind in SIZED) != ("length" in given):
            self.fault(
                place,
                "bcd 和 string 须有 length，其他类型不得有",
                "length is needed with bcd and string, and with no other type",
            )
        words = 1 if kind == "bit" else width(kind, given.get("length", 1))
        order = given.get("order", self.defaults.get("order", "ABCD"))
        if not fits(order, words):
            self.fault((*place, "order"), f"{kind} 不能用 {order}", f"{order} does not fit {kind}")
            order = "ABCD"
        if table.is_bits != (kind == "bit" and "bit" not in given):
            self.fault(
                place,
                "coil、discrete 表只有 bit；寄存器中的 bit 须写明 bit 位号",
                "the tables coil and discrete hold type bit; a bit of a register needs the key bit",
            )
        if "bit" in given and kind != "bit":
            self.fault((*place, "bit"), "仅 type: bit 可用", "allowed with type bit only")
        if address + words - 1 > HIGHEST:
            self.fault((*place, "address"), "超出地址范围", "the point ends outside the address range")
        if words > self.data.get("transport", {}).get("max_registers", 125):
            self.fault(place, "超过 max_registers", "the point is longer than max_registers")
        return {"table": table, "address": address, "words": words, "order": order, "bit": given.get("bit")}

    def json_place(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Read where in a message a point is."""
        return {"pointer": given["pointer"]}

    def totaliser(self, place: Place, given: Mapping[str, Any] | None, unit: str) -> Totaliser | None:
        if given is None:
            return None
        source = given.get("max_rate_from")
        if source is not None:
            if source not in self.parameters:
                self.fault(
                    (*place, "totaliser", "max_rate_from"),
                    f"没有参数 {source}",
                    f"there is no parameter {source}",
                )
            elif unit and rate_per_hour(Decimal(1), self.parameters[source].unit, unit) is None:
                self.fault(
                    (*place, "totaliser", "max_rate_from"),
                    f"{self.parameters[source].unit} 与 {unit} 不匹配",
                    f"{self.parameters[source].unit} is no rate of {unit}",
                )
        modulus = None if given["modulus"] == "none" else _decimal(given["modulus"])
        if modulus is not None and modulus <= 0:
            self.fault((*place, "totaliser", "modulus"), "须大于 0", "must be above 0")
        return Totaliser(
            modulus=modulus,
            resettable=given["resettable"],
            backstep=_decimal(given.get("backstep", 0)) or Decimal(0),
            max_rate=_decimal(given.get("max_rate")),
            max_rate_from=source,
        )

    def invalids(self, place: Place, given: Mapping[str, Any], kind: str, words: int) -> tuple[Invalid, ...]:
        """Collect the point's own sentinels, then those of the defaults that fit its type."""
        own = [(at, one, (*place, "invalid", at)) for at, one in enumerate(given.get("invalid", []))]
        shared = [(at, one, ("defaults", "invalid", at)) for at, one in enumerate(self.defaults.get("invalid", []))]
        result = []
        for _, one, where in own:
            invalid = self.invalid(one, where)
            if not _suits(invalid, kind, words):
                self.fault(where, f"与类型 {kind} 不符", f"does not fit type {kind}")
            result.append(invalid)
        for _, one, where in shared:
            invalid = self.invalid(one, where)
            if _suits(invalid, kind, words) and invalid not in result:
                result.append(invalid)
        return tuple(result)

    def invalid(self, given: Mapping[str, Any], place: Place) -> Invalid:
        means = [key for key in ("nan", "raw", "raw_range", "value", "value_range") if key in given]
        if len(means) != 1:
            self.fault(
                place,
                "须且只须有 nan、raw、raw_range、value、value_range 之一",
                "exactly one is needed of nan, raw, raw_range, value, value_range",
            )
        raw: tuple[int, int] | None = None
        size = 0
        if "raw" in given or "raw_range" in given:
            ends = given.get("raw_range") or [given["raw"], given["raw"]]
            texts = ["".join(end.split()) for end in ends]
            size = len(texts[0]) // 2
            raw = (int(texts[0], 16), int(texts[1], 16))
            if len(texts[0]) != len(texts[1]) or raw[0] > raw[1]:
                self.fault(place, "raw_range 不对", "raw_range must be two words texts of one length, rising")
        value: tuple[Decimal, Decimal] | None = None
        if "value" in given or "value_range" in given:
            low, high = given.get("value_range") or [given["value"], given["value"]]
            value = (Decimal(low), Decimal(high))
            if value[0] > value[1]:
                self.fault(place, "value_range 不对", "value_range must rise")
        quality = Quality(given["state"])
        if quality is Quality.VALID:
            self.fault((*place, "state"), "无效值不能是 valid", "an invalid value cannot be valid")
        return Invalid("nan" in given, raw, size, value, quality, given.get("hj212", FLAG_OF[quality]), given["reason"])

    # --- the ways to the device -------------------------------------------------------------------

    def transport(self, given: Mapping[str, Any], points: Mapping[str, Point]) -> Transport:
        forbidden = []
        for at, one in enumerate(given.get("forbidden", [])):
            place: Place = ("transport", "forbidden", at)
            base = self.data["address_base"]
            named = one.get("table")
            if named is None and base in ("wire0", "number1"):
                named = self.defaults.get("table")
            try:
                table, first = wire_address(one["first"], base, Table(named) if named else None)
                _, last = wire_address(one["last"], base, Table(named) if named else None)
            except ValueError as error:
                self.fault(place, f"地址不对：{error}", str(error))
                continue
            forbidden.append((table, first, last))
            for point in points.values():
                if point.table is table and point.address <= last and point.address + point.words > first:
                    self.fault(place, f"其中有测点 {point.id}", f"the point {point.id} is inside a forbidden range")
        plain = {key: value for key, value in given.items() if key not in ("forbidden", "protocols")}
        return Transport(protocols=tuple(given.get("protocols", ["tcp"])), forbidden=tuple(forbidden), **plain)

    def mqtt(self, given: Mapping[str, Any], points: Mapping[str, Point]) -> Mqtt:
        time = given.get("time", {})
        sequence = given.get("sequence", {})
        quality = given.get("quality", {})
        place: Place = ("mqtt",)
        if (time.get("format") == "local") != ("zone" in time):
            self.fault((*place, "time"), "local 须有 zone，其他格式不得有", "zone is needed with local, and only there")
        if "zone" in time and not _is_zone(time["zone"]):
            self.fault((*place, "time", "zone"), "没有这个时区", f"there is no time zone {time['zone']}")
        for key, there in (("time", time), ("sequence", sequence)):
            if key in given["dedup"] and not there:
                self.fault((*place, "dedup"), f"没有 {key}", f"{key} is used and not described")
        for name in quality.get("applies_to", []):
            if name not in points:
                self.fault((*place, "quality", "applies_to"), f"没有测点 {name}", f"there is no point {name}")
        applies = quality.get("applies_to") or [name for name, point in points.items() if point.kind != "state"]
        topic = given["topic"]
        if any(mark in topic.replace("{device}", "") for mark in "{}+#\0") or topic.count("{device}") != 1:
            self.fault(
                (*place, "topic"),
                "须恰有一个 {device}，不得有通配符",
                "the topic holds {device} exactly once and no wildcard",
            )
        return Mqtt(
            topic=topic,
            format=given["format"],
            time_pointer=time.get("pointer", ""),
            time_format=time.get("format", ""),
            time_zone=time.get("zone", ""),
            sequence_pointer=sequence.get("pointer", ""),
            sequence_modulus=sequence.get("modulus"),
            quality_pointer=quality.get("pointer", ""),
            quality_map=MappingProxyType(
                {word: _payload_state(state) for word, state in quality.get("map", {}).items()}
            ),
            quality_otherwise=_payload_state(quality.get("otherwise", {"state": "valid"})),
            quality_applies_to=tuple(applies) if quality else (),
            dedup=tuple(given["dedup"]),
            retained=given["retained"],
            partial=given.get("partial", False),
            max_bytes=given.get("max_bytes", 65536),
        )

    def vector(self, at: int, given: Mapping[str, Any], points: Mapping[str, Point]) -> Vector:
        place: Place = ("vectors", at)
        words: dict[tuple[Table, int], int] = {}
        for written, text in given.get("words", {}).items():
            named, _, number = written.rpartition(":")
            base = self.data["address_base"]
            if not named and base in ("wire0", "number1"):
                named = self.defaults.get("table", "holding")
            try:
                table, first = wire_address(int(number), base, Table(named) if named else None)
                raw = hex_words(text)
            except ValueError as error:
                self.fault((*place, "words", written), f"地址不对：{error}", str(error))
                continue
            for offset, word in enumerate(raw):
                words[(table, first + offset)] = word
        for name, bit in given.get("bits", {}).items():
            if name not in points or not points[name].table.is_bits:
                self.fault((*place, "bits", name), "不是位表测点", "this is no point of a bit table")
            else:
                words[(points[name].table, points[name].address)] = bit
        for name in given["expect"]:
            if name not in points:
                self.fault((*place, "expect", name), "没有这个测点", "there is no such point")
        payload = given.get("payload")
        return Vector(
            line=self.document.line(place),
            words=MappingProxyType(words),
            payload=None if payload is None else payload.encode("utf-8"),
            topic=given.get("topic", ""),
            retained=given.get("retained", False),
            time=given.get("time", ""),
            sequence=given.get("sequence"),
            expect=MappingProxyType(given["expect"]),
        )


def _decimal(given: str | int | None) -> Decimal | None:
    return None if given is None else Decimal(given)


def _payload_state(given: Mapping[str, str]) -> PayloadState:
    quality = Quality(given["state"])
    reason = given.get("reason", "" if quality is Quality.VALID else "device-quality")
    return PayloadState(quality, given.get("hj212", FLAG_OF[quality]), reason)


def _suits(invalid: Invalid, kind: str, words: int) -> bool:
    if invalid.nan:
        return kind in FLOATS
    if invalid.raw is not None:
        return kind not in ("bit", *JSON_TYPES[:3]) and invalid.raw_bytes == words * 2
    return kind not in ("bit", "bool", "string")


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True
