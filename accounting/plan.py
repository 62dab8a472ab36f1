"""plan.json: the plant's master data that accounting stands on (数据质量控制方案 in data).

Which accounting subjects there are, which items each one counts, and where an item's quantity is
from: a gateway channel or a captured ledger value. Unknown members are refused with their path.
"""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, model_validator

from accounting import units
from accounting.cems_rules import packaged_rules
from accounting.documents import ChannelId, Closed, Id, Name, Number, Text, read_document, refusal
from accounting.errors import PlanError, UnitError
from accounting.formulas.sectors import sector_of
from accounting.parameter_set import ParameterSet

ENTERPRISE = "enterprise"
AUXILIARY_ROLES = ("electricity", "heat")


class PlanSubject(Closed):
    """Something that has a total of its own: the enterprise, or one process line."""

    id: Id
    kind: Literal["enterprise", "process"]
    name: Name
    process: Id | None = None

    @model_validator(mode="after")
    def _process_lines_name_their_process(self) -> PlanSubject:
        if (self.process is None) != (self.kind == ENTERPRISE):
            raise refusal("process is given for a process line and only there", "process 只用于工序，且必须填写")
        return self


class LedgerRef(Closed):
    """A captured value, by its parameter; where several subjects capture it, also by subject."""

    ledger: Text
    subject: Id | None = None


class ItemSource(Closed):
    """Where an item's quantity is from: exactly one of channel and ledger.

    `backup` is the channel that counts for a month in which `channel` has no usable reading.
    """

    channel: ChannelId | None = None
    backup: ChannelId | None = None
    gw: ChannelId | None = None
    ledger: Text | None = None
    subject: Id | None = None

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels it may come from, the backup included."""
        return tuple(name for name in (self.channel, self.backup) if name is not None)

    @model_validator(mode="after")
    def _one_source(self) -> ItemSource:
        if (self.channel is None) == (self.ledger is None):
            raise refusal("give either channel or ledger", "channel 与 ledger 必须且只能填一个")
        if self.channel is None and self.gw is not None:
            raise refusal("gw belongs to a channel", "gw 只用于 channel")
        if self.backup is not None and self.backup == self.channel:
            raise refusal("backup is another channel", "backup 应为另一个通道")
        if self.channel is None and self.backup is not None:
            raise refusal("backup belongs to a channel", "backup 只用于 channel")
        if self.ledger is None and self.subject is not None:
            raise refusal("subject belongs to a ledger value", "subject 只用于 ledger")
        return self


class PlanItem(Closed):
    """A quantity that is accounted for: what, in which role, for which subjects."""

    id: Id
    name: Name
    role: Literal["fuel", "input", "product", "electricity", "heat", "output"]
    material: Id
    subjects: Annotated[list[Id], Field(min_length=1)]
    source: ItemSource
    unit: Text
    ncv: LedgerRef | None = None
    carbon: LedgerRef | None = None


class PlanChannel(Closed):
    """A name for a channel that feeds no item, so that pages can say what it measures."""

    id: ChannelId
    name: Name


class CemsPlan(Closed):
    """How missing hours of the stack measurement are filled: a rule set, and the potentials that it may ask for.

    ``potential`` is the largest mass in t/h, ``potential_co2`` and ``potential_flow`` are in the units of the channels.
    """

    rules: Text
    potential: Number | None = None
    potential_co2: Number | None = None
    potential_flow: Number | None = None

    @model_validator(mode="after")
    def _rules_are_packaged(self) -> CemsPlan:
        known = packaged_rules()
        if self.rules not in known:
            raise refusal(
                f"unknown rule set {self.rules!r}: known are {', '.join(known)}",
                f"未知规则集“{self.rules}”：现有 {'、'.join(known)}",
            )
        return self


class Plan(Closed):
    """The master data of one plant."""

    v: Literal[1]
    plant: Id
    name: Name
    zone: Text
    region: Annotated[str, Field(pattern=r"^[0-9]{6}$")]
    sector: Text
    parameters: Id
    subjects: Annotated[list[PlanSubject], Field(min_length=1)]
    items: Annotated[list[PlanItem], Field(min_length=1)]
    channels: Annotated[list[PlanChannel], Field(default_factory=list)]
    cems: CemsPlan | None = None
    """A cross-check; nothing of the month's accounting follows from it."""

    @property
    def zone_info(self) -> ZoneInfo:
        """The plant's legal time zone."""
        return zone_of(self.zone)

    @property
    def fuel_channels(self) -> dict[str, frozenset[str]]:
        """The channels that count the fuels of each subject."""
        fuels = [item for item in self.items if item.role == "fuel"]
        return {
            subject.id: frozenset(
                channel for item in fuels if subject.id in item.subjects for channel in item.source.channels
            )
            for subject in self.subjects
        }


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone by its name.

    Raises:
        PlanError: there is no such zone.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise PlanError(
            f"plan.json: zone: unknown time zone {name!r}; use a name like Asia/Shanghai",
            f"plan.json：zone：未知时区“{name}”，请使用 Asia/Shanghai 这样的名称",
        ) from None


