"""The payload of every kind of statement, member by member.

Each model is closed: an unknown member, a null where a member should be absent, a number with a
fraction or a text of the wrong form is refused with ``SCHEMA``. Growth happens by a new ``v``.
Who may sign a kind stands in ``roles.py``; what a statement must agree with, in ``verify*.py``.
"""

import re
from collections.abc import Mapping
from decimal import Context, Decimal
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from evidence.challenge_kinds import ChallengeData
from evidence.commissioning_kinds import CommissionedData
from evidence.errors import Code, EvidenceError
from evidence.members import (
    Closed,
    Count,
    Day,
    GatewayId,
    Id,
    Kid,
    Number,
    Period,
    PlantId,
    Positive,
    Short,
    Sid,
    Text,
    Time,
    Version,
    Yes,
    matching,
)
from evidence.record_kinds import CalibrationData, IdentityData, MarkData
from evidence.stack_kinds import DerivationData, Letters, RuleId, StackData

_EXACT = Context(prec=200)
"""The default context rounds to 28 digits; a figure may have 64."""
_FILE = re.compile(r"[^/\\\x00-\x1f\x7f]+\Z")
_TYPE = re.compile(r"[a-z0-9.+-]+/[a-z0-9.+-]+\Z", re.ASCII)


class Subject(Closed):
    """A file named by content (B3)."""

    name: Annotated[str, Field(min_length=1, max_length=200), matching(_FILE, "a file name")]
    size: Count
    sha256: Sid
    type: Annotated[str, Field(max_length=100), matching(_TYPE, "a media type")]


class Anchor(Closed):
    """A checkpoint of the central log that the signer had verified."""

    origin: Short
    size: Count
    root: Sid


class Clock(Closed):
    """State of the gateway's clock when it signed."""

    boot: Short
    mono: Count
    src: Literal["ntp", "gnss", "rtc", "none"]
    off_ms: int
    sync: Time | None = None


class _Statement(Closed):
    v: Version
    kind: str
    plant: PlantId
    t: Time


class _Device(_Statement):
    gw: GatewayId
    epoch: Positive
    seq: Positive
    prev: Sid | None
    clk: Clock
    anchor: Anchor | None

    @model_validator(mode="after")
    def _first_has_no_predecessor(self) -> "_Device":
        if (self.prev is None) != (self.seq == 1):
            raise ValueError("prev is null for seq 1 and only there")
        return self


class TreeRange(Closed):
    """The leaves a segment covers, and the root of the tree at ``end``."""

    start: Count
    end: Count
    root: Sid


