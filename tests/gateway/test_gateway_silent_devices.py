"""Devices that say nothing: tried between their polls where that costs nobody anything, and found soon."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from odd_device import OddDevice
from test_gateway_modbus_devices import pollers, written

from cunzheng.demo.processes import free_port
from evidence.reading import Reading
from gateway.field import end_tasks
from gateway.poller import Poller
from gateway.settings import PollSettings

BACKED_OFF = 10
"""So many failures make pauses of many seconds out of polls every twentieth of one."""


async def polled(poller: Poller, done: Callable[[list[Reading]], bool]) -> list[Reading]:
    """Let a poller run until its readings are as wanted."""
    got: list[Reading] = []

    async def sink(readings: Sequence[Reading]) -> None:
        got.extend(readings)

    task = asyncio.create_task(poller.run(sink, asyncio.Semaphore(1)))
    async with asyncio.timeout(10):
        while not done(got):
            await asyncio.sleep(0.02)
    await end_tasks([task])
    return got


@pytest.mark.parametrize("way", ["silent", "hangs up", "nobody"])
async def test_device_of_its_own_line_is_found_long_before_its_back_off_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr("gateway.poller.AWAY_S", 0.05)
    device = OddDevice("tcp", port=free_port())
    site = written(tmp_path, points=2, poll_s=0.05, line='tcp = "127.0.0.1:9"', protocols="tcp")
    line, (poller,) = pollers(site, device.port, PollSettings(backoff_max_s=3600, stagger_s=0))
    poller.state.failures = BACKED_OFF
    async with AsyncExitStack() as there:
        if way != "nobody":
            await there.enter_async_context(device)
            device.silent_units = frozenset({1} if way == "silent" else ())
            device.script = [lambda _, __: [None]] * (10**6 if way == "hangs up" else 0)

        async def comes_back() -> None:
            while poller.state.polls < 5:
                await asyncio.sleep(0.02)
            device.silent_units, device.script = frozenset(), []
            if way == "nobody":
                await there.enter_async_context(device)

        back = asyncio.create_task(comes_back())
        got = await polled(poller, lambda got: any(one.is_valid for one in got))
        await back
        line.close()
    # The tries in vain made no readings: those of the first poll had said it.
    assert [one.is_valid for one in got[:4]] == [False, False, True, True]
    assert poller.state.polls >= 5


async def test_silent_unit_of_a_shared_line_is_not_tried_between_its_polls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.poller.AWAY_S", 0.01)
    async with OddDevice("rtu") as device:
        device.silent_units = frozenset({1})
        line, (dead, _) = pollers(
            written(tmp_path, units=(1, 2), points=1, poll_s=0.02), device.port, PollSettings(backoff_max_s=3600)
        )
        dead.state.failures = BACKED_OFF
        looks = itertools.count()
        assert len(await polled(dead, lambda got: bool(got) and next(looks) > 20)) == 1
        assert len(device.asked) == 1
        line.close()


async def test_shared_line_that_is_gone_is_found_by_all_its_units(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.poller.AWAY_S", 0.05)
    device = OddDevice("rtu", port=free_port())
    site = written(tmp_path, units=(1, 2), points=1, poll_s=0.05)
    line, made = pollers(site, device.port, PollSettings(backoff_max_s=3600, stagger_s=0))
    for poller in made:
        poller.state.failures = BACKED_OFF
    got: list[Reading] = []

    async def sink(readings: Sequence[Reading]) -> None:
        got.extend(readings)

    tasks = [asyncio.create_task(poller.run(sink, asyncio.Semaphore(1))) for poller in made]
    async with asyncio.timeout(10):
        while min(poller.state.polls for poller in made) < 5:
            await asyncio.sleep(0.02)
        async with device:
            while {one.channel for one in got if one.is_valid} != {"d1.p0", "d2.p0"}:
                await asyncio.sleep(0.02)
            await end_tasks(tasks)
            line.close()
    assert sorted(one.channel for one in got if not one.is_valid) == ["d1.p0", "d2.p0"]
