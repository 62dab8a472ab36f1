"""Watches the wall clock of a running gateway: steps, and whether it is to be trusted, become events and problems."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from evidence.encoding import time_text
from gateway.chain import CLOCK_STEP, CLOCK_STEP_EVENT, append_event, declare_step, last_of_boot
from gateway.clock import Doubt
from gateway.clock_trust import AGREES_S, GuardedClock, note_time
from gateway.pipeline import Pipeline
from gateway.problems import clear_problem, raise_problem
from gateway.store import Store

UNTRUSTED = "clock not trusted"
"""Why a gap event says there are no readings; `accounting/gap_words.py` has the words for it."""
TRUST_PROBLEM = "clock"
CENTRE_PROBLEM = "clock-centre"
_TICK = timedelta(milliseconds=1)

log = logging.getLogger("cunzheng.gateway")


class ClockWatch:
    """Compares the wall clock with the monotonic one, the newest known time and the centre's."""

    def __init__(self, pipeline: Pipeline, clock: GuardedClock) -> None:
        self._pipeline, self._clock = pipeline, clock
        self._before = self._instant()
        self._doubt = clock.doubt

    def started(self, store: Store) -> None:
        """Sign and show that the clock is not trusted at start; part of the start's transaction."""
        if self._clock.doubt is None:
            clear_problem(store, TRUST_PROBLEM)
            declare_step(store, self._pipeline.signer)
        else:
            self._say_doubt(store, self._clock.doubt)

    async def look(self) -> None:
        """Sign what changed since the last look."""
        self._clock.look()
        now, doubt, was = self._instant(), self._clock.doubt, self._doubt
        step = (now[0] - self._before[0]) - (now[1] - self._before[1]) * _TICK

        def note(store: Store) -> None:
            if doubt is not None:
                self._say_doubt(store, doubt)
            elif was is not None:
                self._sign(store, self._clock.counted(), now[0], is_trusted=True)
                self._declare_gap(store, was.known, now[0])
                clear_problem(store, TRUST_PROBLEM)
                log.info("clock trusted again time=%s", time_text(now[0]))
            elif not declare_step(store, self._pipeline.signer) and not last_of_boot(store, self._pipeline.signer):
                # Nothing signed since the machine started could tell of it.
                self._sign(store, now[0] - step, now[0])
            note_time(store, self._clock)

        if (doubt is None) != (was is None) or (doubt is None and abs(step) > CLOCK_STEP):
            await self._pipeline.writer.do(note)
        self._before, self._doubt = now, doubt

    def note(self, store: Store) -> None:
        """Remember how far time has come, and show where the centre has another; now and then."""
        note_time(store, self._clock)
        offset = self._clock.centre_offset()
        if offset is None or abs(offset) <= timedelta(seconds=AGREES_S):
            clear_problem(store, CENTRE_PROBLEM)
            return
        minutes = round(offset / timedelta(minutes=1))
        zh = f"系统时钟与中心端相差 {minutes:+d} 分钟；请校准系统时间"
        en = f"the system clock differs from the centre's by {minutes:+d} min; set the clock"
        raise_problem(store, CENTRE_PROBLEM, zh, en, time_text(self._clock.now()))

    def _say_doubt(self, store: Store, doubt: Doubt) -> None:
        now, wall, known = self._clock.now(), time_text(doubt.wall), time_text(doubt.known)
        self._sign(store, now, doubt.wall, is_trusted=False)
        is_behind = doubt.why == "behind"
        zh = f"系统时钟不可信：显示 {wall}，{'早于' if is_behind else '远晚于'}已知时间 {known}；"
        zh += "读数照常保存并标记为时间不确定，请校准系统时间"
        zh += "" if is_behind else "，若时间无误请调大 [clock] ahead_days"
        en = f"the system clock is not trusted: it says {wall}, {'before' if is_behind else 'far after'} the known time"
        en += f" {known}; readings are kept and marked as of uncertain time, set the clock"
        en += "" if is_behind else ", or raise [clock] ahead_days if it is right"
        raise_problem(store, TRUST_PROBLEM, zh, en, time_text(now))

    def _declare_gap(self, store: Store, since: datetime, now: datetime) -> None:
        """Declare the time in which no reading counts, off or under a wrong clock: nobody knows which it was."""
        if now > since:
            data = {"source": "gateway", "from": time_text(since), "to": time_text(now), "reason": UNTRUSTED}
            append_event(store, self._pipeline.signer, "gap", data)

    def _instant(self) -> tuple[datetime, int]:
        return self._clock.wall(), self._clock.state().mono

    def _sign(self, store: Store, before: datetime, after: datetime, *, is_trusted: bool | None = None) -> None:
        data: dict[str, Any] = {
            "before": time_text(before),
            "after": time_text(after),
            "step_ms": (after - before) // _TICK,
        }
        if is_trusted is not None:
            data["trusted"] = is_trusted
        append_event(store, self._pipeline.signer, CLOCK_STEP_EVENT, data)
