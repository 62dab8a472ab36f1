"""A gateway in a folder of its own for the benchmarks: identity, site file, store, real judge; and its devices.

`FIFTY` is a device with fifty float32 in one block of 100 registers, the case that the gateway's targets were measured
with; the SDM630 has its values in two blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from modbus_server import host_of

from device_profiles import hex_text
from device_profiles.words import number_bytes, to_words
from evidence.keys import SigningKey
from evidence.note import ED25519_NOTE, NoteKey
from evidence.registry import Registry
from evidence.trust import Trust
from gateway.assembly import judge_of
from gateway.catalogue import Catalogue, load_catalogue
from gateway.chain import Signer
from gateway.clock import Clock, RealClock
from gateway.identity import Identity, adopt, write_key
from gateway.pipeline import Pipeline
from gateway.rawtile import RawFolder
from gateway.store import Store
from gateway.trust_store import keep_trust
from gateway.writer import Writer

SEED = bytes(range(32))
FIFTY = 50
_PHASES = tuple(f"{name}_l{phase}" for name in ("voltage", "current", "power") for phase in (1, 2, 3))
SDM630 = (*_PHASES, "power", "reactive_power", "energy_import", "energy_export")


class AheadClock(RealClock):
    """The machine's clock, which can be set ahead so that an hour is over."""

    ahead = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.ahead


@dataclass(frozen=True)
class Bench:
    """A gateway that is open."""

    catalogue: Catalogue
    writer: Writer
    pipeline: Pipeline


def identity() -> Identity:
    key = SigningKey.from_seed(SEED)
    return Identity("GW-1", "P-1", "Asia/Shanghai", 1, key.kid, _log().name, _log().text)


def _log() -> NoteKey:
    return NoteKey("log.example/evidence", ED25519_NOTE, SigningKey.from_seed(SEED).public.raw)


@contextmanager
def gateway(folder: Path, site: str, clock: Clock) -> Iterator[Bench]:
    """Open a gateway whose site file says this; close its store at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "site.toml").write_text(site, "utf-8")
    catalogue = load_catalogue(folder / "site.toml")
    writer = Writer(folder / "gateway.db")
    writer.call(lambda store: adopt(store, identity()))
    signer = Signer(identity(), SigningKey.from_seed(SEED), clock)
    pipeline = Pipeline(writer, signer, RawFolder(folder / "raw"), judge_of(catalogue))
    pipeline.open()
    try:
        yield Bench(catalogue, writer, pipeline)
    finally:
        writer.close()


def enrolled(folder: Path, site: str) -> Path:
    """Prepare a folder for `cunzheng gateway run`, with a centre that is away; return the settings file."""
    data = folder / "data"
    write_key(data / "gateway.key", SEED)
    store = Store(data / "gateway.db")
    with store.transaction():
        adopt(store, identity())
        now = datetime.now(UTC)
        keep_trust(store, Trust(_log(), Registry(), 1, now, now + timedelta(days=1)))
    store.close()
    (folder / "site.toml").write_text(site, "utf-8")
    settings = folder / "gateway.toml"
    settings.write_text('[centre]\nurl = "http://127.0.0.1:9"\n', "utf-8")
    return settings


def sdm630_site(port: int, devices: int) -> str:
    """Describe so many SDM630."""
    return "".join(
        _device(number, f"em{number}", "eastron-sdm630", port, SDM630, 'parameters = { max_power_kw = "1000000000" }')
        for number in range(devices)
    )


def fifty_site(folder: Path, port: int, devices: int, live: int = FIFTY) -> str:
    """Describe so many devices of fifty values; their profile is written beside the site file.

    The first `live` channels of each go to the centre as live values.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"v{number:02d}" for number in range(FIFTY)]
    (folder / "fifty.yaml").write_text(_profile(names), "utf-8")
    return "".join(_device(number, f"d{number}", "fifty.yaml", port, names, "", live) for number in range(devices))


def _device(
    number: int, name: str, profile: str, port: int, points: Sequence[str], more: str, live: int = FIFTY
) -> str:
    head = f'[[device]]\nid = "{name}"\nprofile = "{profile}"\nhost = "{host_of(number)}"\nport = {port}\nunit = 1\n'
    here_only = "live = false\n"
    channels = "".join(
        f'[[channel]]\nid = "{name}.{one}"\ndevice = "{name}"\npoint = "{one}"\n{here_only if at >= live else ""}'
        for at, one in enumerate(points)
    )
    return f'{head}serial = "1"\npoll_s = 1\n{more}\n{channels}'


def _profile(names: list[str]) -> str:
    words = hex_text(to_words(number_bytes("float32", Decimal("12.5"), 2), "ABCD"))
    points = "".join(
        f"  {name}: {{address: {2 * at}, role: rate, unit: kW, name: {{zh: {name}, en: {name}}},"
        ' range: {lowest: "0", highest: "100000"}}\n'
        for at, name in enumerate(names)
    )
    expect = ", ".join(f'{name}: "12.5"' for name in names)
    return (
        "profile: fifty\nversion: 1\nvendor: bench\nmodel: fifty values\nname: {zh: 五十个值, en: fifty values}\n"
        "trust: documented\nsources: [here]\naddress_base: wire0\ntransport: {max_registers: 125}\n"
        "defaults: {table: input, type: float32, order: ABCD}\n"
        f"points:\n{points}"
        f'vectors:\n  - words: {{0: "{" ".join([words] * len(names))}"}}\n    expect: {{{expect}}}\n'
    )
