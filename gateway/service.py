"""Run the gateway: poll, listen, seal, sync, until told to stop.

One event loop; the writer has its own thread, and the blocking talk with the centre another. A failure in one task
never stops another: devices and centre back off by themselves, a store that refuses is tried again, and a full disk
pauses the intake until there is room.
"""

from __future__ import annotations

import asyncio
import logging
import random
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from evidence.encoding import parse_time, time_text
from evidence.errors import EvidenceError
from gateway.assembly import Gateway
from gateway.chain import append_event, outbox_depth
from gateway.clock_watch import ClockWatch
from gateway.damage import PageCheck
from gateway.device_watch import DeviceWatch
from gateway.disk_watch import DiskWatch, gap_reason
from gateway.errors import DamagedError, DiskFullError, GatewayError, StoreError, Words
from gateway.field import BROKER_PROBLEM, Field, end_tasks
from gateway.groupcommit import GroupCommit
from gateway.live import LiveBoard
from gateway.page_board import Board
from gateway.page_facts import Vitals
from gateway.page_server import PageServer
from gateway.patience import CENTRE_AWAY_S, Patience
from gateway.problems import clear_problem, raise_problem
from gateway.reading_store import latest_time
from gateway.reload import Reload
from gateway.retention import Retention
from gateway.room import Room
from gateway.store import Store
from gateway.systemd import Notifier
from gateway.uplink import CentreAwayError, RefusedByCentreError

SEAL_CHECK_S = 5.0
CLOCK_CHECK_S = 5.0
HEALTH_CHECK_S = 60.0
DISK_CHECK_S = 5.0
RETENTION_CHECK_S = 600.0
DEVICE_CHECK_S = 5.0
PAGE_CHECK_S = 86_400.0
PAGES_PROBLEM = "database"
START_RETRY_S = 5.0
LEAST_PAUSE = timedelta(minutes=1)
"""A shorter pause of the intake leaves no gap where nothing is polled: broker and loggers keep what they have."""

log = logging.getLogger("cunzheng.gateway")


