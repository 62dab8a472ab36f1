"""Lines and what may go wrong on them: an answer is taken only when it is the answer, whatever the device does."""

from __future__ import annotations

import asyncio
import itertools
import random
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from odd_device import Act, Asked, OddDevice, answer, good, wrapped

from device_profiles import Table
from device_profiles.hj212.crc import modbus_crc
from gateway.errors import DeviceBusyError, DeviceConfigurationError, DeviceGoneError
from gateway.frame import (
    ENCAPSULATED,
    Framing,
    Request,
    Strange,
    WriteRefusedError,
    bits,
    left_over,
    listen,
    registers,
    require_read,
)
from gateway.line import LineAddress, LineKind, Manners, Turns
from gateway.modbus import ModbusLine, ModbusUnit

QUICK = Manners(timeout_s=0.15)
KINDS: tuple[LineKind, ...] = ("tcp", "rtu-over-tcp")
Steps = Sequence[bytes | float | None]


@asynccontextmanager
async def odd(kind: LineKind, *script: Act, manners: Manners = QUICK) -> AsyncIterator[tuple[OddDevice, ModbusUnit]]:
    async with OddDevice("tcp" if kind == "tcp" else "rtu", list(script)) as device:
        line = ModbusLine(LineAddress(kind, "127.0.0.1", device.port), timeout_s=2)
        try:
            yield device, line.unit(7, manners)
        finally:
            line.close()


def late(device: OddDevice, asked: Asked) -> Steps:
    return [0.2, wrapped(asked, good(asked.data))]


def silent(device: OddDevice, asked: Asked) -> Steps:
    return []


def other_unit(device: OddDevice, asked: Asked) -> Steps:
    return [wrapped(asked, good(asked.data), unit=asked.unit + 1)]


def other_function(device: OddDevice, asked: Asked) -> Steps:
    return [wrapped(asked, bytes([4]) + good(asked.data)[1:])]


def too_short(device: OddDevice, asked: Asked) -> Steps:
    data = good(asked.data)
    return [wrapped(asked, bytes([data[0], data[1] - 2]) + data[2:-2])]


def count_that_lies(device: OddDevice, asked: Asked) -> Steps:
    data = good(asked.data)
    return [wrapped(asked, bytes([data[0], data[1] + 2]) + data[2:])]


def damaged(device: OddDevice, asked: Asked) -> Steps:
    frame = wrapped(asked, good(asked.data))
    return [frame[:-3] + bytes([frame[-3] ^ 0x10]) + frame[-2:]]


def noise(device: OddDevice, asked: Asked) -> Steps:
    return [bytes([0x55, 0xAA, 0x13, 0x77, 0x01, 0x00, 0xFF, 0x00, 0x99])]


def hang_up(device: OddDevice, asked: Asked) -> Steps:
    return [None]


def half_a_frame_then_hang_up(device: OddDevice, asked: Asked) -> Steps:
    return [wrapped(asked, good(asked.data))[:5], None]


def half_close(device: OddDevice, asked: Asked) -> Steps:
    return [b""]  # the device stops sending and goes on reading


# -- what was asked is what is taken ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("act", "on_tcp", "on_rtu"),
    [
        (late, "timeout", "timeout"),
        (silent, "timeout", "timeout"),
        (other_unit, "answer-mismatch", "answer-mismatch"),
        (other_function, "answer-mismatch", "answer-mismatch"),
        (too_short, "answer-length", "answer-length"),
        (count_that_lies, "answer-length", "answer-length"),
        (noise, "answer-mismatch", "answer-checksum"),
        (hang_up, "connection-lost", "connection-lost"),
        (half_a_frame_then_hang_up, "connection-lost", "connection-lost"),
        (half_close, "connection-lost", "connection-lost"),
    ],
    ids=lambda one: getattr(one, "__name__", str(one)),
)
@pytest.mark.parametrize("kind", KINDS)
async def test_wrong_answer_is_never_taken_and_the_next_one_is_its_own(
    kind: LineKind, act: Act, on_tcp: str, on_rtu: str
) -> None:
    # A connection that ends under a request is made anew once; ending again, it is no accident.
    script = (answer, act, act) if on_tcp == "connection-lost" else (answer, act)
    async with odd(kind, *script) as (_, unit):
        assert await unit.read("holding", 100, 2) == (100, 101)
        with pytest.raises(DeviceBusyError) as wrong:
            await unit.read("holding", 200, 2)
        assert wrong.value.reason == (on_tcp if kind == "tcp" else on_rtu)
        assert await unit.read("holding", 300, 2) == (300, 301)
        assert await unit.read("holding", 400, 2) == (400, 401)