def read_plan(data: bytes) -> Plan:
    """Read a plan from its bytes and check what can be checked without a parameter set.

    Raises:
        PlanError: naming the member that is wrong.
    """
    plan = read_document(data, Plan, "plan.json", PlanError)
    zone_of(plan.zone)
    _check_subjects(plan)
    _check_items(plan)
    return plan


def check_against(plan: Plan, parameters: ParameterSet) -> None:
    """Check that a plan and a parameter set fit each other.

    Raises:
        PlanError: naming the member that does not fit.
        ParameterError: the sector has no formulas.
    """
    for member, mine, theirs in (
        ("parameters", plan.parameters, parameters.id),
        ("sector", plan.sector, parameters.sector),
    ):
        if mine != theirs:
            raise _wrong(
                member,
                f"{mine!r} does not match the parameter set, which is {theirs!r}",
                f"“{mine}”与参数集“{theirs}”不一致",
            )
    known = {process.id for process in parameters.processes}
    for n, subject in enumerate(plan.subjects):
        if subject.process is not None and subject.process not in known:
            raise _wrong(
                f"subjects[{n}].process",
                f"unknown process {subject.process!r}; known are {', '.join(sorted(known))}",
                f"未知工序“{subject.process}”；现有 {'、'.join(sorted(known))}",
            )
    for n, item in enumerate(plan.items):
        _check_material(f"items[{n}]", item, parameters)


def _check_subjects(plan: Plan) -> None:
    ids = [subject.id for subject in plan.subjects]
    for n, name in enumerate(ids):
        if name in ids[:n]:
            raise _wrong(f"subjects[{n}].id", f"{name!r} stands twice", f"“{name}”重复")
    if sum(subject.kind == ENTERPRISE for subject in plan.subjects) != 1:
        raise _wrong("subjects", "exactly one subject is the enterprise", "必须且只能有一个企业层级主体")


def _check_items(plan: Plan) -> None:
    kinds = {subject.id: subject.kind for subject in plan.subjects}
    seen: set[str] = set()
    for n, item in enumerate(plan.items):
        where = f"items[{n}]"
        if item.id in seen:
            raise _wrong(f"{where}.id", f"{item.id!r} stands twice", f"“{item.id}”重复")
        seen.add(item.id)
        try:
            units.unit(item.unit)
        except UnitError as error:
            raise _wrong(f"{where}.unit", error.en, error.zh) from None
        for k, name in enumerate(item.subjects):
            if name not in kinds:
                raise _wrong(f"{where}.subjects[{k}]", f"unknown subject {name!r}", f"未知主体“{name}”")
            if name in item.subjects[:k]:
                raise _wrong(f"{where}.subjects[{k}]", f"{name!r} stands twice", f"“{name}”重复")
            if item.role == "output" and kinds[name] == ENTERPRISE:
                raise _wrong(
                    f"{where}.role",
                    "output leaves a process line; for the enterprise use product",
                    "output 只用于工序；企业层级请用 product",
                )
        if item.role != "fuel" and (item.ncv or item.carbon):
            raise _wrong(f"{where}.role", "ncv and carbon belong to fuels", "ncv 和 carbon 只用于燃料")
        if item.source.subject is not None and item.source.subject not in kinds:
            raise _wrong(
                f"{where}.source.subject",
                f"unknown subject {item.source.subject!r}",
                f"未知主体“{item.source.subject}”",
            )


def _check_material(where: str, item: PlanItem, parameters: ParameterSet) -> None:
    material = parameters.find_material(item.material)
    if material is None:
        raise _wrong(
            f"{where}.material",
            f"unknown material {item.material!r} in parameter set {parameters.id}",
            f"参数集 {parameters.id} 中没有物料“{item.material}”",
        )
    if item.role in AUXILIARY_ROLES and item.material != item.role:
        raise _wrong(
            f"{where}.material",
            f"role {item.role!r} has material {item.role!r}",
            f"角色“{item.role}”的物料应为“{item.role}”",
        )
    for value in sector_of(parameters.sector).needed_values(item.role, material):
        if value not in material.values:
            raise _wrong(
                f"{where}.material",
                f"{item.material!r} cannot be {item.role}: parameter set {parameters.id} has no {value!r} for it",
                f"“{item.material}”不能作为 {item.role}：参数集 {parameters.id} 中没有其“{value}”",
            )
    if not units.is_convertible(item.unit, material.unit):
        raise _wrong(
            f"{where}.unit",
            f"{item.unit!r} cannot become {material.unit!r}, the unit of {item.material!r}",
            f"“{item.unit}”不能换算为“{item.material}”的单位“{material.unit}”",
        )


def _wrong(where: str, en: str, zh: str) -> PlanError:
    return PlanError(f"plan.json: {where}: {en}", f"plan.json：{where}：{zh}")
