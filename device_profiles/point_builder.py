"""The points and parameters of a profile: from the words of the file to what the decoder works by."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from .addresses import HIGHEST
from .clocks import COUNT_FIELDS, DATE_FIELDS
from .context import Context, decimal
from .document import Path as Place
from .model import (
    ClockRule,
    Invalid,
    OrderFrom,
    Parameter,
    Part,
    Point,
    Role,
    ScaleFrom,
    Totaliser,
)
from .mqtt_builder import is_zone
from .profile import PER_HOUR
from .quality import FLAG_OF, Quality
from .units import AMOUNT_KINDS, UNITS, rate_per_hour
from .words import BYTES, FLOATS, SIZED, fits, width

#: Types of points that come out of JSON or Sparkplug.
JSON_TYPES = ("number", "text_number", "bool", "string")
BIT_TYPES = ("bit", "bits")
#: Roles whose values are amounts or rates, and so have a unit.
MEASURED = (Role.RATE, Role.TOTAL, Role.INTERVAL)


class PointBuilder:
    """Builds points one by one, noting faults in the context."""

    def __init__(self, context: Context, parameters: Mapping[str, Parameter]) -> None:
        self.context, self.parameters = context, parameters
        self.fault = context.fault

    def point(self, name: str, given: Mapping[str, Any], place: Place) -> Point:
        """Build one point."""
        role = Role(given["role"])
        unit = given.get("unit", "")
        kind = given.get("type", self.context.defaults.get("type", "uint16"))
        self.check_role(place, role, unit, given)
        reading = self.reading(place, given, kind)
        if given.get("parts") and "clock" not in given:
            kind = reading["parts"][0].type if reading["parts"] else kind
        limits = given.get("range", {})
        configured = given.get("configured", {})
        period = given.get("period", {})
        enum = given.get("enum")
        scale_from = given.get("scale_from", {})
        point = Point(
            id=name,
            name=MappingProxyType(given.get("name", {"zh": name, "en": name})),
            role=role,
            unit=unit,
            type=kind,
            quantity=given.get("quantity", ""),
            basis=given.get("basis", ""),
            scale=decimal(given.get("scale", 1)) or Decimal(0),
            offset=decimal(given.get("offset", 0)) or Decimal(0),
            enum=MappingProxyType({int(code): text for code, text in enum.items()}) if enum else None,
            totaliser=self.totaliser(place, given.get("totaliser"), unit, _count_worth(given, kind)),
            lowest=decimal(limits.get("lowest")),
            highest=decimal(limits.get("highest")),
            max_change_per_s=decimal(limits.get("max_change_per_s")),
            period_s=period.get("seconds"),
            period_label=period.get("label", "start"),
            invalid=self.invalids(place, given, kind, reading.get("words", 1)),
            scale_from=self.scale_from(place, scale_from),
            scale_parameter=scale_from.get("parameter", ""),
            percent_of=given.get("percent_of", ""),
            unit_from=given.get("unit_from", ""),
            order_from=self.order_from(place, given, kind, reading),
            only_if=(given["only_if"]["point"], given["only_if"]["equals"]) if "only_if" in given else None,
            clock=self.clock(place, given),
            configured=(decimal(configured.get("lowest")), decimal(configured.get("highest"))),
            configured_from=(configured.get("lowest_from", ""), configured.get("highest_from", "")),
            watched=given.get("watched", True),
            place=place,
            **reading,
        )
        self.check_sense(place, point, given, kind)
        return point

    # --- what fits together ---------------------------------------------------------------------

    def check_role(self, place: Place, role: Role, unit: str, given: Mapping[str, Any]) -> None:
        """Check unit, totaliser and period against the role."""
        if role in MEASURED and not unit and "unit_from" not in given:
            self.fault(place, f"{role.value} 须有单位 unit", f"the key unit is missing for role {role.value}")
        if unit and "unit_from" in given:
            self.fault((*place, "unit_from"), "unit 与 unit_from 只能有其一", "unit and unit_from exclude each other")
        units = [unit] if unit else self.units_of(place, given.get("unit_from"))
        for one in units:
            if role in (Role.TOTAL, Role.INTERVAL) and UNITS[one].kind not in AMOUNT_KINDS:
                self.fault(
                    (*place, "unit"),
                    f"{one} 不是累计量单位",
                    f"{one} is no unit of an amount, as role {role.value} needs",
                )
        if role is Role.TOTAL and "totaliser" not in given:
            self.fault(place, "累计量须有 totaliser", "the key totaliser is missing for role total")
        if role is not Role.TOTAL and "totaliser" in given:
            self.fault((*place, "totaliser"), "仅 role: total 可用", "allowed with role total only")
        if role is not Role.IDENTITY and "watched" in given:
            self.fault((*place, "watched"), "仅 role: identity 可用", "allowed with role identity only")
        if role is Role.INTERVAL and "period" not in given:
            self.fault(place, "时段量须有 period", "the key period is missing for role interval")

    def units_of(self, place: Place, parameter: str | None) -> list[str]:
        """List the units that a parameter may choose."""
        if parameter is None or not self.context.parameter((*place, "unit_from"), parameter):
            return []
        wrong = [one for one in self.parameters[parameter].choices if one not in UNITS]
        if wrong or not self.parameters[parameter].choices:
            named = wrong[0] if wrong else parameter
            self.fault((*place, "unit_from"), f"{named} 不是单位", f"{named} is no unit of the closed list")
            return []
        return list(self.parameters[parameter].choices)

    def check_sense(self, place: Place, point: Point, given: Mapping[str, Any], kind: str) -> None:
        """Check what one key means for another."""
        if point.scale == 0:
            self.fault((*place, "scale"), "scale 不能为 0", "scale must not be 0")
        scaled = "scale" in given or "offset" in given or "scale_from" in given or "percent_of" in given
        if kind == "string" and (scaled or point.enum):
            self.fault(place, "文本不能有 scale、offset、enum", "text takes no scale, offset or enum")
        if point.enum and (scaled or kind in FLOATS):
            self.fault((*place, "enum"), "枚举须为不换算的整数", "an enumeration is an unscaled integer")
        if point.clock is not None and scaled:
            self.fault(place, "时钟不能换算", "a clock takes no scale or offset")
        for key in ("percent_of", "scale_from"):
            name = point.percent_of if key == "percent_of" else point.scale_parameter
            if not name or not self.context.parameter((*place, key), name):
                continue
            if self.parameters[name].is_choice:
                self.fault((*place, key), f"{name} 不是数值参数", f"the parameter {name} is no number")
            elif key == "percent_of" and point.unit and self.parameters[name].unit != point.unit:
                self.fault(
                    (*place, key),
                    f"参数单位 {self.parameters[name].unit} 与 {point.unit} 不同",
                    f"the parameter's unit {self.parameters[name].unit} is not {point.unit}",
                )
        for name in point.configured_from:
            if name:
                self.context.parameter((*place, "configured"), name)
        if point.only_if is not None:
            self.context.point((*place, "only_if"), point.only_if[0])

    # --- where it is ---------------------------------------------------------------------------

    def reading(self, place: Place, given: Mapping[str, Any], kind: str) -> dict[str, Any]:
        """Read where the point is: in the registers, in a message, or in a blob of bytes inside a message."""
        if "mqtt" in self.context.data:
            found = {"pointer": given.get("pointer", ""), "metric": given.get("metric", ""), "at": given.get("at")}
            if given.get("at") is None:
                if kind not in JSON_TYPES:
                    self.fault(place, f"{kind} 只能用于数据块（at）", f"{kind} is for points of a blob (at) only")
                return found
            if kind in JSON_TYPES[:3]:
                self.fault(place, f"数据块不能用 {kind}", f"{kind} is no type of a blob")
                return found
            return {**found, **self.blob_place(place, given, kind)}
        if "parts" in given:
            return self.composite(place, given)
        return self.word_place(place, given, kind)

    def blob_place(self, place: Place, given: Mapping[str, Any], kind: str) -> dict[str, Any]:
        """Read the place of a point in a blob: a byte, a bit of a byte, or some registers from a byte on."""
        order = given.get("order", "ABCD")
        words = 1 if kind in (*BIT_TYPES, *BYTES) else width(kind, given.get("length", 1))
        if not fits(order, words):
            self.fault((*place, "order"), f"{kind} 不能用 {order}", f"{order} does not fit {kind}")
            order = "ABCD"
        if (kind in SIZED) != ("length" in given) or (kind == "bit") != ("bit" in given):
            self.fault(place, "缺少或多余 length、bit", "length goes with bcd and string, bit with bit")
        return {"words": words, "order": order, "bit": given.get("bit")}

    def word_place(self, place: Place, given: Mapping[str, Any], kind: str) -> dict[str, Any]:
        """Read where in the registers a point is."""
        table, address = self.context.wire((*place, "address"), given, given["address"])
        if (kind in SIZED) != ("length" in given):
            self.fault(
                place,
                "bcd 和 string 须有 length，其他类型不得有",
                "length is needed with bcd and string, and with no other type",
            )
        words = 1 if kind in BIT_TYPES else width(kind, given.get("length", 1))
        order = given.get("order", self.context.defaults.get("order", "ABCD"))
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
        if ("bits" in given) != (kind == "bits"):
            self.fault(place, "bits 与 type: bits 须同时使用", "the key bits and type bits go together")
        if ("byte" in given) != (kind in BYTES):
            self.fault(place, "int8、uint8 须有 byte: high 或 low", "byte (high or low) goes with int8 and uint8 only")
        if address + words - 1 > HIGHEST:
            self.fault((*place, "address"), "超出地址范围", "the point ends outside the address range")
        if words > self.context.data.get("transport", {}).get("max_registers", 125):
            self.fault(place, "超过 max_registers", "the point is longer than max_registers")
        return {
            "table": table,
            "address": address,
            "words": words,
            "order": order,
            "bit": self.bit((*place, "bit"), given.get("bit")),
            "bits": self.bit_range((*place, "bits"), given.get("bits")),
            "byte": given.get("byte", ""),
        }

    def bit(self, place: Place, written: int | None) -> int | None:
        """Count a bit from 0, whatever the manual counts from."""
        if written is None:
            return None
        bit = written - int(self.context.defaults.get("bits_from", 0))
        if not 0 <= bit <= 15:
            self.fault(place, f"没有第 {written} 位", f"a register has no bit {written}")
            return 0
        return bit

    def bit_range(self, place: Place, written: list[int] | None) -> tuple[int, int] | None:
        """Count a range of bits from 0."""
        if written is None:
            return None
        low, high = (self.bit(place, one) or 0 for one in written)
        if low > high:
            self.fault(place, "位范围须由低到高", "the range of bits must rise")
        return low, max(low, high)

    def composite(self, place: Place, given: Mapping[str, Any]) -> dict[str, Any]:
        """Read the parts of a composite; they are one request unless it says tear_check."""
        fixed = "order" in given or "order" in self.context.defaults
        usual = "" if "order_from" in given else given.get("order", self.context.defaults.get("order", "ABCD"))
        if not fixed and "order_from" in self.context.defaults:
            usual = ""
        parts = [self.part((*place, "parts", at), one, given, usual) for at, one in enumerate(given["parts"])]
        tear_check = given.get("tear_check", False)
        table = parts[0].table
        first = min(part.address for part in parts)
        words = max(part.address + part.words for part in parts) - first
        if not tear_check:
            if any(part.table is not table for part in parts):
                self.fault((*place, "parts"), "各部分须在同一表", "the parts must be in one table, or need tear_check")
            elif words > self.context.data.get("transport", {}).get("max_registers", 125):
                self.fault((*place, "parts"), "超过 max_registers，须 tear_check", "too far apart; needs tear_check")
        return {
            "parts": tuple(parts),
            "tear_check": tear_check,
            "table": table,
            "address": first,
            "words": words,
            "order": usual or "ABCD",
        }

    def part(self, place: Place, one: Mapping[str, Any], given: Mapping[str, Any], usual: str) -> Part:
        """Read one part."""
        kind = one.get("type", given.get("type", self.context.defaults.get("type", "uint16")))
        shared = {key: given[key] for key in ("base", "table") if key in given}
        read = self.word_place(place, {**shared, **one, "order": one.get("order", usual or "ABCD")}, kind)
        if kind in ("string", *BIT_TYPES):
            self.fault((*place, "type"), f"{kind} 不能相加", f"{kind} is no part of a sum")
        if ("field" in one) != ("clock" in given):
            self.fault(place, "field 与 clock 须同时使用", "the key field goes with clock")
        return Part(
            read["table"],
            read["address"],
            read["words"],
            kind,
            one.get("order", usual),
            read["byte"],
            decimal(one.get("weight", 1)) or Decimal(0),
            decimal(one.get("add", 0)) or Decimal(0),
            one.get("field", ""),
        )

    def scale_from(self, place: Place, given: Mapping[str, Any]) -> ScaleFrom | None:
        """Read where a factor comes from, if it is a point."""
        if "point" not in given:
            return None
        self.context.point((*place, "scale_from", "point"), given["point"])
        table = given.get("map")
        if ("as" in given) == (table is not None):
            self.fault((*place, "scale_from"), "须且只须有 as 或 map", "exactly one is needed of as, map")
        return ScaleFrom(
            given["point"],
            given.get("as", "factor"),
            None if table is None else MappingProxyType({int(code): Decimal(text) for code, text in table.items()}),
        )

    def order_from(
        self, place: Place, given: Mapping[str, Any], kind: str, reading: Mapping[str, Any]
    ) -> OrderFrom | None:
        """Read where the word order comes from: the point's own rule, or the default for all longer than a register."""
        rule = given.get("order_from")
        if rule is None and "order_from" in self.context.defaults and "order" not in given:
            longest = max((part.words for part in reading.get("parts", ())), default=reading.get("words", 1))
            rule = self.context.defaults["order_from"] if longest > 1 and kind != "string" else None
        if rule is None or given.get("clock"):
            return None
        if "order" in given:
            self.fault((*place, "order"), "与 order_from 冲突", "order and order_from exclude each other")
        self.context.point((*place, "order_from"), rule["point"])
        return OrderFrom(rule["point"], MappingProxyType({int(code): order for code, order in rule["map"].items()}))

    def clock(self, place: Place, given: Mapping[str, Any]) -> ClockRule | None:
        """Read the zone of a clock point."""
        rule = given.get("clock")
        if rule is None:
            return None
        if given["role"] != "clock" or "parts" not in given:
            self.fault((*place, "clock"), "须 role: clock 且有 parts", "needs role clock and parts")
        fields = [part.get("field") for part in given.get("parts", [])]
        if len(set(fields)) != len(fields) or not (
            (len(fields) == 1 and fields[0] in COUNT_FIELDS) or set(DATE_FIELDS[:3]) <= set(fields) <= set(DATE_FIELDS)
        ):
            self.fault(
                (*place, "parts"),
                "须为 unix_s、unix_ms 之一，或年月日（时分秒）各一",
                "one count since 1970, or year, month and day (hour, minute, second) once each",
            )
        counted = any(name in COUNT_FIELDS for name in fields)
        named = [key for key in ("zone", "zone_from") if key in rule]
        if len(named) != (0 if counted else 1):
            self.fault(
                (*place, "clock"),
                "日期须有 zone 或 zone_from，秒计数不得有",
                "a date needs zone or zone_from; a count since 1970 has none",
            )
        if "zone" in rule and not is_zone(rule["zone"]):
            self.fault((*place, "clock", "zone"), "没有这个时区", f"there is no time zone {rule['zone']}")
        if "zone_from" in rule:
            self.context.point((*place, "clock", "zone_from"), rule["zone_from"])
        return ClockRule(rule.get("zone", ""), rule.get("zone_from", ""), rule.get("max_offset_s"))

    # --- what its numbers mean ------------------------------------------------------------------

    def totaliser(
        self, place: Place, given: Mapping[str, Any] | None, unit: str, count_worth: Decimal
    ) -> Totaliser | None:
        """Read how a running total behaves; its resolution is what one count is worth unless stated."""
        if given is None:
            return None
        place = (*place, "totaliser")
        source = given.get("max_rate_from")
        if source is not None and self.context.parameter((*place, "max_rate_from"), source):
            rate_unit = self.parameters[source].unit
            if rate_unit not in ("", PER_HOUR) and unit and rate_per_hour(Decimal(1), rate_unit, unit) is None:
                self.fault(
                    (*place, "max_rate_from"), f"{rate_unit} 与 {unit} 不匹配", f"{rate_unit} is no rate of {unit}"
                )
        modulus = None if given["modulus"] == "none" else decimal(given["modulus"])
        if modulus is not None and modulus <= 0:
            self.fault((*place, "modulus"), "须大于 0", "must be above 0")
        counter = given.get("error_counter", "")
        if counter:
            self.context.point((*place, "error_counter"), counter)
        step = Decimal(given["step"]) if "step" in given else count_worth
        if step <= 0:
            self.fault((*place, "step"), "须大于 0", "must be above 0")
        return Totaliser(
            modulus=modulus,
            resettable=given["resettable"],
            backstep=decimal(given.get("backstep", 0)) or Decimal(0),
            max_rate=decimal(given.get("max_rate")),
            max_rate_from=source,
            error_counter=counter,
            step=step,
        )

    def invalids(self, place: Place, given: Mapping[str, Any], kind: str, words: int) -> tuple[Invalid, ...]:
        """Collect the point's own sentinels, then those of the defaults that fit its type."""
        composite = "parts" in given
        result = []
        for at, one in enumerate(given.get("invalid", [])):
            where = (*place, "invalid", at)
            invalid = self.invalid(one, where)
            if not _suits(invalid, kind, words) or (composite and invalid.raw is not None):
                self.fault(where, f"与类型 {kind} 不符", f"does not fit type {kind}")
            result.append(invalid)
        for at, one in enumerate(self.context.defaults.get("invalid", [])):
            invalid = self.invalid(one, ("defaults", "invalid", at))
            fits_here = _suits(invalid, kind, words) and not (
                composite and (invalid.raw is not None or "clock" in given)
            )
            if fits_here and invalid not in result:
                result.append(invalid)
        return tuple(result)

    def invalid(self, given: Mapping[str, Any], place: Place) -> Invalid:
        """Read one sentinel."""
        means = [key for key in ("nan", "raw", "raw_range", "value", "value_range") if key in given]
        if len(means) != 1 and not (not means and "when" in given):
            self.fault(
                place,
                "须且只须有 nan、raw、raw_range、value、value_range 之一（或只有 when）",
                "exactly one is needed of nan, raw, raw_range, value, value_range (or when alone)",
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
        when = self.context.condition((*place, "when"), given["when"]) if "when" in given else None
        flag = given.get("hj212", FLAG_OF[quality])
        return Invalid("nan" in given, raw, size, value, quality, flag, given["reason"], when)


def _suits(invalid: Invalid, kind: str, words: int) -> bool:
    if invalid.nan:
        return kind in FLOATS
    if invalid.raw is not None:
        return kind not in (*BIT_TYPES, *BYTES, *JSON_TYPES[:3]) and invalid.raw_bytes == words * 2
    if invalid.value is None:
        return kind != "string"
    return kind not in ("bit", "bool", "string")


def _count_worth(given: Mapping[str, Any], kind: str) -> Decimal:
    """Return what one count of an integer total is worth; 1 where the words do not tell."""
    is_count = "int" in kind or "bcd" in kind
    if not is_count or any(key in given for key in ("parts", "scale_from", "percent_of")):
        return Decimal(1)
    return abs(decimal(given.get("scale", 1)) or Decimal(1))