@pytest.mark.parametrize("kind", KINDS)
async def test_whatever_a_device_does_no_value_is_another_requests(kind: LineKind, rng: random.Random) -> None:
    def a_little_late(device: OddDevice, asked: Asked) -> Steps:
        return [0.06, wrapped(asked, good(asked.data))]

    acts = [answer, a_little_late, silent, other_unit, other_function, too_short, noise, hang_up, half_close, twice]
    acts += [with_an_echo_of_another, half_a_frame_then_hang_up, count_that_lies]
    acts += [damaged] if kind != "tcp" else []  # over TCP nothing but TCP itself protects the words
    async with odd(kind, *rng.choices(acts, k=40), manners=Manners(timeout_s=0.04, retries=1)) as (device, unit):
        other = unit.line.unit(8, Manners(timeout_s=0.04))
        taken = 0
        while device.script:
            asked, start = rng.choice([unit, other]), rng.randrange(60_000)
            try:
                words = await asked.read("holding", start, 3)
            except (DeviceBusyError, DeviceGoneError):
                continue
            assert words == (start, start + 1, start + 2)
            taken += 1
        assert taken
        counts = (unit.counts, other.counts)
        assert sum(one.answers for one in counts) == taken
        assert all(sum(getattr(one, name) for one in counts) for name in ("timeouts", "lost", "mismatches"))


async def test_damaged_answer_on_an_rtu_line_is_counted_and_asked_again() -> None:
    async with odd("rtu-over-tcp", damaged, manners=Manners(timeout_s=0.5, retries=1)) as (device, unit):
        assert await unit.read("input", 10, 3) == (10, 11, 12)
        assert (unit.counts.checksums, unit.counts.requests, unit.counts.answers) == (1, 2, 1)
        assert device.connections == 1


async def test_late_answer_on_an_rtu_line_is_waited_for_and_thrown_away() -> None:
    async with odd("rtu-over-tcp", late) as (device, unit):
        with pytest.raises(DeviceBusyError):
            await unit.read("holding", 0, 4)
        # Same unit, function and length: nothing in the bytes could tell the old answer from the new one.
        assert await unit.read("holding", 1000, 4) == (1000, 1001, 1002, 1003)
        assert (unit.counts.timeouts, unit.counts.late, device.connections) == (1, 1, 1)


async def test_late_answer_on_the_same_tcp_connection_is_passed_over() -> None:
    def old_then_new(device: OddDevice, asked: Asked) -> Steps:
        return [wrapped(asked, good(asked.data), transaction=asked.transaction - 1), wrapped(asked, good(asked.data))]

    async with odd("tcp", answer, old_then_new) as (_, unit):
        await unit.read("holding", 0, 2)
        assert await unit.read("holding", 5, 2) == (5, 6)
        assert unit.counts.late == 1


async def test_transaction_numbers_do_not_begin_again_with_a_new_connection() -> None:
    async with odd("tcp", answer, hang_up, hang_up) as (device, unit):
        await unit.read("holding", 0, 1)
        with pytest.raises(DeviceBusyError):
            await unit.read("holding", 1, 1)
        await unit.read("holding", 2, 1)
        numbers = [asked.transaction for asked in device.asked]
        assert len(set(numbers)) == len(numbers)


def byte_by_byte(device: OddDevice, asked: Asked) -> Steps:
    frame = wrapped(asked, good(asked.data))
    return list(itertools.chain.from_iterable((frame[at : at + 1], 0.002) for at in range(len(frame))))


def with_an_echo_of_another(device: OddDevice, asked: Asked) -> Steps:
    others = wrapped(asked, good(asked.data), unit=asked.unit + 2, transaction=asked.transaction - 5)
    return [others + wrapped(asked, good(asked.data))]


def twice(device: OddDevice, asked: Asked) -> Steps:
    return [2 * wrapped(asked, good(asked.data))]


def after_noise(device: OddDevice, asked: Asked) -> Steps:
    return [b"\x00\xff" + wrapped(asked, good(asked.data))]


