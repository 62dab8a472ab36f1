"""The centre is away for the whole run, then comes back: everything arrives once, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from fault_audit import audit
from fault_devices import meter
from fault_programs import wait_until
from fault_world import World, digest

from cunzheng.demo.processes import free_port
from evidence.statement import parse
from gateway.assembly import open_gateway
from gateway.clock import SteppedClock
from gateway.errors import UplinkError
from gateway.modbus import ModbusEndpoint
from gateway.poller import Poller
from gateway.site import DeviceSite


def test_imports_without_a_centre_arrive_once_and_in_order(world: World) -> None:
    files = world.exports(3, 2)
    service = world.gateway("run")
    for file in files:
        world.import_file(file)
        program = world.gateway("sync")
        assert program.wait() == 2
        assert "cannot reach the centre" in program.line()
    assert world.receipts() == {}
    waiting = world.waiting()
    assert waiting > 3 * 48
    world.start_centre()
    wait_until(lambda: world.waiting() == 0, "an empty queue")
    assert service.terminate() == 0
    assert len(world.receipts()) >= waiting
    audit(world, files=files)


@pytest.mark.parametrize("days", [4, pytest.param(28, marks=pytest.mark.faults)])
def test_days_of_polling_without_a_centre_arrive_once_and_in_order(world: World, days: int) -> None:
    """The gateway's own poller reads a real Modbus server on a clock that the test moves."""
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    clock = SteppedClock(end - timedelta(days=days))
    world.modbus_port = free_port()
    world.write_settings()
    with (
        meter(world.modbus_port, clock.now),
        open_gateway(world.folder / "gateway.toml", clock) as gateway,
        gateway.uplink() as uplink,
    ):
        syncing = gateway.syncing(uplink)

        async def poll_for_days() -> None:
            endpoint = ModbusEndpoint("127.0.0.1", world.modbus_port, timeout_s=5)
            (instrument,) = gateway.catalogue.modbus
            assert isinstance(instrument.site, DeviceSite)
            poller = Poller(instrument, endpoint, clock, gateway.settings.poll)
            while clock.now() < end:
                readings = await poller.poll()
                await gateway.pipeline.store([gateway.pipeline.arrival(one) for one in readings])
                clock.advance(timedelta(minutes=15))
                if clock.now().minute == 15:
                    await gateway.pipeline.seal_due_async(timedelta(0))
                if clock.now().hour == 0 and clock.now().minute == 0:
                    with pytest.raises(UplinkError, match="cannot reach the centre"):
                        await asyncio.to_thread(syncing.round)
            endpoint.close()
            await gateway.pipeline.seal_due_async(timedelta(0))

        asyncio.run(poll_for_days())
        read = world.gateway_rows("SELECT count(*), sum(flag = 'N') FROM reading")
        assert read == [(days * 96 * 2, days * 96 * 2)]
    assert world.receipts() == {}
    world.start_centre()
    world.sync()
    audit(world)
    segments = [one for one in map(parse, world.log()) if one.kind == "segment"]
    hours = [one.payload["span"][0] for one in segments]
    # The counter's reading at the very start belongs to the hour before.
    assert len(hours) == len(set(hours)) == days * 24 + 1
    assert hours == sorted(hours)


@pytest.mark.faults
def test_month_is_the_same_whether_the_centre_was_there_or_not(make_world: Callable[[], World]) -> None:
    bodies = []
    for is_there in (True, False):
        world = make_world()
        files = world.exports(2, 2)
        if is_there:
            world.start_centre()
        for file in files:
            world.import_file(file)
            if is_there:
                world.sync()
        if not is_there:
            world.start_centre()
        world.sync()
        bodies.append(digest(world.body()))
        world.close()
    assert bodies[0] == bodies[1]
