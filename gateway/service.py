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
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from evidence.encoding import parse_time, time_text
from evidence.errors import EvidenceError
from gateway.assembly import Gateway
from gateway.chain import append_event, outbox_depth
from gateway.clock_watch import ClockWatch
from gateway.damage import PageCheck
from gateway.device_register import DeviceRegister
from gateway.device_watch import DeviceWatch
from gateway.disk_watch import DiskWatch, gap_reason
from gateway.errors import DamagedError, DiskFullError, GatewayError, StoreError
from gateway.groupcommit import GroupCommit
from gateway.hj212 import LoggerListener
from gateway.hj212_intake import LoggerIntake
from gateway.intake import MqttIntake
from gateway.live import LiveBoard
from gateway.mqtt import MqttSession
from gateway.poller import lines_of, pollers_of
from gateway.problems import clear_problem, raise_problem
from gateway.reading_store import latest_time
from gateway.retention import Retention
from gateway.room import Room
from gateway.store import Store

SEAL_CHECK_S = 5.0
CLOCK_CHECK_S = 5.0
HEALTH_CHECK_S = 60.0
DISK_CHECK_S = 5.0
RETENTION_CHECK_S = 600.0
BROKER_CHECK_S = 1.0
DEVICE_CHECK_S = 5.0
PAGE_CHECK_S = 86_400.0
BROKER_PROBLEM = "mqtt"
PAGES_PROBLEM = "database"
FIRST_PAUSE_S = 1.0
START_RETRY_S = 5.0
LEAST_PAUSE = timedelta(minutes=1)
"""A shorter pause of the intake leaves no gap where nothing is polled: broker and loggers keep what they have."""
CANCEL_AGAIN_S = 5.0
"""How long a task may take to end before it is cancelled once more."""

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
        self._lines = lines_of(gateway.catalogue.modbus, gateway.settings.poll.timeout_s)
        self.pollers = pollers_of(
            gateway.catalogue.modbus,
            self._lines,
            self._clock,
            gateway.settings.poll,
            DeviceRegister(gateway.pipeline).note,
        )
        rhythms = [timedelta(seconds=poller.site.poll_s) for poller in self.pollers]
        self.disk = DiskWatch(gateway, self.room, min(rhythms, default=LEAST_PAUSE))
        self._random = random.Random()

    async def run(self, stop: asyncio.Event | None = None) -> None:
        """Run until SIGTERM or SIGINT; whoever gives `stop` stops it alone and keeps the signals."""
        loop = asyncio.get_running_loop()
        signals = (signal.SIGTERM, signal.SIGINT) if stop is None else ()
        stop = stop or asyncio.Event()
        for name in signals:
            loop.add_signal_handler(name, stop.set)
        if not await self._begin(stop):
            return
        tasks = [asyncio.create_task(work, name=name) for name, work in self._work()]
        ended = asyncio.create_task(stop.wait())
        log.info("gateway runs gw=%s devices=%d", self._pipeline.signer.identity.gw, len(self.pollers))
        try:
            done, _ = await asyncio.wait([ended, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await end_tasks((ended, *tasks))
            for line in self._lines.values():
                line.close()
            await self._flush()
            for name in signals:
                loop.remove_signal_handler(name)
            log.info("gateway stopped gw=%s", self._pipeline.signer.identity.gw)

    def _work(self) -> list[tuple[str, asyncio._CoroutineLike[None]]]:
        gate = asyncio.Semaphore(self._gateway.settings.poll.concurrency)
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
        work += [(f"poll-{poller.site.id}", poller.run(self._group.take, gate, self.room)) for poller in self.pollers]
        if self._gateway.settings.start.check == "background":
            work.append(("pages", self._forever("pages", PAGE_CHECK_S, self._check_pages)))
        broker = self._gateway.settings.mqtt
        if broker is not None and self._gateway.catalogue.mqtt:
            intake = MqttIntake(
                self._pipeline, self._gateway.catalogue.mqtt, on_reading=self._live.note, room=self.room
            )
            client_id = broker.client_id or f"cunzheng-{self._pipeline.signer.identity.gw}"
            session = MqttSession(broker, client_id, intake.topics, self._clock)
            work.append(("mqtt", session.run(intake.handle, intake.session)))
            work.append(("broker", self._forever("broker", BROKER_CHECK_S, BrokerWatch(session, self._gateway).look)))
        loggers = self._gateway.settings.hj212
        if loggers is not None and self._gateway.catalogue.loggers:
            frames = LoggerIntake(
                self._pipeline, self._gateway.catalogue.loggers, on_reading=self._live.note, room=self.room
            )
            work.append(("hj212", LoggerListener(loggers, frames).run()))
        return work

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
        pause, was = FIRST_PAUSE_S, ""
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
                    was = str(error)
                    await asyncio.sleep(pause * (0.75 + 0.5 * self._random.random()))
                    pause = min(pause * 2, settings.backoff_max_s)
                    continue
                if was or done.logged or done.pulled:
                    log.info("synced logged=%d pulled=%d waiting=%d", done.logged, done.pulled, done.waiting)
                pause, was = FIRST_PAUSE_S, ""
                await asyncio.sleep(settings.sync_s)

    async def _post_live(self) -> None:
        settings = self._gateway.settings.centre
        with self._gateway.uplink() as uplink:
            while True:
                await asyncio.sleep(settings.live_s)
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


async def end_tasks(tasks: Iterable[asyncio.Task[Any]], again_s: float = CANCEL_AGAIN_S) -> None:
    """Cancel tasks and wait for their end; what they raise is theirs.

    A cancellation that meets the very moment a connection succeeds is swallowed by `asyncio.wait_for` before
    Python 3.12, and the task goes on; so whoever has not ended is asked again.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=again_s)


class BrokerWatch:
    """Makes a broker that refuses or is away a problem, until it is back."""

    def __init__(self, session: MqttSession, gateway: Gateway) -> None:
        self._session, self._gateway = session, gateway
        self._said: str | None = None

    async def look(self) -> None:
        """Write down a change since the last look."""
        error = self._session.error
        if error == self._said:
            return
        name, now = self._session.name, time_text(self._gateway.clock.now())

        def note(store: Store) -> None:
            if error is None:
                clear_problem(store, BROKER_PROBLEM)
            else:
                zh, en = f"MQTT 服务器 {name} 不可用：{error}", f"the MQTT broker {name} is not available: {error}"
                raise_problem(store, BROKER_PROBLEM, zh, en, now)

        await self._gateway.writer.do(note)
        self._said = error


def _is_gap(seen: datetime, now: datetime, allowed: timedelta) -> bool:
    return now - seen > allowed