def after_its_echo(device: OddDevice, asked: Asked) -> Steps:
    return [asked.frame, 0.01, wrapped(asked, good(asked.data))]


async def test_echo_of_the_request_is_no_answer() -> None:
    async with odd("rtu-over-tcp", after_its_echo, after_its_echo, manners=Manners(timeout_s=1)) as (_, unit):
        # The echo of the second begins as its answer would: unit, function, and 4 bytes to come.
        for start in (40, 0x0400):
            assert await unit.read("holding", start, 2) == (start, start + 1)


@pytest.mark.parametrize(
    ("kind", "act"),
    [
        *itertools.product(KINDS, (byte_by_byte, with_an_echo_of_another, twice)),
        ("rtu-over-tcp", after_noise),
    ],
)
async def test_right_answer_is_found_however_it_comes(kind: LineKind, act: Act) -> None:
    async with odd(kind, act, act, act, manners=Manners(timeout_s=1)) as (_, unit):
        for start in (40, 50, 60):
            assert await unit.read("holding", start, 3) == (start, start + 1, start + 2)


@pytest.mark.parametrize("kind", KINDS)
async def test_peer_that_closed_in_between_costs_nobody_a_reading(kind: LineKind) -> None:
    def answer_and_close(device: OddDevice, asked: Asked) -> Steps:
        return [wrapped(asked, good(asked.data)), None]

    async with odd(kind, answer_and_close, answer_and_close) as (device, unit):
        for start in (1, 2, 3):
            assert await unit.read("holding", start, 1) == (start,)
        assert device.connections == 3


async def test_frozen_serial_server_is_connected_to_anew() -> None:
    async with odd("rtu-over-tcp", silent, silent) as (device, unit):
        for _ in range(2):
            with pytest.raises(DeviceBusyError):
                await unit.read("holding", 0, 1)
        assert await unit.read("holding", 9, 1) == (9,)
        assert device.connections == 2


async def test_nobody_there_is_found_out_once_for_all_that_wait() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        line = ModbusLine(LineAddress("tcp", "127.0.0.1", free.getsockname()[1]), timeout_s=1)
    units = [line.unit(number) for number in range(1, 6)]
    done = await asyncio.gather(*(unit.read("holding", 0, 1) for unit in units), return_exceptions=True)
    assert all(isinstance(one, DeviceGoneError) for one in done)
    assert sum(unit.counts.refused for unit in units) == 1


# -- what may leave -----------------------------------------------------------------------------------------

WRITES = {
    "write coil": bytes([5, 0, 1, 0xFF, 0]),
    "write register": bytes([6, 0, 1, 0, 1]),
    "diagnostics": bytes([8, 0, 1, 0, 0]),
    "write coils": bytes([15, 0, 0, 0, 1, 1, 1]),
    "write registers": bytes([16, 0, 0, 0, 1, 2, 0, 1]),
    "mask write": bytes([22, 0, 0, 0, 0, 0, 0]),
    "read and write": bytes([23, 0, 0, 0, 1, 0, 0, 0, 1, 2, 0, 1]),
    "other encapsulated": bytes([0x2B, 0x0D, 1, 0]),
    "read with a tail": bytes([3, 0, 0, 0, 1, 0]),
    "exception": bytes([0x83, 2]),
    "nothing": b"",
}


@pytest.mark.parametrize("data", WRITES.values(), ids=WRITES.keys())
@pytest.mark.parametrize("kind", KINDS)
async def test_no_frame_but_a_read_passes_the_transport(kind: LineKind, data: bytes) -> None:
    async with odd(kind) as (device, unit):
        await unit.read("holding", 0, 1)
        wire = unit.line._wire
        assert wire is not None
        assert wire._client is not None
        asked = Asked(b"", 77 if kind == "tcp" else -1, 7, b"")
        for frame in (wrapped(asked, data), wrapped(asked, bytes([3, 0, 0, 0, 1])) + wrapped(asked, data)):
            with pytest.raises(WriteRefusedError):
                wire._client.ctx.send(frame)
        await unit.read("holding", 1, 1)
        assert len(device.asked) == 2


@given(st.binary(max_size=20))
def test_whatever_is_let_out_is_one_read(noise: bytes) -> None:
    framed = {
        Framing.TCP: b"\0\1\0\0" + len(noise).to_bytes(2, "big") + noise,
        Framing.RTU: noise + modbus_crc(noise).to_bytes(2, "big"),
    }
    for framing, frame in framed.items():
        try:
            require_read(frame, framing)
        except WriteRefusedError:
            continue
        assert (len(noise) == 6 and noise[1] in (1, 2, 3, 4)) or (len(noise) == 5 and noise[1:3] == b"\x2b\x0e")