class ChannelEntry(Closed):
    """What one channel did in one hour: counts, exact sums, totaliser use."""

    id: Id
    n: Positive
    valid: Count
    sum: Number | None = None
    min: Number | None = None
    max: Number | None = None
    hour: Time | None = None
    first: Number | None = None
    last: Number | None = None
    use: Number | None = None
    gap: Yes | None = None
    minutes: Letters | None = None
    code: Id | None = None
    found: Annotated[dict[RuleId, Positive], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _figures_can_be_true(self) -> "ChannelEntry":
        if self.valid > self.n:
            raise ValueError("more valid readings than readings")
        sums, uses = (self.sum, self.min, self.max), (self.first, self.last, self.use)
        for group in (sums, uses):
            if any(figure is not None for figure in group) and (None in group or not self.valid):
                raise ValueError("sum, min and max, or first, last and use, come together and from valid readings")
        if self.sum is not None and self.min is not None and self.max is not None:
            total, low, high = (Decimal(figure) for figure in (self.sum, self.min, self.max))
            least, most = (_EXACT.multiply(limit, Decimal(self.valid)) for limit in (low, high))
            if not low <= high or not least <= total <= most:
                raise ValueError("sum, min and max contradict each other")
        if self.use is not None and Decimal(self.use) < 0:
            raise ValueError("use is negative")
        return self


class Segment(_Device):
    """An hour of readings, committed to by the gateway's tree."""

    kind: Literal["segment"]
    tree: TreeRange
    span: Annotated[list[Time], Field(min_length=2, max_length=2)]
    ch: list[ChannelEntry]

    @model_validator(mode="after")
    def _range_and_span_run_forward(self) -> "Segment":
        if self.tree.end <= self.tree.start:
            raise ValueError("tree range is empty")
        if self.span[1] <= self.span[0]:
            raise ValueError("span is empty")
        if sum(entry.n for entry in self.ch) != self.tree.end - self.tree.start:
            raise ValueError("the entries do not count the readings of the tree range")
        if len({(entry.id, entry.hour) for entry in self.ch}) != len(self.ch):
            raise ValueError("two entries of one channel and hour")
        return self


class ProfileRef(Closed):
    """Which device description decoded a channel."""

    id: Short
    version: Positive
    hash: Sid


class TotaliserRule(Closed):
    """How differences of a running total are judged."""

    max_rate: Number
    backstep: Number
    resettable: bool
    modulus: Number | None = None
    step: Number | None = None


class ChannelSource(Closed):
    """Where a channel's readings come from."""

    device: Short
    via: Literal["modbus", "mqtt", "hj212", "import", "derived"]


class ConfigData(Closed):
    """Data of a ``config`` event: declares one channel, before its first reading."""

    channel: Id
    unit: Short
    kind: Literal["value", "interval", "total", "state", "derived"]
    poll_ms: Positive
    source: ChannelSource
    param: Short | None = None
    subject: Id | None = None
    serial: Short | None = None
    certificate: Short | None = None
    profile: ProfileRef | None = None
    totaliser: TotaliserRule | None = None
    stack: StackData | None = None
    derived: DerivationData | None = None
    commissioned: CommissionedData | None = None

    @model_validator(mode="after")
    def _totals_have_a_rule(self) -> "ConfigData":
        if (self.kind == "total") != (self.totaliser is not None):
            raise ValueError("a total has a totaliser rule, and nothing else has one")
        if self.derived is not None and self.kind != "derived":
            raise ValueError("only a derived channel says how it is derived")
        if self.commissioned is not None and self.profile is None:
            raise ValueError("only a channel that a device profile decodes is commissioned")
        return self


class Event(_Device):
    """Something that happened to the gateway, its clock or its devices."""

    kind: Literal["event"]
    type: Literal["epoch-open", "clock-step", "gap", "restart", "config", "calibration", "maintenance"]
    data: dict[str, Any]

    @model_validator(mode="after")
    def _config_is_complete(self) -> "Event":
        if self.type == "config":
            ConfigData.model_validate(self.data)
        return self

    @model_validator(mode="after")
    def _records_are_complete(self) -> "Event":
        models: dict[str, tuple[str, type[Closed]]] = {
            "mark": ("maintenance", MarkData),
            "calibration": ("calibration", CalibrationData),
            "identity": ("maintenance", IdentityData),
        }
        said = self.data.get("record")
        record = models.get(said) if isinstance(said, str) else None
        if record is not None:
            if self.type != record[0]:
                raise ValueError(f"a {said} is the data of a {record[0]} event")
            record[1].model_validate(self.data)
        return self


class Result(Closed):
    """One figure of a laboratory report."""

    param: Short
    value: Number
    unit: Short
    method: Short
    lod: Number | None = None


class Lab(_Statement):
    """A laboratory report of one sample."""

    kind: Literal["lab"]
    sample: Short
    point: Short
    taken: Time
    results: Annotated[list[Result], Field(min_length=1)]
    subjects: list[Subject]


class Ledger(_Statement):
    """A captured value that is no laboratory result: stock-take, output, invoice quantity."""

    kind: Literal["ledger"]
    param: Short
    value: Number
    unit: Short
    mode: Literal["measured", "default", "calculated"]
    source: Text
    subjects: list[Subject]
    subject: Id | None = None
    period: Period | None = None
    day: Day | None = None

    @model_validator(mode="after")
    def _one_time_reference(self) -> "Ledger":
        if (self.period is None) == (self.day is None):
            raise ValueError("exactly one of period and day")
        return self


Subjects = Annotated[list[Subject], Field(min_length=1, max_length=1000)]


class Declare(_Statement):
    """A person's declaration that the month's body and attachments are right."""

    kind: Literal["declare"]
    role: Literal["technician", "responsible"]
    period: Period
    rev: Positive
    subjects: Subjects
    after: Sid | None
    reason: Text | None = None
    """Why the month stands in spite of findings of severity E."""

    @model_validator(mode="after")
    def _technician_is_first(self) -> "Declare":
        if (self.after is None) != (self.role == "technician"):
            raise ValueError("the technician's after is null, the responsible person's is the technician's sid")
        return self


class Cover(Closed):
    """The part of one gateway's tree and chain that a month stands on."""

    gw: GatewayId
    epoch: Positive
    start: Count
    end: Count
    root: Sid
    first: Sid
    last: Sid
    n: Positive


class Month(_Device):
    """The plant's month, signed last by the gateway."""

    kind: Literal["month"]
    period: Period
    rev: Positive
    supersedes: Sid | None
    prev_month: Sid | None
    subjects: Subjects
    declared: Annotated[list[Sid], Field(min_length=2, max_length=2)]
    cover: list[Cover]
    reason: Text | None = None

    @model_validator(mode="after")
    def _revision_names_its_predecessor(self) -> "Month":
        if (self.supersedes is None) != (self.rev == 1):
            raise ValueError("revision 1 supersedes nothing, a later one names the statement it supersedes")
        if self.supersedes is not None and not self.reason:
            raise ValueError("a superseding month gives its reason")
        return self


class Review(_Statement):
    """A reviewer's decision on one month statement."""

    kind: Literal["review"]
    level: Literal["city", "province", "nation"]
    subject: Sid
    decision: Literal["approve", "return", "reject", "query"]
    after: Sid
    report: Sid
    note: Text
    anchor: Anchor | None


class Inspect(_Statement):
    """An inspector's findings about statements, and the retention challenge they stand on."""

    kind: Literal["inspect"]
    subjects: Annotated[list[Sid], Field(min_length=1, max_length=1000)]
    findings: Annotated[list[Text], Field(max_length=100)]
    anchor: Anchor | None
    challenge: ChallengeData | None = None

    @model_validator(mode="after")
    def _challenge_is_of_a_subject(self) -> "Inspect":
        if self.challenge is not None and self.challenge.month not in self.subjects:
            raise ValueError("the challenged month is none of the subjects")
        return self


class KeyScope(Closed):
    """Where a key counts: named plants, or a region by its GB/T 2260 prefix."""

    plants: list[Id] | None = None
    region: Annotated[str, Field(max_length=12, pattern=r"^[0-9]*$")] | None = None


class KeyOwner(Closed):
    """Whom a key belongs to."""

    type: Literal["gateway", "person", "registrar"]
    id: Id


class Key(_Statement):
    """A change of the key registry."""

    kind: Literal["key"]
    op: Literal["enrol", "approve", "revoke"]
    kid: Kid
    jwk: dict[str, str] | None = None
    nonce: Short | None = None
    sm2: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")] | None = None
    """Second public key of a gateway whose plant signs twice: x‖y of an SM2 key (`sm2.py`)."""
    owner: KeyOwner | None = None
    roles: list[Short] | None = None
    scope: KeyScope | None = None
    reason: Literal["superseded", "lost", "compromised", "ceased"] | None = None

    @model_validator(mode="after")
    def _members_fit_the_operation(self) -> "Key":
        if self.sm2 is not None and self.op != "enrol":
            raise ValueError("a second key comes with an enrolment")
        wanted = {"enrol": {"jwk", "nonce"}, "approve": {"owner", "roles", "scope"}, "revoke": {"reason"}}[self.op]
        given = {
            name for name in ("jwk", "nonce", "owner", "roles", "scope", "reason") if getattr(self, name) is not None
        }
        if given != wanted:
            raise ValueError(f"{self.op} has exactly {', '.join(sorted(wanted))}")
        return self


KINDS: Mapping[str, type[_Statement]] = {
    "segment": Segment,
    "event": Event,
    "lab": Lab,
    "ledger": Ledger,
    "declare": Declare,
    "month": Month,
    "review": Review,
    "inspect": Inspect,
    "key": Key,
}
_NULLABLE = frozenset({"prev", "anchor", "after", "supersedes", "prev_month"})
"""Members that say something by being null; every other member is absent instead."""


def validate(payload: object) -> None:
    """Check a parsed payload against the model of its kind.

    Raises:
        EvidenceError: ``SCHEMA``, naming the member.
    """
    if not isinstance(payload, dict):
        raise EvidenceError(Code.SCHEMA, "a payload is an object")
    kind = payload.get("kind")
    model = KINDS.get(kind) if isinstance(kind, str) else None
    if model is None:
        raise EvidenceError(Code.SCHEMA, f"unknown kind {str(kind)[:40]!r}")
    _refuse_nulls(payload, "")
    try:
        model.model_validate(payload)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "payload"
        raise EvidenceError(Code.SCHEMA, f"{kind}: {where}: {first['msg']}") from error


def _refuse_nulls(value: Any, where: str) -> None:
    if isinstance(value, dict):
        for name, member in value.items():
            if member is None and not (where == "" and name in _NULLABLE):
                raise EvidenceError(Code.SCHEMA, f"{where}{name} is null; leave it out instead")
            _refuse_nulls(member, f"{where}{name}.")
    elif isinstance(value, list):
        for member in value:
            if member is None:
                raise EvidenceError(Code.SCHEMA, f"{where} holds null")
            _refuse_nulls(member, f"{where}[].")
