"""What a running gateway reads: Modbus lines with their pollers, the broker session, the loggers' listener.

Each is a task of its own that can be started and ended alone, so that another site file touches only what it changes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable
from typing import Any

from evidence.encoding import time_text
from evidence.reading import Reading
from gateway.assembly import Gateway
from gateway.catalogue import Catalogue
from gateway.device_register import DeviceRegister
from gateway.errors import StoreError
from gateway.hj212 import LoggerListener
from gateway.hj212_intake import LoggerIntake
from gateway.intake import MqttIntake
from gateway.line import LineAddress
from gateway.modbus import ModbusLine
from gateway.mqtt import MqttSession
from gateway.poller import Poller, Sink, lines_of, pollers_of
from gateway.problems import clear_problem, raise_problem
from gateway.room import Room
from gateway.store import Store

BROKER_PROBLEM = "mqtt"
BROKER_CHECK_S = 1.0
CANCEL_AGAIN_S = 5.0
"""How long a task may take to end before it is cancelled once more."""
POLL_END_S = 30.0
"""How long a poll that is under way may take to end; what is cancelled later is lost, as at a stop."""

log = logging.getLogger("cunzheng.gateway")


class Field:
    """The reading side of a gateway; belongs to the event loop."""

    def __init__(self, gateway: Gateway, sink: Sink, on_reading: Callable[[Reading], None], room: Room) -> None:
        self._gateway, self._sink, self._on_reading, self._room = gateway, sink, on_reading, room
        self._gate = asyncio.Semaphore(gateway.settings.poll.concurrency)
        self._lines: dict[LineAddress, ModbusLine] = {}
        self.pollers: list[Poller] = []
        """Of every Modbus device, in the order of the site file; one list for good."""
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._failed: asyncio.Future[None] | None = None
        self._broker: tuple[MqttSession, MqttIntake] | None = None
        self._loggers: tuple[LoggerListener, LoggerIntake] | None = None
        self._held: list[asyncio.Lock] = []
        self._is_running = False
        self._register = DeviceRegister(gateway.pipeline)
        self._wire(gateway.catalogue)

    async def run(self) -> None:
        """Read until cancelled; what ends by itself ends everything, with its error."""
        self._failed, self._is_running = asyncio.get_running_loop().create_future(), True
        self.go_on(self._gateway.catalogue)
        try:
            await self._failed
        finally:
            self._is_running = False
            tasks, self._tasks = list(self._tasks.values()), {}
            await end_tasks(tasks)
            for line in self._lines.values():
                line.close()

    async def pause(self, devices: Collection[str]) -> None:
        """End the polling of these devices after the poll under way, and let messages wait."""
        ending = [poller for poller in self.pollers if poller.site.id in devices]
        await asyncio.gather(*(self._end(poller) for poller in ending))
        self.pollers[:] = [poller for poller in self.pollers if poller not in ending]
        for talk in (self._broker, self._loggers):
            if talk is not None:
                await talk[1].turn.acquire()
                self._held.append(talk[1].turn)

    def go_on(self, catalogue: Catalogue, changed: Collection[str] = ()) -> None:
        """Read everything that this catalogue names and is not being read; `changed` names the devices paused."""
        if not self._is_running:
            return
        self._wire(catalogue)
        for poller in self.pollers:
            name = _task_name(poller)
            if name not in self._tasks:
                self._start(name, poller.run(self._sink, self._gate, self._room))
        self._listen_to_broker(catalogue, changed)
        self._listen_to_loggers(catalogue)
        while self._held:
            self._held.pop().release()

    # -- Modbus -------------------------------------------------------------------------------------------

    def _wire(self, catalogue: Catalogue) -> None:
        """Make the lines and pollers that are not there; close the lines that nobody uses."""
        settings, there = self._gateway.settings.poll, {poller.site.id: poller for poller in self.pollers}
        wanted = lines_of(catalogue.modbus, settings.timeout_s)
        for address in [one for one in self._lines if one not in wanted]:
            self._lines.pop(address).close()
        self._lines = {address: self._lines.get(address, line) for address, line in wanted.items()}
        made = pollers_of(catalogue.modbus, self._lines, self._gateway.clock, settings, self._register.note)
        self.pollers[:] = [there.get(poller.site.id, poller) for poller in made]

    async def _end(self, poller: Poller) -> None:
        task = self._tasks[_task_name(poller)]
        try:
            async with asyncio.timeout(POLL_END_S):
                while not poller.resting.is_set():
                    await poller.resting.wait()
        except TimeoutError:
            log.warning("poll cut off device=%s", poller.site.id)
        del self._tasks[_task_name(poller)]
        await end_tasks([task])

    # -- messages -----------------------------------------------------------------------------------------

    def _listen_to_broker(self, catalogue: Catalogue, changed: Collection[str]) -> None:
        settings, pipeline = self._gateway.settings.mqtt, self._gateway.pipeline
        if self._broker is not None:
            session, intake = self._broker
            intake.follow(catalogue.mqtt, changed)
            session.listen(intake.topics)
        elif settings is not None and catalogue.mqtt:
            intake = MqttIntake(pipeline, catalogue.mqtt, on_reading=self._on_reading, room=self._room)
            client_id = settings.client_id or f"cunzheng-{pipeline.signer.identity.gw}"
            session = MqttSession(settings, client_id, intake.topics, self._gateway.clock)
            self._broker = session, intake
            self._start("mqtt", session.run(intake.handle, intake.session))
            self._start("broker", BrokerWatch(session, self._gateway).run())

    def _listen_to_loggers(self, catalogue: Catalogue) -> None:
        settings = self._gateway.settings.hj212
        if self._loggers is not None:
            listener, intake = self._loggers
            was = intake.allows_nonstandard_crc
            intake.follow(catalogue.loggers)
            if intake.allows_nonstandard_crc != was:
                listener.cut()  # a stream keeps the check sums that it began with
        elif settings is not None and catalogue.loggers:
            intake = LoggerIntake(
                self._gateway.pipeline, catalogue.loggers, on_reading=self._on_reading, room=self._room
            )
            listener = LoggerListener(settings, intake)
            self._loggers = listener, intake
            self._start("hj212", listener.run())

    # -- tasks --------------------------------------------------------------------------------------------

    def _start(self, name: str, work: asyncio._CoroutineLike[None]) -> None:
        task = self._tasks[name] = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or self._tasks.get(task.get_name()) is not task:
            return
        if self._failed is not None and not self._failed.done():
            self._failed.set_exception(task.exception() or RuntimeError(f"{task.get_name()} has ended"))


class BrokerWatch:
    """Makes a broker that refuses or is away a problem, until it is back."""

    def __init__(self, session: MqttSession, gateway: Gateway) -> None:
        self._session, self._gateway = session, gateway
        self._said: str | None = None

    async def run(self) -> None:
        """Look again and again; what the store refuses is written down later."""
        while True:
            try:
                await self.look()
            except StoreError as error:
                log.error("broker state not noted reason=%r", str(error))
            await asyncio.sleep(BROKER_CHECK_S)

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


def _task_name(poller: Poller) -> str:
    return f"poll-{poller.site.id}"