# -- frames -------------------------------------------------------------------------------------------------

requests = st.builds(
    Request,
    unit=st.integers(1, 247),
    function=st.sampled_from([1, 2, 3, 4]),
    address=st.integers(0, 60_000),
    count=st.integers(1, 125),
)


def _frame(request: Request, framing: Framing, transaction: int) -> tuple[bytes, bytes]:
    data = bytes([request.function]) + request.address.to_bytes(2, "big") + request.count.to_bytes(2, "big")
    asked = Asked(b"", transaction if framing is Framing.TCP else -1, request.unit, data)
    return good(data), wrapped(asked, good(data))


@given(requests, st.sampled_from(Framing), st.integers(1, 65_000), st.integers(0, 300))
def test_answer_is_heard_when_it_is_whole_and_not_before(
    request: Request, framing: Framing, transaction: int, cut: int
) -> None:
    data, frame = _frame(request, framing, transaction)
    part = frame[: cut % len(frame)]
    assert listen(part, request, framing, transaction).data is None
    heard = listen(frame, request, framing, transaction)
    assert (heard.data, heard.used) == (data, len(frame))
    if request.function in (1, 2):
        assert bits(data, request.count) == tuple((request.address + at) & 1 for at in range(request.count))
    else:
        assert registers(data) == tuple(request.address + at for at in range(request.count))


@given(requests, st.sampled_from(Framing), st.binary(max_size=40))
def test_whatever_comes_nothing_but_the_answer_is_taken(request: Request, framing: Framing, noise: bytes) -> None:
    heard = listen(noise, request, framing, 4711)
    assert heard.used <= len(noise)
    if heard.data is not None:
        assert heard.data[0] & 0x7F == request.function
    left_over(noise, request)


@pytest.mark.parametrize("unit", [7, 8])
def test_what_is_left_of_an_rtu_line_says_whose_it_was(unit: int) -> None:
    request = Request(7, 3, 0, 2)
    body = bytes([unit, 3, 6, 0, 1, 0, 2, 0, 3])
    frame = body + modbus_crc(body).to_bytes(2, "big")
    assert left_over(frame, request) is (Strange.LENGTH if unit == 7 else Strange.MISMATCH)
    assert left_over(b"", request) is None


async def test_identification_is_read_in_parts() -> None:
    def part(more: int, following: int, *texts: tuple[int, bytes]) -> Act:
        packed = b"".join(bytes([number, len(text)]) + text for number, text in texts)
        data = bytes([ENCAPSULATED, 0x0E, 2, 0x82, more, following, len(texts)]) + packed
        return lambda device, asked: [wrapped(asked, data)[:9], 0.01, wrapped(asked, data)[9:]]

    for kind in KINDS:
        script = (part(0xFF, 2, (0, b"Acme\0"), (1, b"M-1")), part(0, 0, (2, b"v3"), (5, b"Meter")))
        async with odd(kind, *script, manners=Manners(timeout_s=1)) as (device, unit):
            assert await unit.identification(5) == {0: "Acme", 1: "M-1", 2: "v3", 5: "Meter"}
            assert [asked.data for asked in device.asked] == [bytes([0x2B, 0x0E, 2, 0]), bytes([0x2B, 0x0E, 2, 2])]


# -- manners ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "address", "count"), [("holding", 95, 6), ("holding", 104, 1), ("holding", 0, 21), ("coil", 0, 9)]
)
async def test_what_the_profile_forbids_is_not_sent(table: str, address: int, count: int) -> None:
    manners = Manners(max_registers=20, max_bits=8, forbidden=((Table.HOLDING, 100, 104),))
    async with odd("tcp", manners=manners) as (device, unit):
        with pytest.raises(DeviceConfigurationError, match="forbids") as refused:
            await unit.read(table, address, count)
        assert refused.value.reason == "forbidden-range"
        assert await unit.read("holding", 105, 20) == tuple(range(105, 125))
        assert await unit.read("input", 100, 4) == (100, 101, 102, 103)
        assert len(device.asked) == 2


