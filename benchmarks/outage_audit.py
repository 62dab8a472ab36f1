"""What must hold after outages: whatever was answered or acknowledged is stored once, unless it had no time to be.

A polled reading may go with a kill if it was answered within the second before it: such are counted, with their age.
An answer that nobody waited for any more is none: given up after its time, or sent to a gateway already dead.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from modbus_server import host_of
from outage_world import DEVICES, World, rows
from plant import FIFTY

COMMIT_S = 1.0
"""ARCHITECTURE.md, invariant 8."""
_LOOK_BACK_S = 10.0
_DYING_S = 0.5
_ANSWER_S = 5.0


@dataclass(frozen=True)
class Kill:
    """When the gateway was killed, and when it was gone."""

    at: float
    gone: float


@dataclass(frozen=True)
class Phase:
    """A time in which something was done; seconds since 1970."""

    name: str
    start: float
    end: float


@dataclass(frozen=True)
class Answer:
    """What a device answered: its first value, and whether the connection ended after it."""

    at: float
    device: int
    words: str
    is_last: bool


@dataclass
class Harms:
    """What is wrong, by phase, and what is not."""

    lost: Counter[str] = field(default_factory=Counter)
    doubled: Counter[str] = field(default_factory=Counter)
    said: list[str] = field(default_factory=list)
    uncommitted: dict[float, list[float]] = field(default_factory=dict)
    """By kill: the ages of the answers that went with it."""
    given_up: int = 0
    answers: int = 0
    messages: int = 0

    @property
    def is_any(self) -> bool:
        return bool(self.said)


def audit(
    world: World, messages: Sequence[tuple[float, str]], kills: Sequence[Kill], phases: Sequence[Phase], ended: float
) -> Harms:
    """Compare both sides; everything has ended."""
    harms = Harms(uncommitted={one.at: [] for one in kills})
    _chain(world, harms)
    _twice(world, harms)
    _polled(world, harms, kills, phases, ended)
    _messages(world, harms, messages, phases)
    return harms


# -- what the meters answered -------------------------------------------------------------------------------


def _polled(world: World, harms: Harms, kills: Sequence[Kill], phases: Sequence[Phase], ended: float) -> None:
    first = [f"d{number}.v00" for number in range(DEVICES)]
    stored: Counter[tuple[int, str]] = Counter()
    for number, channel in enumerate(first):
        listed = rows(
            world.gateway_database, "SELECT raw FROM reading WHERE channel = ? AND flag <> 'B' ORDER BY seq", channel
        )
        stored.update((number, str(raw).replace(" ", "").upper()) for (raw,) in listed)
    known = set()
    for answer in _answers(world):
        known.add((answer.device, answer.words))
        if answer.at > ended:
            continue
        harms.answers += 1
        times = stored[answer.device, answer.words]
        if times > 1:
            _doubled(harms, phases, answer.at, f"d{answer.device}: {answer.words} is stored {times} times")
        elif times == 0 and not _is_excused(answer, harms, kills, phases):
            _lost(harms, phases, answer.at, f"d{answer.device}: the answer of {answer.at:.3f} ({answer.words}) is lost")
    strange = [one for one in stored if one not in known]
    if strange:
        harms.said.append(f"{len(strange)} stored values were answered by nobody, such as {strange[0]}")
    for channel, count in rows(
        world.gateway_database,
        "SELECT substr(channel, 1, instr(channel, '.') - 1), count(*) FROM reading WHERE channel LIKE 'd%.v%'"
        " AND flag <> 'B' GROUP BY 1",
    ):
        polls = sum(n for (number, _), n in stored.items() if f"d{number}" == channel)
        if count != FIFTY * polls:
            harms.said.append(f"{channel}: {count} readings of {polls} polls of {FIFTY} values")


def _answers(world: World) -> Iterator[Answer]:
    numbers = {host_of(number): number for number in range(DEVICES)}
    by_connection: dict[str, list[tuple[float, int, str]]] = defaultdict(list)
    closed = set()
    for line in world.journal.read_text("ascii").splitlines():
        at, host, connection, words = line.split()
        if words == "closed":
            closed.add(connection)
        else:
            by_connection[connection].append((float(at), numbers[host], words))
    for connection, listed in by_connection.items():
        for place, (answered, number, words) in enumerate(listed):
            yield Answer(answered, number, words, connection in closed and place == len(listed) - 1)


def _is_excused(answer: Answer, harms: Harms, kills: Sequence[Kill], phases: Sequence[Phase]) -> bool:
    at = bisect_left([one.at for one in kills], answer.at)
    if at < len(kills) and kills[at].at - answer.at <= _LOOK_BACK_S:
        age = kills[at].at - answer.at
        harms.uncommitted[kills[at].at].append(age)
        return age <= COMMIT_S
    if at and answer.at <= kills[at - 1].gone + _DYING_S:
        return True  # nobody heard it
    # A frozen meter goes on with what it was asked before, on a connection that was given up since.
    given_up = answer.is_last and any(
        one.name.endswith("meters") and one.start <= answer.at <= one.end + _ANSWER_S for one in phases
    )
    harms.given_up += given_up
    return given_up


# -- what the broker acknowledged ---------------------------------------------------------------------------


def _messages(world: World, harms: Harms, messages: Sequence[tuple[float, str]], phases: Sequence[Phase]) -> None:
    for channel in ("GAS.TOTAL", "GAS.FLOW"):
        listed = rows(world.gateway_database, "SELECT raw FROM reading WHERE channel = ?", channel)
        stored = Counter(raw for (raw,) in listed)
        begun = next((place for place, (_, payload) in enumerate(messages) if stored[payload]), len(messages))
        harms.messages = len(messages) - begun  # before that the gateway had never subscribed
        if not harms.messages:
            harms.said.append(f"{channel}: no message was ever stored")
        for at, payload in messages[begun:]:
            if stored[payload] == 0:
                _lost(harms, phases, at, f"{channel}: message {payload} is lost")
            elif stored[payload] > 1:
                _doubled(harms, phases, at, f"{channel}: message {payload} is stored {stored[payload]} times")


# -- what is twice, and what was signed ---------------------------------------------------------------------


def _twice(world: World, harms: Harms) -> None:
    twice = rows(
        world.gateway_database,
        "SELECT channel, time, count(*) FROM reading GROUP BY channel, time, device_time, raw HAVING count(*) > 1",
    )
    if twice:
        harms.said.append(f"{len(twice)} readings are there more than once, such as {twice[0]}")


def _chain(world: World, harms: Harms) -> None:
    chain = rows(world.gateway_database, "SELECT seq, sid FROM statement ORDER BY epoch, seq")
    numbers = [number for number, _ in chain]
    if numbers != list(range(1, len(numbers) + 1)):
        harms.said.append(f"the statements' numbers have a hole or a double: {len(numbers)} up to {numbers[-1]}")
    waiting = rows(world.gateway_database, "SELECT count(*) FROM statement WHERE sid NOT IN (SELECT sid FROM receipt)")
    if waiting != [(0,)]:
        harms.said.append(f"{waiting[0][0]} statements have no receipt")
    logged = rows(world.centre_database, "SELECT count(*), count(DISTINCT sid) FROM log_entry")
    if logged[0][0] != logged[0][1]:
        harms.said.append("a statement is in the log twice")
    checked = world.call("gateway", "check", "-c", "gateway.toml")
    if not checked["ok"]:
        harms.said.append(f"gateway check: {checked}")
    world.call("center", "check", "-c", "center.toml")


# -- words --------------------------------------------------------------------------------------------------


def _lost(harms: Harms, phases: Sequence[Phase], at: float, said: str) -> None:
    harms.lost[_phase(phases, at)] += 1
    harms.said.append(said)


def _doubled(harms: Harms, phases: Sequence[Phase], at: float, said: str) -> None:
    harms.doubled[_phase(phases, at)] += 1
    harms.said.append(said)


def _phase(phases: Sequence[Phase], at: float) -> str:
    """Name what was going on; what comes shortly after an outage belongs to it."""
    return next((one.name for one in reversed(phases) if one.start <= at), "before")
