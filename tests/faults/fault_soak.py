"""A plant under random faults: which devices, which dials at which seconds, who is killed when; all from one seed.

The devices are `cunzheng simulate`, which turns its dials by the plant file and keeps the journal; the gateway, the
broker and the centre are real processes that are killed here.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fault_devices import Broker
from fault_programs import Program, wait_until
from fault_world import World, gateway_toml

from cunzheng.demo.processes import free_port

MN = "010000A8900016F000169DC0"
POLL_S, LINE_POLL_S, FRAME_S = 0.2, 0.4, 1.1
TIMEOUT_S = 0.5
HARMLESS = ""
"""Of faults that leave the data whole: nothing is lost, nothing is twice, and there is nothing to be said."""
QUARANTINED = "quarantine"


@dataclass(frozen=True)
class Kind:
    """A fault of one device: its dials, how long it must last to be seen, and the reason by which it is seen."""

    dials: Mapping[str, Any]
    seen_by: str
    least_s: float = 1.5


@dataclass(frozen=True)
class Injected:
    """A fault with its time, in seconds after the devices started."""

    device: str
    kind: Kind
    at_s: float
    for_s: float


_WIRE = (
    Kind({"exception": 4}, "exception-04"),
    Kind({"exception": 6}, "exception-06"),
    Kind({"silent": True}, "timeout", 4.0),
    Kind({"disconnect": True}, "connection-lost|no-connection", 2.5),
    Kind({"delay_s": 0.9}, "timeout", 4.0),
)
_VALUES = (Kind({"stuck": True}, "Q18", 3.0), Kind({"drift": 36000}, "Q15", 2.0))
_ORDER = tuple(
    Kind({"word_order": order}, "Q31|Q15|nan|infinite|not-implemented|sensor-fault|off", 2.0)
    for order in ("words", "bytes", "both")
)
_NAN = Kind({"no_value": ["power"]}, "nan")
_RESET = Kind({"reset": True}, "Q31 (reset|rollover|error)")
_GAS = (
    *_VALUES,
    Kind({"silent": True}, "Q06", 2.5),
    Kind({"disconnect": True}, HARMLESS),
    Kind({"delay_s": 3.0}, "Q05", 1.5),
    Kind({"duplicate": True}, HARMLESS),
    Kind({"reorder": True}, "Q04"),
    Kind({"garbage": True}, QUARANTINED),
    Kind({"state": "maintenance", "shows": "zero"}, "maintenance"),
    Kind({"clock_offset_s": 400}, "Q03"),
    Kind({"clock_offset_s": -400}, "Q05"),
    Kind({"no_value": ["flow"]}, "null"),
    Kind({"rollover": 3}, "Q31 (rollover|reset|error)"),
    _RESET,
)
KINDS: Mapping[str, tuple[Kind, ...]] = {
    "em1": (*_WIRE, *_VALUES, *_ORDER, _NAN, _RESET),
    "em2": (*_WIRE, *_VALUES, *_ORDER, _NAN, _RESET, Kind({"rollover": 20}, "Q31 (rollover|reset|error)", 2.5)),
    "em3": (*_WIRE, *_VALUES, *_ORDER, _NAN, _RESET, Kind({"torn": True}, "Q31", 3.0)),
    "belt": (
        *_WIRE,
        *_VALUES,
        *_ORDER,
        _RESET,
        Kind({"state": "calibration", "shows": "held"}, "calibration", 2.5),
        Kind({"clock_offset_s": 900}, "Q05", 2.5),
    ),
    "stack": (
        *_WIRE,
        *_VALUES,
        Kind({"state": "calibration", "shows": "zero"}, "calibration", 2.5),
        Kind({"state": "maintenance"}, "maintenance", 2.5),
        Kind({"state": "fault"}, "sensor-fault", 2.5),
    ),
    "gas1": _GAS,
    "gas2": _GAS,
    "cems": (
        Kind({"silent": True}, "no frames", 5.0),
        Kind({"disconnect": True}, HARMLESS, 2.5),
        Kind({"flag": "C"}, "logger says C", 3.0),
        Kind({"flag": "M", "zero": True}, "logger says M", 3.0),
        Kind({"late_s": 700}, r"late \d+ s", 3.0),
        Kind({"clock_offset_s": 400}, "Q03", 3.0),
        Kind({"bad_crc": True}, QUARANTINED, 3.0),
        Kind({"noise": True}, QUARANTINED, 3.0),
        Kind({"duplicate": True}, HARMLESS, 3.0),
        Kind({"drift": 36000}, "Q15", 3.0),
        Kind({"stuck": True}, "Q18", 4.0),
    ),
}


@dataclass(frozen=True)
class Schedule:
    """Everything that will happen."""

    seconds: float
    faults: tuple[Injected, ...]
    deeds: tuple[tuple[float, str], ...]
    """When who is hit: gateway, broker, centre."""


def schedule(rng: random.Random, seconds: float) -> Schedule:
    """Draw the faults of every device one after another, with time to recover, and who is killed when."""
    faults = []
    for device, kinds in KINDS.items():
        at = rng.uniform(1.5, 3.0)
        while True:
            kind = rng.choice(kinds)
            lasts = kind.least_s + rng.uniform(1.0, 2.0)
            if at + lasts > seconds - 1.5:
                break
            faults.append(Injected(device, kind, round(at, 2), round(lasts, 2)))
            at += lasts + rng.uniform(2.5, 4.0)
    deeds = []
    for who, first, pause in (("gateway", 6.0, 12.0), ("broker", 3.5, 30.0), ("centre", 2.0, 25.0)):
        at = first * rng.uniform(0.9, 1.2)
        while at < seconds - 3.0:
            deeds.append((at, who))
            at += pause * rng.uniform(0.7, 1.5)
    return Schedule(seconds, tuple(faults), tuple(sorted(deeds)))


@dataclass
class Soak:
    """The world during the soak, and what was done to it; times are real ones (seconds since 1970)."""

    world: World
    plan: Schedule
    broker: Broker
    kills: list[float] = field(default_factory=list)
    broker_away: list[tuple[float, float]] = field(default_factory=list)
    centre_away: list[tuple[float, float]] = field(default_factory=list)
    ended: float = 0.0

    def run(self, rng: random.Random) -> None:
        """Start everything, do what the plan says, and end in order."""
        world = self.world
        loggers = free_port()
        world.broker_port = self.broker.port
        world.write_settings()
        world.start_centre()
        devices = self._start_devices(loggers)
        self._write_gateway(loggers)
        gateway = world.gateway("run")
        for at, who in self.plan.deeds:
            _sleep_until(self._began + at)
            if who == "gateway":
                gateway.kill()
                self.kills.append(time.time())
                time.sleep(rng.choice((0.0, 0.0, 0.3, 2.0)))
                gateway = world.gateway("run")
            elif who == "broker":
                self._away(self.broker_away, self.broker.stop, self.broker.start, rng.uniform(0.3, 1.0))
            else:
                self._away(self.centre_away, world.kill_centre, world.start_centre, rng.uniform(0.3, 1.5))
        _sleep_until(self._began + self.plan.seconds)
        assert gateway.is_running, gateway.said()
        assert devices.is_running, devices.said()
        self.ended = time.time()
        devices.terminate()
        self._wait_for_messages()
        assert gateway.terminate() == 0, gateway.said()

    @staticmethod
    def _away(times: list[tuple[float, float]], stop: Any, start: Any, seconds: float) -> None:
        began = time.time()
        stop()
        time.sleep(seconds)
        start()
        times.append((began, time.time()))

    def _wait_for_messages(self) -> None:
        """Wait until the gateway has taken the last message that the broker acknowledged of each device."""
        journal = self.journal()
        for device in ("gas1", "gas2"):
            sent = {
                one["mid"]: one["payload"] for one in journal if one["device"] == device and one["what"] == "message"
            }
            acknowledged = [one["mid"] for one in journal if one["device"] == device and one["what"] == "acknowledged"]
            payloads = [sent[mid] for mid in acknowledged if not sent.get(mid, "hex:").startswith("hex:")]
            last = "SELECT count(*) FROM reading WHERE raw = " + quoted(payloads[-1])
            wait_until(lambda last=last: self.world.gateway_rows(last)[0][0], f"the last message of {device}")

    def _start_devices(self, loggers: int) -> Program:
        ports = {name: free_port() for name in ("em1", "em2", "line", "stack")}
        self.ports = ports
        self.world.write("plant.toml", plant_toml(ports, self.broker.port, loggers, self.plan))
        devices = self.world.programs.start("simulate", "plant.toml", "--json")
        wait_until(lambda: devices.out.exists() and devices.out.stat().st_size > 2, "the simulated devices")
        self._began = time.time()
        return devices

    def _write_gateway(self, loggers: int) -> None:
        settings = gateway_toml("gateway", self.world.url, self.broker.port)
        settings = settings.replace("timeout_s = 1\n", f"timeout_s = {TIMEOUT_S}\nbackoff_max_s = 1\nstagger_s = 0.1\n")
        self.world.write("gateway.toml", f'{settings}[hj212]\nhost = "127.0.0.1"\nport = {loggers}\n')
        self.world.write("site.toml", site_toml(self.ports))

    def journal(self) -> list[dict[str, Any]]:
        """Return what the devices wrote down."""
        return [json.loads(line) for line in (self.world.folder / "plant.jsonl").read_text("utf-8").splitlines()]


def quoted(text: str) -> str:
    """Write a text as SQL does."""
    return "'" + text.replace("'", "''") + "'"


def _sleep_until(moment: float) -> None:
    while (rest := moment - time.time()) > 0:
        time.sleep(min(rest, 1.0))


# -- files --------------------------------------------------------------------------------------------------


_DEVICES = {
    "em1": ("em1", 1, "schneider-iem3000", {"max_power_kw": "40000"}),
    "em2": ("em2", 1, "siemens-pac", {"max_power_kw": "40000"}),
    "belt": ("line", 4, "siemens-bw500", {"total_unit": "t", "rate_unit": "t/h", "max_rate_per_h": "4000"}),
    "em3": ("line", 5, "eastron-sdm630", {"max_power_kw": "4000000"}),
    "stack": ("stack", 1, "sick-marsic300", {"co2_unit": "%"}),
}
_SHOWN = {
    "em1": ({"energy_import": "1000", "power": "1000"}, {"energy_import": "36000"}),
    "em2": ({"energy_import": "1000", "power": "500000"}, {"energy_import": "36000"}),
    "belt": ({"total_1": "1000", "rate": "120", "device_id": "2"}, {"total_1": "3600"}),
    "em3": ({"energy_import": "10000", "power": "50000"}, {"energy_import": "3600000"}),
    "stack": ({"co2": "12"}, {}),
}
CHANNELS: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "em1": (("EM1.TOTAL", "energy_import", ""), ("EM1.POWER", "power", "5000")),
    "em2": (("EM2.TOTAL", "energy_import", ""), ("EM2.POWER", "power", "2000000")),
    "belt": (("BELT.TOTAL", "total_1", ""), ("BELT.RATE", "rate", "500"), ("BELT.CLOCK", "clock", "")),
    "em3": (("EM3.TOTAL", "energy_import", ""), ("EM3.POWER", "power", "200000")),
    "stack": (("STACK.CO2", "co2", ""),),
    "gas1": (("GAS1.TOTAL", "volume", ""), ("GAS1.FLOW", "flow", "4000")),
    "gas2": (("GAS2.TOTAL", "volume", ""), ("GAS2.FLOW", "flow", "4000")),
    "cems": (("CEMS.CO2", "a05001-Rtd", "40"), ("CEMS.T", "a01012-Rtd", "")),
}
"""Channel, point and highest value, by device."""
MODBUS = tuple(_DEVICES)
PROFILE_OF = {name: profile for name, (_, _, profile, _) in _DEVICES.items()}
_RULES = (("Q18", "minutes", "0.02"), ("Q06", "slack_s", "0.5"), ("Q06", "event_s", "1"), ("Q05", "warn_s", "2"))


def plant_toml(ports: Mapping[str, int], broker: int, loggers: int, plan: Schedule) -> str:
    """Write the devices and their faults."""
    lines = ['ripple = 0.01\njournal = "plant.jsonl"\n']
    for place, port in ports.items():
        framing = "rtu" if place == "line" else "tcp"
        lines.append(f'[[modbus]]\nport = {port}\nframing = "{framing}"')
        for name, (at, unit, profile, parameters) in _DEVICES.items():
            if at == place:
                values, growth = _SHOWN[name]
                lines.append(
                    f'[[modbus.device]]\nid = "{name}"\nunit = {unit}\nprofile = "{profile}"\n'
                    f"parameters = {_table(parameters)}\nvalues = {_table(values)}\nper_hour = {_table(growth)}"
                )
    lines.append(f'[broker]\nhost = "127.0.0.1"\nport = {broker}')
    for name in ("gas1", "gas2"):
        lines.append(
            f'[[mqtt]]\ndevice = "{name}"\nprofile = "plain-json-gas"\ninterval_s = {POLL_S}\n'
            'values = {volume = "1000", flow = "800"}\nper_hour = {volume = "3600"}'
        )
    lines.append(
        f'[[hj212]]\nid = "cems"\nmn = "{MN}"\nport = {loggers}\ninterval_s = {FRAME_S}\ntimeout_s = 1\n'
        'values = {a05001-Rtd = "12.5", a01012-Rtd = "132"}'
    )
    for one in plan.faults:
        lines.append(
            f'[[fault]]\ndevice = "{one.device}"\nat_s = {one.at_s}\nfor_s = {one.for_s}\n'
            f"dials = {_table(one.kind.dials)}"
        )
    return "\n".join(lines) + "\n"


def site_toml(ports: Mapping[str, int]) -> str:
    """Write the site of the same devices, with limits so short that every fault must show within seconds."""
    lines = [f'[[line]]\nid = "l1"\nrtu_over_tcp = "127.0.0.1:{ports["line"]}"']
    for name, (at, unit, profile, parameters) in _DEVICES.items():
        place = 'line = "l1"' if at == "line" else f'host = "127.0.0.1"\nport = {ports[at]}'
        poll = LINE_POLL_S if at in ("line", "stack") else POLL_S
        lines.append(
            f'[[device]]\nid = "{name}"\nprofile = "{profile}"\n{place}\nunit = {unit}\npoll_s = {poll}\n'
            f"parameters = {_table(parameters)}"
        )
    for name in ("gas1", "gas2"):
        lines.append(
            f'[[mqtt]]\nid = "{name}"\nprofile = "plain-json-gas"\npoll_s = {POLL_S}\n'
            'parameters = {max_flow_nm3h = "5000"}'
        )
    lines.append(f'[[hj212]]\nid = "cems"\nmn = "{MN}"\npoll_s = {FRAME_S}')
    for device, channels in CHANNELS.items():
        for channel, point, high in channels:
            unit = 'unit = "%"\n' if point.startswith("a05001") else ""
            limits = f'limits = {{ low = "-1000000", high = "{high}" }}\n' if high else ""
            lines.append(f'[[channel]]\nid = "{channel}"\ndevice = "{device}"\npoint = "{point}"\n{unit}{limits}')
    lines += [
        f'[[rule]]\nid = "{rule}"\nlimit = "{limit}"\nvalue = "{value}"\nreason = "soak"'
        for rule, limit, value in _RULES
    ]
    return "\n".join(lines) + "\n"


def _table(given: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{name} = {json.dumps(value)}" for name, value in given.items()) + "}"


def folder_of(world: World) -> Path:
    """Return the folder of the broker."""
    return world.folder / "broker"


def soak(world: World, rng: random.Random, seconds: float) -> Iterator[Soak]:
    """Make a soak; the broker ends with it."""
    broker = Broker(folder_of(world))
    try:
        yield Soak(world, schedule(rng, seconds), broker)
    finally:
        broker.kill()