@pytest.mark.parametrize("kind", KINDS)
async def test_timeouts_are_tried_again_as_often_as_the_profile_says(kind: LineKind) -> None:
    async with odd(kind, silent, silent, manners=Manners(timeout_s=0.05, retries=2)) as (device, unit):
        assert await unit.read("holding", 3, 1) == (3,)
        assert (len(device.asked), unit.counts.timeouts) == (3, 2)
        device.script += [silent, silent, silent]
        with pytest.raises(DeviceBusyError):
            await unit.read("holding", 3, 1)
        assert len(device.asked) == 6


async def test_busy_device_is_not_asked_again_at_once() -> None:
    def busy(device: OddDevice, asked: Asked) -> Steps:
        return [wrapped(asked, bytes([asked.data[0] | 0x80, 6]))]

    async with odd("tcp", busy, manners=Manners(timeout_s=1, retries=3)) as (device, unit):
        with pytest.raises(DeviceBusyError):
            await unit.read("holding", 3, 1)
        assert (len(device.asked), unit.counts.exceptions) == (1, {6: 1})


async def test_silence_between_requests_and_after_connecting_is_kept() -> None:
    manners = Manners(timeout_s=1, pause_s=0.05, connect_pause_s=0.08)
    async with odd("tcp", manners=manners) as (_, unit):
        loop = asyncio.get_running_loop()
        began = loop.time()
        await unit.read("holding", 0, 1)
        connected = loop.time()
        await unit.read("holding", 0, 1)
        assert connected - began >= 0.08
        assert loop.time() - connected >= 0.05


async def test_idle_connection_is_closed_where_the_profile_says_so_and_kept_alive_otherwise() -> None:
    async with odd("tcp", manners=Manners(timeout_s=1, idle_close_s=0.03)) as (device, unit):
        await unit.read("holding", 0, 1)
        wire = unit.line._wire
        assert wire is not None
        async with asyncio.timeout(2):
            while wire.is_open:
                await asyncio.sleep(0.01)
        await unit.read("holding", 0, 1)
        assert device.connections == 2
        assert wire._client is not None
        connection = wire._client.ctx.transport.get_extra_info("socket")
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


# -- sharing ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_units_share_one_connection_and_one_request_is_under_way(kind: LineKind) -> None:
    under_way = 0

    def slowly(device: OddDevice, asked: Asked) -> Steps:
        nonlocal under_way
        under_way += 1
        assert under_way == 1
        return Slow([0.005, wrapped(asked, good(asked.data))])

    class Slow(list[bytes | float | None]):
        def __iter__(self) -> itertools.chain[bytes | float | None]:  # type: ignore[override]
            return itertools.chain(super().__iter__(), self._end())

        def _end(self) -> itertools.chain[bytes | float | None]:
            nonlocal under_way
            under_way -= 1
            return itertools.chain()

    async with odd(kind, *[slowly] * 30, manners=Manners(timeout_s=2)) as (device, first):
        units = [first, *(first.line.unit(number, Manners(timeout_s=2)) for number in (8, 9))]

        async def all_of(unit: ModbusUnit) -> None:
            for at in range(10):
                assert await unit.read("holding", 100 * unit.number + at, 1) == (100 * unit.number + at,)

        await asyncio.gather(*(all_of(unit) for unit in units))
        order = [asked.unit for asked in device.asked]
        assert device.connections == 1
        # Round robin: nobody comes twice before each of the others came.
        assert all(len(set(order[at : at + 3])) == 3 for at in range(0, 30, 3))


async def test_who_is_due_first_comes_first() -> None:
    turns, order = Turns(), []

    async def take(name: str, due: float) -> None:
        async with turns.turn(due):
            order.append(name)
            await asyncio.sleep(0)

    async with turns.turn(0):
        tasks = [asyncio.create_task(take(name, due)) for name, due in (("c", 3), ("a", 1), ("b", 2), ("x", 0))]
        await asyncio.sleep(0)
        tasks[3].cancel()
        await asyncio.sleep(0)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == ["a", "b", "c"]


@pytest.mark.parametrize("kind", KINDS)
async def test_cancelled_request_does_not_leave_its_answer_to_the_next(kind: LineKind) -> None:
    async with odd(kind, late, manners=Manners(timeout_s=1)) as (_, unit):
        task = asyncio.create_task(unit.read("holding", 0, 2))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await unit.read("holding", 500, 2) == (500, 501)
