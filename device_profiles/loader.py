"""From a profile's text to a `Profile`, or to a list of everything wrong with it.

Order: lines and plain data (`document`), JSON Schema (`schema`), meaning (here and in the builders), test vectors
(`vectors`). A profile that fails any of them is refused whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from types import MappingProxyType
from typing import Any

from evidence.encoding import jcs, sha256_hex

from .addresses import wire_address
from .context import Context, decimal
from .document import Document, read_document
from .document import Path as Place
from .errors import Fault, ProfileError
from .identity import IDENTIFICATION_OBJECTS
from .model import MatchTest, Parameter, Point, QualityRules, Rule, Serial, Table, Transport
from .mqtt_builder import MqttBuilder
from .point_builder import PointBuilder
from .profile import Profile
from .quality import FLAG_OF, Quality
from .repeats import expanded
from .schema import check
from .vector_builder import VectorBuilder
from .vectors import vector_faults


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
    found = builder.context.faults or vector_faults(profile, document)
    if found:
        raise ProfileError(tuple(sorted(found, key=lambda fault: (fault.line, fault.key))))
    return profile


def content_hash(data: Any) -> str:
    """Name a profile's content: layout and comments of the file do not count, every value does."""
    return sha256_hex(jcs(data))


class _Builder:
    """Turns one schema-checked document into a profile, collecting faults on the way."""

    def __init__(self, document: Document) -> None:
        self.context = Context(document)
        self.parameters = {
            name: self.parameter(name, given) for name, given in self.context.data.get("parameters", {}).items()
        }

    def profile(self) -> Profile:
        data, context = self.context.data, self.context
        written = expanded(context)
        context.know({name: given for name, (_, given) in written.items()})
        builder = PointBuilder(context, self.parameters)
        points = {name: builder.point(name, given, place) for name, (place, given) in written.items()}
        vectors = VectorBuilder(context, points)
        profile = Profile(
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
            mqtt=MqttBuilder(context).mqtt(data["mqtt"], points) if "mqtt" in data else None,
            vectors=tuple(vectors.vector(at, given) for at, given in enumerate(data["vectors"])),
            quality=tuple(self.quality(place, given, points) for place, given in self.groups()),
            match=tuple(self.match(at, given) for at, given in enumerate(data.get("match", []))),
            unconfirmed=tuple(data.get("unconfirmed", [])),
        )
        self.check_links(profile)
        return profile

    def parameter(self, name: str, given: Mapping[str, Any]) -> Parameter:
        """Build one commissioning parameter: a number with a unit, or a choice of words."""
        place: Place = ("parameters", name)
        required = given.get("required", "default" not in given)
        choices = tuple(given.get("enum", ()))
        default = given.get("default")
        if not required and "default" not in given:
            self.context.fault(place, "非必填参数须有 default", "a parameter not required needs a default")
        if bool(choices) == ("unit" in given):
            self.context.fault(place, "须且只须有 unit 或 enum", "exactly one is needed of unit, enum")
        if not choices and default is not None and not _is_decimal(default):
            self.context.fault((*place, "default"), f"{default} 不是数", f"{default} is no decimal number")
            default = None
        if choices and default is not None and default not in choices:
            self.context.fault((*place, "default"), f"{default} 不在 enum 中", f"{default} is not in enum")
        return Parameter(
            name,
            MappingProxyType(given["name"]),
            given.get("unit", ""),
            required,
            default if choices else decimal(default),
            decimal(given.get("lowest")),
            decimal(given.get("highest")),
            choices,
        )

    # --- what the states say ----------------------------------------------------------------------

    def groups(self) -> list[tuple[Place, Mapping[str, Any]]]:
        """List the groups of quality rules with their places; one group may stand without a list."""
        given = self.context.data.get("quality", [])
        if isinstance(given, dict):
            return [(("quality",), given)]
        return [(("quality", at), one) for at, one in enumerate(given)]

    def quality(self, place: Place, given: Mapping[str, Any], points: Mapping[str, Point]) -> QualityRules:
        """Build one group of quality rules."""
        for at, name in enumerate(given["applies_to"]):
            self.context.point((*place, "applies_to", at), name)
        rules = []
        for at, one in enumerate(given["rules"]):
            condition = self.context.condition((*place, "rules", at, "when"), one["when"])
            quality = Quality(one["state"])
            if quality is not Quality.VALID and "reason" not in one:
                self.context.fault((*place, "rules", at), "缺少键 reason", "the key reason is missing")
            if condition is not None:
                rules.append(Rule(condition, quality, one.get("hj212", FLAG_OF[quality]), one.get("reason", "")))
        return QualityRules(tuple(given["applies_to"]), given.get("read_state") == "before_and_after", tuple(rules))

    def match(self, at: int, given: Mapping[str, Any]) -> MatchTest:
        """Build one identity test."""
        if "point" in given:
            self.context.point(("match", at, "point"), given["point"])
        named, equals = given.get("identification"), given.get("equals", [])
        return MatchTest(
            given.get("point", ""),
            tuple(str(one) for one in (equals if isinstance(equals, list) else [equals])),
            decimal(given.get("lowest")),
            decimal(given.get("highest")),
            given["otherwise"],
            None if named is None else IDENTIFICATION_OBJECTS.index(named),
        )

    def check_links(self, profile: Profile) -> None:
        """Check that error counters fit, and that no point needs itself to be decoded."""
        for name, point in profile.points.items():
            counter = point.totaliser.error_counter if point.totaliser else ""
            if counter in profile.points and profile.points[counter].role.value != "total":
                self.context.fault(
                    (*point.place, "totaliser", "error_counter"), f"{counter} 不是累计量", f"{counter} is no total"
                )
            if self._reaches(profile, name, name, set()):
                self.context.fault(point.place, "测点依赖自身", "the point needs itself to be decoded")

    def _reaches(self, profile: Profile, start: str, wanted: str, seen: set[str]) -> bool:
        for name in profile.points[start].needs if start in profile.points else ():
            if name == wanted:
                return True
            if name not in seen:
                seen.add(name)
                if self._reaches(profile, name, wanted, seen):
                    return True
        return False

    # --- the way to the device ---------------------------------------------------------------------

    def transport(self, given: Mapping[str, Any], points: Mapping[str, Point]) -> Transport:
        """Build the transport hints and check that no point lies in a forbidden range."""
        forbidden = []
        for at, one in enumerate(given.get("forbidden", [])):
            place: Place = ("transport", "forbidden", at)
            base = self.context.data["address_base"]
            named = one.get("table")
            if named is None and base in ("wire0", "number1"):
                named = self.context.defaults.get("table")
            try:
                table, first = wire_address(one["first"], base, Table(named) if named else None)
                _, last = wire_address(one["last"], base, Table(named) if named else None)
            except ValueError as error:
                self.context.fault(place, f"地址不对：{error}", str(error))
                continue
            forbidden.append((table, first, last))
            for point in points.values():
                if any(at is table and low <= last and low + size > first for at, low, size in point.pieces):
                    self.context.fault(
                        place, f"其中有测点 {point.id}", f"the point {point.id} is inside a forbidden range"
                    )
        line, ids = given.get("serial"), given.get("unit_ids", [1, 247])
        plain = {
            key: value for key, value in given.items() if key not in ("forbidden", "protocols", "serial", "unit_ids")
        }
        return Transport(
            protocols=tuple(given.get("protocols", ["tcp"])),
            forbidden=tuple(forbidden),
            serial=None if line is None else Serial(line["baud"], line["data_bits"], line["parity"], line["stop_bits"]),
            unit_ids=(ids[0], ids[1]),
            **plain,
        )


def _is_decimal(given: str | int) -> bool:
    try:
        return Decimal(given).is_finite()
    except InvalidOperation:
        return False
