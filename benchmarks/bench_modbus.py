"""Modbus at full speed: polled, decoded, judged, stored durably and sealed, beside bare clients on the same server.

Several devices are asked as fast as they answer, by the gateway's own pollers, group commit and judge. The peers only
fetch the same blocks: pymodbus' client, and an asyncio protocol of a few lines. All run on uvloop, as the gateway does.
The server is a process of its own and answers in a few microseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import struct
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import uvloop
from measure import Rate, measure, peak_mib, show
from modbus_server import modbus_server
from plant import AheadClock, fifty_site, gateway, sdm630_site
from pymodbus.client import AsyncModbusTcpClient

from device_profiles import ReadBlock
from gateway.groupcommit import GroupCommit
from gateway.modbus import ModbusEndpoint
from gateway.poller import Poller
from gateway.settings import PollSettings

DEVICES = 4
COMMIT_S = 0.5
_REQUEST = struct.Struct(">HHHBBHH")
_HEADER_BYTES = 9


def ours(folder: Path, site: str, port: int, seconds: float) -> tuple[Rate, tuple[ReadBlock, ...], int]:
    """Run the gateway's reading side for so long, then seal; return its rate and the blocks a device is asked for."""
    clock = AheadClock()
    with gateway(folder, site, clock) as bench:
        instruments = bench.catalogue.modbus
        count = 0

        async def ask(poller: Poller, group: GroupCommit, until: float) -> None:
            nonlocal count
            while asyncio.get_running_loop().time() < until:
                readings = await poller.poll()
                count += len(readings)
                await group.take(readings)

        async def run() -> None:
            group = GroupCommit(bench.pipeline, COMMIT_S, lambda _: None)
            lines = [ModbusEndpoint("127.0.0.1", port, timeout_s=5) for _ in instruments]
            pollers = [Poller(one, line, clock, PollSettings()) for one, line in zip(instruments, lines, strict=True)]
            commit = asyncio.create_task(group.run())
            until = asyncio.get_running_loop().time() + seconds
            await asyncio.gather(*(ask(poller, group, until) for poller in pollers))
            commit.cancel()
            with suppress(asyncio.CancelledError):
                await commit
            await group.flush()
            for line in lines:
                line.close()

        def work() -> None:
            uvloop.run(run())
            clock.ahead = timedelta(hours=2)
            bench.pipeline.seal_due(timedelta(0))

        gc.collect()
        gc.freeze()
        timed = measure("gateway: polled, decoded, judged, stored, sealed: values", 1, work)
        sealed, marked = bench.writer.call(
            lambda store: store.row("SELECT count(leaf), sum(reason != '') FROM reading") or (0, 0)
        )
        if sealed != count:
            raise SystemExit(f"{count - sealed} of {count} readings are missing")
        print(f"  {count:,} readings, all sealed, {marked:,} with a remark")
        blocks = instruments[0].profile.plan(sorted(instruments[0].channels))
        return Rate(timed.name, count, timed.wall_s, timed.cpu_s), blocks, len(instruments[0].channels)


def bare_pymodbus(port: int, blocks: tuple[ReadBlock, ...], values: int, polls: int) -> Rate:
    """Fetch the same blocks with pymodbus' client."""

    async def ask() -> None:
        client = AsyncModbusTcpClient("127.0.0.1", port=port)
        await client.connect()
        for _ in range(polls):
            for block in blocks:
                await client.read_input_registers(block.address, count=block.count, device_id=1)
        client.close()

    return _peer("bare pymodbus: values", ask, values, polls)


class _Bare(asyncio.Protocol):
    """Sends one request and collects one answer."""

    def __init__(self) -> None:
        self._came, self._wanted = bytearray(), 0
        self._answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.out = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._came += data
        if self._answer is not None and len(self._came) >= self._wanted:
            self._answer.set_result(bytes(self._came))
            self._came.clear()

    async def ask(self, number: int, block: ReadBlock) -> bytes:
        self._answer = asyncio.get_running_loop().create_future()
        self._wanted = _HEADER_BYTES + 2 * block.count
        self.out.write(_REQUEST.pack(number & 0xFFFF, 0, 6, 1, 4, block.address, block.count))
        return await self._answer


def bare_asyncio(port: int, blocks: tuple[ReadBlock, ...], values: int, polls: int) -> Rate:
    """Fetch the same blocks with a protocol that checks nothing."""

    async def ask() -> None:
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_connection(_Bare, "127.0.0.1", port)
        for number in range(polls):
            for block in blocks:
                await protocol.ask(number, block)
        transport.close()

    return _peer("bare asyncio socket: values", ask, values, polls)


def _peer(name: str, ask: Callable[[], Coroutine[Any, Any, None]], values: int, polls: int) -> Rate:
    async def run() -> None:
        await asyncio.gather(*(ask() for _ in range(DEVICES)))

    return measure(name, DEVICES * polls * values, lambda: uvloop.run(run()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="how long each shape of device is polled")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as temporary, modbus_server() as port:
        place = Path(temporary)
        shapes = (
            ("SDM630: 13 values in 2 blocks", sdm630_site(port, DEVICES)),
            ("50 values in 1 block of 100 registers", fifty_site(place / "1", port, DEVICES)),
        )
        for at, (name, site) in enumerate(shapes):
            rate, blocks, values = ours(place / str(at), site, port, seconds)
            polls = max(200, int(rate.count / values / DEVICES))
            show(f"Modbus, {name}", rate, bare_pymodbus(port, blocks, values, polls), "at least 0.5")
            show(f"Modbus, {name}", rate, bare_asyncio(port, blocks, values, polls), "shown for the record")
        print(
            f"\n{DEVICES} devices; targets: 30 µs CPU a value, 20,000 values/s on one core; peak {peak_mib():.0f} MiB"
        )


if __name__ == "__main__":
    main()
