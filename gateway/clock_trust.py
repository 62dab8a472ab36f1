"""Whether the wall clock is to be trusted: compared at start with the newest time known, and with a second source.

A machine whose clock battery is dead starts in 1970 or on the day its system was built; another one years ahead. Under
such a time nothing is signed: until the clock is right the gateway counts on from the newest time it knows, marks its
readings, and says so. A disciplined kernel clock (NTP) and the centre's own time are second sources.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from evidence.encoding import parse_time, time_text
from evidence.judge import TIME_UNCERTAIN
from gateway.clock import Clock, ClockState, Doubt
from gateway.errors import MisuseError
from gateway.settings import ClockSettings
from gateway.store import Store
from gateway.trust_store import known_trust

EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)
"""This program was not there before; says nothing of how late it may be."""
AGREES_S = 120
"""As far as the centre's time may be off: its answers are stamped by the second, and take their time."""
BACK_WHILE_RUNNING = timedelta(days=1)
"""A smaller step back of a clock that was right is an event (check Q05) and no reason to disbelieve it."""
_SELDOM = timedelta(days=1)
"""A gateway that never runs as a service, only by commands, makes its time known so often."""
_DISCIPLINED = frozenset({"ntp", "gnss"})
_TRUSTED, _USED = "clock_trusted", "clock_used"
_TICK = timedelta(milliseconds=1)


@dataclass(frozen=True)
class _Point:
    """A time, and the monotonic milliseconds at which it was."""

    time: datetime
    mono: int

    def at(self, mono: int) -> datetime:
        """Count on from it."""
        return self.time + (mono - self.mono) * _TICK


class GuardedClock:
    """The wall clock while it can be trusted; else the newest known time, counted on by the monotonic clock."""

    def __init__(self, wall: Clock, known: datetime, used: datetime, limits: ClockSettings) -> None:
        """Look at the clock for the first time; `used` is how far an untrusted clock had counted before."""
        self._wall, self._limits = wall, limits
        self._has_seen = known > EARLIEST
        mono = wall.state().mono
        self._known = _Point(known, mono)
        self._used = _Point(max(known, used), mono)
        self._centre: _Point | None = None
        self.doubt: Doubt | None = self._doubted(timedelta(seconds=limits.behind_s))

    def now(self) -> datetime:
        """Return the wall clock, or the time counted on from the newest known one."""
        return self._wall.now() if self.doubt is None else self.counted()

    def wall(self) -> datetime:
        """Return what the wall clock says, trusted or not."""
        return self._wall.now()

    def counted(self) -> datetime:
        """Return the time counted on from the newest known one, while the wall clock was not trusted."""
        return self._used.at(self._wall.state().mono)

    def request_time(self) -> datetime:
        """Return the best guess at the centre's time: its own if it was heard, else the wall clock."""
        if self.doubt is not None and self._centre is not None:
            return self._centre.at(self._wall.state().mono)
        return self._wall.now()

    def state(self) -> ClockState:
        """Return the machine's state; a clock that is not trusted has no source."""
        state = self._wall.state()
        return state if self.doubt is None else replace(state, src="none", off_ms=0)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._wall.sleep(seconds)

    def heard(self, other: datetime) -> None:
        """Take note of the centre's time: it confirms the wall clock, or says better what time it is."""
        mono = self._wall.state().mono
        self._centre = _Point(other, mono)
        if self.doubt is None:
            return
        if self._agrees(self._wall.now(), mono):
            self._trust()
        elif other > self._used.at(mono):
            self._used = self._centre

    def centre_offset(self) -> timedelta | None:
        """Return how far the wall clock is ahead of the centre's; None before the centre was heard."""
        if self._centre is None:
            return None
        return self._wall.now() - self._centre.at(self._wall.state().mono)

    def look(self) -> None:
        """Compare again; the wall clock may have been set."""
        was = self.doubt
        found = self._doubted(timedelta(seconds=self._limits.behind_s) if was else BACK_WHILE_RUNNING)
        if found is None:
            self._trust()
        elif was is None:
            self._used = self._known
            self.doubt = found

    def _trust(self) -> None:
        self.doubt = None
        self._known = _Point(self._wall.now(), self._wall.state().mono)

    def _doubted(self, back: timedelta) -> Doubt | None:
        wall, state = self._wall.now(), self._wall.state()
        if state.src in _DISCIPLINED or self._agrees(wall, state.mono):
            return None
        known = self._known.at(state.mono)
        if wall < known - back:
            return Doubt("behind", wall, known)
        if self._has_seen and wall > known + timedelta(days=self._limits.ahead_days):
            return Doubt("ahead", wall, known)
        return None

    def _agrees(self, wall: datetime, mono: int) -> bool:
        return self._centre is not None and abs(wall - self._centre.at(mono)) <= timedelta(seconds=AGREES_S)


def guarded(store: Store, wall: Clock, limits: ClockSettings) -> GuardedClock:
    """Compare the wall clock with what is stored; what an untrusted clock counts from is kept at once."""
    known = newest_known(store)
    clock = GuardedClock(wall, known, _stored(store, _USED), limits)
    if clock.doubt is not None or clock.now() > known + _SELDOM:
        note_time(store, clock)
    return clock


def replayed(clock: Clock, limits: ClockSettings) -> GuardedClock:
    """Take a clock that somebody moves by hand for right."""
    return GuardedClock(clock, clock.now(), clock.now(), limits)


def newest_known(store: Store) -> datetime:
    """Return the newest time that surely was: of a trusted clock, of a reading, of the centre's trust file."""
    times = [EARLIEST, _stored(store, _TRUSTED)]
    row = store.row("SELECT received, reason FROM reading WHERE imported = 0 ORDER BY seq DESC LIMIT 1")
    if row is not None and not row["reason"].startswith(TIME_UNCERTAIN):
        times.append(parse_time(row["received"]))
    with suppress(MisuseError):
        times.append(known_trust(store).issued)
    return max(times)


def note_time(store: Store, clock: GuardedClock) -> None:
    """Remember how far time has come."""
    now = clock.now()
    if clock.doubt is not None:
        store.put(_USED, time_text(now))
    store.put(_TRUSTED, time_text(now if clock.doubt is None else clock.doubt.known))


def _stored(store: Store, name: str) -> datetime:
    text = store.get(name)
    return EARLIEST if text is None else parse_time(text)