class Service:
    """The tasks of a running gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._pipeline, self._clock = gateway.pipeline, gateway.clock
        self._clock_watch = ClockWatch(gateway.pipeline, gateway.clock)
        self._live = LiveBoard(gateway.catalogue.live)
        self.room = Room(gateway.clock)
        self._group = GroupCommit(gateway.pipeline, gateway.settings.poll.commit_s, self._live.note, room=self.room)
        self._field = Field(gateway, self._group.take, self._live.note, self.room)
        self.pollers = self._field.pollers
        rhythms = [timedelta(seconds=poller.site.poll_s) for poller in self.pollers]
        self.disk = DiskWatch(gateway, self.room, min(rhythms, default=LEAST_PAUSE))
        self._notifier = Notifier()
        self.reload = Reload(gateway, self._field, self._group, self._live, self._notifier)
        self._random = random.Random()
        self._synced: datetime | None = None
        self._sync_error: Words = ("", "")
        self._centre_is_back = asyncio.Event()
        """Set when the centre answers again; live values then do not wait for their rhythm."""
        self.page: PageServer | None = None

    async def run(self, stop: asyncio.Event | None = None) -> None:
        """Run until SIGTERM or SIGINT; whoever gives `stop` stops it alone and keeps the signals."""
        loop = asyncio.get_running_loop()
        signals = (signal.SIGTERM, signal.SIGINT) if stop is None else ()
        stop = stop or asyncio.Event()
        for name in signals:
            loop.add_signal_handler(name, stop.set)
        if signals:
            loop.add_signal_handler(signal.SIGHUP, self.reload.ask)
        if not await self._begin(stop):
            return
        tasks = [asyncio.create_task(work, name=name) for name, work in self._work()]
        ended = asyncio.create_task(stop.wait())
        self._notifier.say("READY=1")
        log.info("gateway runs gw=%s devices=%d", self._pipeline.signer.identity.gw, len(self.pollers))
        try:
            done, _ = await asyncio.wait([ended, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self._notifier.say("STOPPING=1")
            await end_tasks((ended, *tasks))
            await self._flush()
            for name in signals:
                loop.remove_signal_handler(name)
            if signals:
                loop.remove_signal_handler(signal.SIGHUP)
                signal.signal(signal.SIGHUP, signal.SIG_IGN)
            log.info("gateway stopped gw=%s", self._pipeline.signer.identity.gw)

    def _work(self) -> list[tuple[str, asyncio._CoroutineLike[None]]]:
        work: list[tuple[str, asyncio._CoroutineLike[None]]] = [
            ("commit", self._group.run()),
            ("seal", self._forever("seal", SEAL_CHECK_S, self._seal)),
            ("clock", self._forever("clock", CLOCK_CHECK_S, self._clock_watch.look)),
            ("health", self._forever("health", HEALTH_CHECK_S, self._health)),
            ("disk", self._forever("disk", DISK_CHECK_S, self.disk.look)),
            ("retention", self._forever("retention", RETENTION_CHECK_S, self._let_go)),
            ("sync", self._sync()),
            ("live", self._post_live()),
        ]
        work.append(
            ("devices", self._forever("devices", DEVICE_CHECK_S, DeviceWatch(self.pollers, self._pipeline).look))
        )
        work += [
            ("field", self._field.run()),
            ("reload", self.reload.run()),
            ("watchdog", self._notifier.watchdog(self._gateway.writer)),
        ]
        settings = self._gateway.settings
        if settings.start.check == "background":
            work.append(("pages", self._forever("pages", PAGE_CHECK_S, self._check_pages)))
        if settings.page is not None:
            self.page = PageServer(settings.page, Board(asyncio.get_running_loop(), self._gateway, self).facts)
            work.append(("page", self.page.run()))
        return work

    def vitals(self) -> Vitals:
        """Tell what only this service knows; called on the event loop."""
        return Vitals(
            synced=self._synced,
            sync_error=self._sync_error,
            uncommitted=self._group.waiting,
            devices=tuple(poller.report() for poller in self.pollers),
            alarms=self.disk.alarms,
            disk=self.disk.use,
        )

    # -- tasks --------------------------------------------------------------------------------------------

    async def _forever(self, name: str, every_s: float, step: Callable[[], Awaitable[None]]) -> None:
        said = ""
        while True:
            try:
                await step()
            except DamagedError:
                raise
            except (GatewayError, EvidenceError, OSError) as error:
                if str(error) != said:
                    log.error("%s failed reason=%r", name, str(error))
                said = str(error)
            else:
                said = ""
            await asyncio.sleep(every_s)

    async def _seal(self) -> None:
        try:
            await self._pipeline.seal_due_async(timedelta(seconds=self._gateway.settings.seal.grace_s))
        except StoreError as error:
            self.room.refused("seal", error)
            raise
        self.room.accepted("seal")

    async def _sync(self) -> None:
        settings = self._gateway.settings.centre
        patience, was = Patience(settings.backoff_max_s, CENTRE_AWAY_S, self._random), ""
        with self._gateway.uplink() as uplink:
            syncing = self._gateway.syncing(uplink)
            while True:
                try:
                    done = await asyncio.to_thread(syncing.round)
                except DamagedError:
                    raise
                except (GatewayError, EvidenceError) as error:
                    if str(error) != was:
                        log.warning("sync waits reason=%r", str(error))
                    was, self._sync_error = str(error), (getattr(error, "zh", str(error)), str(error))
                    await asyncio.sleep(pause_after(error, patience))
                    continue
                if was or done.logged or done.pulled:
                    log.info("synced logged=%d pulled=%d waiting=%d", done.logged, done.pulled, done.waiting)
                if was:
                    self._centre_is_back.set()
                patience.well()
                was = ""
                self._sync_error, self._synced = ("", ""), self._clock.now()
                await asyncio.sleep(settings.sync_s)

    async def _post_live(self) -> None:
        settings = self._gateway.settings.centre
        with self._gateway.uplink() as uplink:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(settings.live_s):
                        await self._centre_is_back.wait()
                self._centre_is_back.clear()
                try:
                    await asyncio.to_thread(self._live.post, uplink)
                except GatewayError as error:
                    log.debug("live values dropped reason=%r", str(error))

    async def _health(self) -> None:
        settings = self._gateway.settings

        def note(store: Store) -> None:
            self._clock_watch.note(store)
            now, depth = time_text(self._clock.now()), outbox_depth(store)
            if depth > settings.limits.outbox:
                raise_problem(store, "outbox", f"{depth} 条声明待上传", f"{depth} statements wait for the centre", now)
            else:
                clear_problem(store, "outbox")

        await self._gateway.writer.do(note)

    async def _check_pages(self) -> None:
        """Look at every page of the database beside the work."""
        check = PageCheck(self._gateway.settings.database)
        try:
            fault = await asyncio.to_thread(check.fault)
        finally:
            check.end()

        def note(store: Store) -> None:
            if not fault:
                clear_problem(store, PAGES_PROBLEM)
                return
            zh = f"数据库文件有损坏（{fault}）；请先运行 cunzheng gateway export，检查磁盘，"
            zh += '再以 [start] check = "whole" 重启网关'
            en = f"the database file is damaged ({fault}); run cunzheng gateway export, check the disk,"
            en += ' then restart with [start] check = "whole"'
            raise_problem(store, PAGES_PROBLEM, zh, en, time_text(self._clock.now()))

        await self._gateway.writer.do(note)

    async def _let_go(self) -> None:
        await asyncio.to_thread(Retention(self._pipeline, self._gateway.settings.retention).run)

    # -- start and end ------------------------------------------------------------------------------------

    async def _begin(self, stop: asyncio.Event) -> bool:
        """Write down the start, as soon as the disk takes it; False when told to stop before."""
        while not stop.is_set():
            try:
                await self._gateway.writer.do(self._started)
            except DiskFullError as error:
                self.room.refused("start", error)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), START_RETRY_S)
            else:
                self.room.accepted("start")
                return True
        return False

    async def _flush(self) -> None:
        """Commit what waits; what the disk does not take at the end is lost, and the next start says since when."""
        try:
            await self._group.flush()
        except StoreError as error:
            log.error("readings lost count=%d reason=%r", self._group.waiting, str(error))

    def _started(self, store: Store) -> None:
        """Say that the gateway started, and since when it has no readings."""
        clear_problem(store, BROKER_PROBLEM)
        self._clock_watch.started(store)
        signer, now = self._pipeline.signer, self._clock.now()
        said: dict[str, Any] = {"reason": "start", "rules": self._pipeline.judge.rules_record()}
        retention = self._gateway.settings.retention
        if retention.is_short:
            said["retention"] = {"years": retention.years, "reason": retention.reason}
        append_event(store, signer, "restart", said)
        seen = latest_time(store)
        rhythm = max((poller.site.poll_s for poller in self.pollers), default=60.0)
        if seen is not None and _is_gap(parse_time(seen), now, timedelta(seconds=3 * rhythm)):
            data = {"source": "gateway", "from": seen, "to": time_text(now), "reason": gap_reason(store)}
            append_event(store, signer, "gap", data)


def pause_after(error: Exception, patience: Patience) -> float:
    """Return the seconds until the next round: soon while nobody is there, as asked where the centre asks for it."""
    if isinstance(error, RefusedByCentreError):
        asked = error.retry_after or timedelta(0)
        return patience.away() if error.is_away and not asked else patience.refused(asked.total_seconds())
    return patience.away() if isinstance(error, CentreAwayError) else patience.refused()


def _is_gap(seen: datetime, now: datetime, allowed: timedelta) -> bool:
    return now - seen > allowed
