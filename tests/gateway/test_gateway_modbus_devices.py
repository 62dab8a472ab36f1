"""Devices on lines: one that is dead, refuses, or is another than described hurts nobody, and a person hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from conftest import Plant
from odd_device import Asked, OddDevice, good, wrapped

from evidence.reading import Flag, Reading
from gateway.catalogue import load_catalogue
from gateway.clock import Clock, RealClock, SteppedClock
from gateway.device_watch import problems_of
from gateway.errors import MisuseError
from gateway.field import end_tasks
from gateway.line import LineAddress
from gateway.modbus import ModbusLine
from gateway.nameplate import Told
from gateway.poller import Poller, Tell, lines_of, pollers_of
from gateway.settings import PollSettings

PROFILE = """
profile: rig
version: 1
vendor: Rig
model: Rig
name: {{zh: 测试仪表, en: Rig}}
trust: documented
sources: [test]
address_base: wire0
transport: {{protocols: [{protocols}], max_gap: 2, timeout_ms: 80, retries: 0{more}}}
{match}
defaults: {{table: holding, type: uint16}}
points:
{points}
vectors:
  - {{words: {{0: "0000"}}, expect: {{p0: "0"}}}}
"""
SITE = """
[[line]]
id = "bus"
{line}

{devices}
"""


def written(
    folder: Path,
    *,
    points: int = 4,
    units: Sequence[int] = (1,),
    line: str = 'rtu_over_tcp = "127.0.0.1:4001"',
    place: str = 'line = "bus"',
    protocols: str = "rtu, rtu-over-tcp",
    more: str = "",
    match: str = "",
    poll_s: float = 60,
) -> Path:
    """Write a profile with registers 0, 1, 2 … and a site with these units on one line; return the site file."""
    rows = "\n".join(
        f"  p{at}: {{address: {at}, unit: '1', role: rate, name: {{zh: 点, en: p}}}}" for at in range(points)
    )
    profile = PROFILE.format(protocols=protocols, more=more, match=match, points=rows)
    (folder / "rig.yaml").write_text(profile, "utf-8")
    devices = "\n".join(
        f'[[device]]\nid = "d{unit}"\nprofile = "rig.yaml"\n{place}\nunit = {unit}\npoll_s = {poll_s}\n'
        + "".join(f'[[channel]]\nid = "d{unit}.p{at}"\ndevice = "d{unit}"\npoint = "p{at}"\n' for at in range(points))
        for unit in units
    )
    site = folder / "site.toml"
    site.write_text(SITE.format(line=line, devices=devices), "utf-8")
    return site


def pollers(
    site: Path, port: int, settings: PollSettings | None = None, *, clock: Clock | None = None, tell: Tell | None = None
) -> tuple[ModbusLine, list[Poller]]:
    """Make the pollers of a site whose one line stands at this port."""
    instruments = load_catalogue(site).modbus
    made = settings or PollSettings()
    place = LineAddress(next(iter(lines_of(instruments, 1))).kind, "127.0.0.1", port)
    line = ModbusLine(place, timeout_s=made.timeout_s)
    lines = dict.fromkeys(lines_of(instruments, 1), line)
    return line, pollers_of(instruments, lines, clock or RealClock(), made, tell)


class Picky(OddDevice):
    """Refuses requests that touch some addresses, and says who it is."""

    bad: frozenset[int] = frozenset()
    code = 2
    name = b"Rig"
    has_identification = True

    def act(self, asked: Asked) -> bytes:
        if asked.data[0] == 0x2B:
            if not self.has_identification:
                return wrapped(asked, bytes([0xAB, 1]))
            head = bytes([0x2B, 0x0E, asked.data[2], 0x81, 0, 0, 1, 1, len(self.name)])
            return wrapped(asked, head + self.name)
        start = int.from_bytes(asked.data[1:3], "big")
        if self.bad & set(range(start, start + asked.count)):
            return wrapped(asked, bytes([asked.data[0] | 0x80, self.code]))
        return wrapped(asked, good(asked.data))

    async def __aenter__(self) -> Picky:
        self.script = _Always(lambda device, asked: [self.act(asked)])  # type: ignore[assignment]
        await super().__aenter__()
        return self


class _Always(list[object]):
    def __init__(self, act: object) -> None:
        super().__init__([act])

    def pop(self, index: object = 0) -> object:
        return self[0]


def spans(device: OddDevice) -> list[tuple[int, int]]:
    """What was asked since the last look."""
    found = [(int.from_bytes(asked.data[1:3], "big"), asked.count) for asked in device.asked if asked.data[0] != 0x2B]
    device.asked.clear()
    return found


# -- refused requests ---------------------------------------------------------------------------------------


async def test_block_with_a_bad_address_is_cut_in_halves_once_and_for_all(tmp_path: Path) -> None:
    async with Picky("rtu") as device:
        device.bad = frozenset({11})
        line, (poller,) = pollers(written(tmp_path, points=16), device.port)
        first = {one.channel: one for one in await poller.poll()}
        assert {name for name, one in first.items() if not one.is_valid} == {"d1.p11"}
        assert first["d1.p11"].reason == "exception-02"
        assert first["d1.p15"].value == Decimal(15)
        asked = spans(device)
        assert asked[0] == (0, 16)
        assert len(asked) < 12
        await poller.poll()
        # What was learned is kept: no request over the bad address, and the address itself is left in peace.
        assert spans(device) == [(0, 8), (8, 2), (10, 1), (12, 4)]
        report = poller.report()
        assert (report.split_blocks, report.exceptions, report.failures) == (1, {2: 5}, 0)
        assert [(one.address, one.points, one.reason) for one in report.refused] == [(11, ("p11",), "exception-02")]
        line.close()


@pytest.mark.parametrize("code", [1, 2, 3])
async def test_device_that_refuses_everything_is_not_hammered(tmp_path: Path, code: int) -> None:
    async with Picky("rtu") as device:
        device.bad, device.code = frozenset(range(16)), code
        line, (poller,) = pollers(written(tmp_path, points=4), device.port)
        for _ in range(5):
            readings = await poller.poll()
            assert {(one.flag, one.reason) for one in readings} == {(Flag.NO_COMMUNICATION, f"exception-0{code}")}
        assert len(device.asked) == (7 if code == 2 else 1)
        (key,) = problems_of(poller.report())
        assert key == "device-d1-request"
        line.close()


async def test_refused_address_that_answers_again_is_no_problem_any_more(tmp_path: Path) -> None:
    async with Picky("rtu") as device:
        device.bad = frozenset({1})
        line, (poller,) = pollers(written(tmp_path, points=3, poll_s=0.02), device.port)
        await poller.poll()
        device.bad = frozenset()
        await asyncio.sleep(0.03)
        assert all(one.is_valid for one in await poller.poll())
        assert problems_of(poller.report()) == {}
        line.close()


@pytest.mark.parametrize("code", [5, 6, 10, 11])
async def test_device_that_asks_for_patience_is_asked_no_more_in_this_poll_and_backs_off(
    tmp_path: Path, code: int
) -> None:
    async with Picky("rtu") as device:
        device.bad, device.code = frozenset({0}), code
        site = written(tmp_path, points=6, poll_s=1, more=", max_registers: 2")
        line, (poller,) = pollers(site, device.port)
        pauses = []
        for _ in range(6):
            assert {one.reason for one in await poller.poll()} == {f"exception-{code:02x}"}
            pauses.append(poller.next_pause())
        assert len(device.asked) == 6
        assert pauses[-1] > 10 * pauses[0] > 0
        assert poller.report().exceptions == {code: 6}
        line.close()


# -- who is it? ---------------------------------------------------------------------------------------------

BY_NAME = "match:\n  - {identification: product, equals: [Rig, Rig2], otherwise: refuse}"
BY_REGISTER = "match:\n  - {point: p2, equals: 2, otherwise: refuse}"


@pytest.mark.parametrize("kind", ["tcp", "rtu"])
async def test_device_is_asked_who_it_is_once_a_connection(tmp_path: Path, kind: str) -> None:
    async with Picky(kind) as device:
        line_key = "tcp" if kind == "tcp" else "rtu_over_tcp"
        site = written(
            tmp_path, line=f'{line_key} = "127.0.0.1:9"', protocols="tcp, rtu-over-tcp", match=BY_NAME, points=1
        )
        line, (poller,) = pollers(site, device.port)
        for _ in range(3):
            assert all(one.is_valid for one in await poller.poll())
        assert [asked.data[0] for asked in device.asked].count(0x2B) == 1
        line.close()
        device.name = b"Other"
        for _ in range(2):
            (reading,) = await poller.poll()
            assert (reading.value, reading.flag, reading.reason) == (Decimal(0), Flag.FAULT, "wrong-device")
        assert problems_of(poller.report())["device-d1-identity"][1].endswith(
            "(product is Other, not Rig / Rig2); its readings are marked faulty"
        )
        device.name = b"Rig2"
        assert all(one.is_valid for one in await poller.poll())
        assert problems_of(poller.report()) == {}
        line.close()


async def test_identification_is_handed_on_so_that_an_exchange_is_noticed_among_accepted_devices(
    tmp_path: Path,
) -> None:
    told: list[Told] = []

    async def tell(one: Told) -> None:
        told.append(one)

    clock = SteppedClock(datetime(2026, 3, 1, tzinfo=UTC))
    async with Picky("tcp") as device:
        site = written(tmp_path, line='tcp = "127.0.0.1:9"', protocols="tcp", match=BY_NAME, points=1)
        line, (poller,) = pollers(site, device.port, clock=clock, tell=tell)
        await poller.poll()
        device.name = b"Rig2"
        clock.advance(timedelta(hours=1))
        assert all(one.is_valid for one in await poller.poll())
        line.close()
    assert [one.identity for one in told] == [{"identification.product": "Rig"}, {"identification.product": "Rig2"}]


@pytest.mark.parametrize(
    ("match", "bad"),
    [
        (BY_NAME, frozenset[int]()),
        (BY_REGISTER, frozenset({2})),
        (BY_REGISTER.replace("2, oth", "3, oth"), frozenset()),
    ],
    ids=["no identification", "no such register", "other value"],
)
async def test_device_that_cannot_show_who_it_is_is_not_believed(
    tmp_path: Path, match: str, bad: frozenset[int]
) -> None:
    async with Picky("rtu") as device:
        device.has_identification, device.bad = False, bad
        line, (poller,) = pollers(written(tmp_path, match=match), device.port)
        readings = {one.channel: one for one in await poller.poll()}
        assert (readings["d1.p0"].flag, readings["d1.p0"].reason) == (Flag.FAULT, "wrong-device")
        line.close()


async def test_doubt_that_only_warns_leaves_the_readings_alone(tmp_path: Path) -> None:
    async with Picky("rtu") as device:
        device.name = b"Other"
        line, (poller,) = pollers(written(tmp_path, match=BY_NAME.replace("refuse", "warn")), device.port)
        assert all(one.is_valid for one in await poller.poll())
        assert list(problems_of(poller.report())) == ["device-d1-identity"]
        line.close()


# -- sharing a line -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["rtu_over_tcp", "tcp"])
async def test_dead_unit_backs_off_and_the_live_ones_keep_their_rhythm(tmp_path: Path, place: str) -> None:
    async with OddDevice("tcp" if place == "tcp" else "rtu") as device:
        device.silent_units = frozenset({2})
        site = written(
            tmp_path,
            units=(1, 2, 3),
            points=1,
            poll_s=0.05,
            line=f'{place} = "127.0.0.1:9"',
            protocols="tcp, rtu-over-tcp",
        )
        line, made = pollers(site, device.port, PollSettings(backoff_max_s=10, stagger_s=0))
        got: dict[str, list[bool]] = {"d1.p0": [], "d2.p0": [], "d3.p0": []}

        async def sink(readings: Sequence[Reading]) -> None:
            for one in readings:
                got[one.channel].append(one.is_valid)

        gate = asyncio.Semaphore(1)
        tasks = [asyncio.create_task(poller.run(sink, gate)) for poller in made]
        async with asyncio.timeout(10):
            while min(len(got["d1.p0"]), len(got["d3.p0"])) < 30:
                await asyncio.sleep(0.02)
        await end_tasks(tasks)
        assert all(got["d1.p0"])
        assert all(got["d3.p0"])
        assert not any(got["d2.p0"])
        # Nine tenths of the line, or more, are left to the others.
        dead = made[1]
        assert dead.next_pause() >= 0.75 * 9 * line.silence_costs_s(dead._unit.manners)
        assert len(got["d2.p0"]) < 15
        assert made[1].report().timeouts == len(got["d2.p0"])
        line.close()


async def test_slow_line_keeps_no_other_line_waiting(tmp_path: Path) -> None:
    def slowly(device: OddDevice, asked: Asked) -> Sequence[bytes | float | None]:
        return [0.06, wrapped(asked, good(asked.data))]

    async with OddDevice("rtu", [slowly] * 1000) as slow, OddDevice("tcp") as quick:
        site = written(tmp_path, units=range(1, 6), points=1, poll_s=0.05)
        text = site.read_text("utf-8").replace('line = "bus"', f'host = "127.0.0.1"\nport = {quick.port}', 1)
        site.write_text(text.replace("127.0.0.1:4001", f"127.0.0.1:{slow.port}"), "utf-8")
        rig = tmp_path / "rig.yaml"
        rig.write_text(rig.read_text("utf-8").replace("rtu, rtu-over-tcp", "tcp, rtu-over-tcp"), "utf-8")
        instruments = load_catalogue(site).modbus
        lines = lines_of(instruments, 1)
        got: list[str] = []

        async def sink(readings: Sequence[Reading]) -> None:
            got.extend(one.channel for one in readings if one.is_valid)

        gate = asyncio.Semaphore(1)
        made = pollers_of(instruments, lines, RealClock(), PollSettings(stagger_s=0))
        tasks = [asyncio.create_task(poller.run(sink, gate)) for poller in made]
        async with asyncio.timeout(10):
            while got.count("d1.p0") < 20:
                await asyncio.sleep(0.02)
        await end_tasks(tasks)
        # Four devices wait for one another on the slow line while the quick one keeps its own rhythm.
        assert 0 < got.count("d2.p0") < got.count("d1.p0")
        for line in lines.values():
            line.close()


async def test_polls_of_a_site_begin_one_after_another(tmp_path: Path) -> None:
    _, made = pollers(written(tmp_path, units=(1, 2, 3, 4)), 9)
    assert [poller._phase_s for poller in made] == [0.0, 0.25, 0.5, 0.75]
    assert all(0 < poller._until_next_beat(60) <= 60 for poller in made)


# -- where the lines are ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "place", "protocols", "more", "where", "says"),
    [
        ("", 'line = "bus"', "rtu", "", "line.bus", "exactly one of tcp, tcp_gateway"),
        ('tcp = "h:1"\nserial = "/dev/x"', 'line = "bus"', "rtu", "", "line.bus", "exactly one of tcp, tcp_gateway"),
        ('tcp = "h"', 'line = "bus"', "tcp", "", "line.bus.tcp", "'h' is not host:port"),
        ('tcp = "h:70000"', 'line = "bus"', "tcp", "", "line.bus.tcp", "is not host:port"),
        ('tcp = "h:1"\nbaud = 9600', 'line = "bus"', "tcp", "", "line.bus.baud", "for serial only"),
        ('tcp = "h:1"', 'line = "bus"', "rtu", "", "device.d1.line", "do not speak tcp but rtu"),
        ('rtu_over_tcp = "h:1"', 'line = "bus"', "tcp, rtu", "", "device.d1.line", "not speak rtu-over-tcp but tcp"),
        ('tcp_gateway = "h:1"', 'line = "bus"', "tcp", "", "device.d1.line", "do not speak rtu but tcp"),
        ('tcp = "h:1"', 'host = "h"', "rtu", "", "device.d1.host", "do not speak tcp but rtu"),
        ('tcp = "h:1"', 'line = "bus2"', "tcp", "", "device.d1.line", "there is no line 'bus2'"),
        ('tcp = "h:1"', 'host = "h"\nline = "bus"', "tcp", "", "device.d1.host", "give either host"),
        ('tcp = "h:1"', "", "tcp", "", "device.d1.host", "give either host"),
        ('serial = "/dev/x"', 'line = "bus"', "rtu", "", "line.bus.baud", "the profiles do not say it"),
        ('serial = "/dev/x"\nbaud = 50', 'line = "bus"', "rtu", "", "line.0.baud", "greater than or equal to 300"),
    ],
)  # fmt: skip
def test_line_that_cannot_be_names_file_and_key(
    tmp_path: Path, line: str, place: str, protocols: str, more: str, where: str, says: str
) -> None:
    site = written(tmp_path, line=line, place=place, protocols=protocols, more=more)
    with pytest.raises(MisuseError) as wrong:
        load_catalogue(site)
    assert f"site.toml: key {where}: " in str(wrong.value)
    assert says in str(wrong.value)
    assert f"site.toml: 键 {where}: " in wrong.value.zh


def test_one_place_in_two_ways_is_refused(tmp_path: Path) -> None:
    site = written(tmp_path, line='rtu_over_tcp = "h:502"', protocols="tcp, rtu-over-tcp", units=(1, 2))
    text = site.read_text("utf-8")
    site.write_text(text.replace('line = "bus"', 'host = "h"', 1), "utf-8")
    with pytest.raises(MisuseError, match="same place as h:502 of device d1"):
        load_catalogue(site)


def test_unit_of_an_rtu_line_is_a_single_device(tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match=r"device\.d248\.unit: on an RTU line a unit is 1 to 247"):
        load_catalogue(written(tmp_path, units=(248,)))


def test_serial_settings_come_from_the_profile_unless_the_site_says_otherwise(tmp_path: Path) -> None:
    more = ", serial: {baud: 19200, data_bits: 8, parity: none, stop_bits: 2}"
    (first,) = load_catalogue(written(tmp_path, line='serial = "/dev/ttyS1"', more=more)).modbus
    assert first.line == LineAddress("rtu", "/dev/ttyS1", baud=19200, parity="none", stop_bits=2)
    (other,) = load_catalogue(written(tmp_path, line='serial = "/dev/ttyS1"\nbaud = 9600', more=more)).modbus
    assert other.line is not None
    assert other.line.name == "/dev/ttyS1 9600 8N2"
    assert other.line.silence_s == pytest.approx(3.5 * 11 / 9600)


def test_units_of_one_line_have_one_connection(tmp_path: Path) -> None:
    instruments = load_catalogue(written(tmp_path, units=(1, 2, 3))).modbus
    (line,) = lines_of(instruments, 1).values()
    assert line.name == "rtu-over-tcp 127.0.0.1:4001"


async def test_problems_of_devices_are_kept_until_they_are_gone(
    make_plant: Callable[..., Plant], tmp_path: Path
) -> None:
    from gateway.device_watch import DeviceWatch
    from gateway.problems import problems, raise_problem

    async with Picky("rtu") as device:
        plant = make_plant('[[import]]\nid = "x"\n[[channel]]\nid = "X"\ndevice = "x"\nkind = "value"\nunit = "1"\n')
        plant.writer.call(
            lambda store: raise_problem(store, "device-old-request", "旧", "old", "2026-03-01T00:00:00.000Z")
        )
        device.name = b"Other"
        line, made = pollers(written(tmp_path, match=BY_NAME), device.port)
        await made[0].poll()
        watch = DeviceWatch(made, plant.pipeline)
        await watch.look()
        assert [one.key for one in plant.writer.call(problems)] == ["device-d1-identity"]
        device.name = b"Rig"
        await made[0].poll()
        await watch.look()
        assert plant.writer.call(problems) == []
        line.close()
