"""The gateway's settings: one frozen model from one `gateway.toml`.

Paths in the file are relative to the file. What is measured stands in the site file (`gateway/site.py`).
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from gateway.toml_model import Section, read_toml

LEAST_YEARS = 5
"""How long raw readings are kept at least."""


class CentreSettings(Section):
    """Where statements go and how patiently."""

    url: str
    """Base address of the centre, `https://…`."""
    sync_s: float = Field(10.0, gt=0, le=86_400)
    """Seconds between two rounds when there is nothing to hurry for."""
    timeout_s: float = Field(20.0, gt=0, le=600)
    ca_file: Path | None = None
    """Certificate authority of the centre, where it is not a public one."""
    batch: int = Field(100, ge=1, le=500)
    """Statements in one request."""
    live_s: float = Field(60.0, gt=0, le=3_600)
    """Seconds between two posts of live values (never evidence)."""
    backoff_max_s: float = Field(300.0, gt=0, le=86_400)
    """Longest pause while the centre refuses; one that is away is looked for sooner (`gateway/patience.py`)."""

    @field_validator("url")
    @classmethod
    def _has_scheme(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise ValueError("must start with https:// (or http:// on this machine only)")
        return url.rstrip("/")


class BrokerSettings(Section):
    """The MQTT broker on the plant network; absent when there are no MQTT devices."""

    host: str
    port: int = Field(1883, ge=1, le=65_535)
    client_id: str = Field("", max_length=64)
    """Fixed id of the persistent session; empty means `cunzheng-<gateway id>`."""
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    """Certificate authority of the broker; given, the connection uses TLS."""
    protocol: Literal["5", "3.1.1"] = "5"
    """MQTT version; 3.1.1 for brokers that know nothing newer."""
    receive_maximum: int = Field(100, ge=1, le=65_535)
    session_expiry_s: int = Field(7 * 86_400, ge=3_600, le=0xFFFFFFFE)
    backoff_max_s: float = Field(60.0, gt=0, le=3_600)
    """Longest pause while the broker refuses; one that is away is looked for every second."""


class LoggerSettings(Section):
    """Where data loggers may forward their HJ 212 frames to; absent when there are none."""

    host: str = "127.0.0.1"
    """Address to listen on; that of the plant network, never a public one: the protocol knows no secrets."""
    port: int = Field(ge=0, le=65_535)
    peers: tuple[IPv4Network | IPv6Network, ...] = ()
    """Addresses or networks that may connect; empty means any."""
    connections: int = Field(16, ge=1, le=1_000)
    idle_s: float = Field(7_200.0, gt=0, le=7 * 86_400)
    """A connection that sends nothing for so long is closed."""
    longest: int = Field(1_024, ge=1_024, le=9_999)
    """Longest data segment; the standard's is 1,024 characters."""


class PollSettings(Section):
    """How Modbus devices are read."""

    concurrency: int = Field(16, ge=1, le=1_000)
    """Devices with a line of their own that are read at the same time; a shared line reads one device at a time."""
    timeout_s: float = Field(5.0, gt=0, le=60)
    """How long a connection may take, and the longest an answer is waited for; profiles ask for less."""
    stagger_s: float = Field(1.0, ge=0, le=60)
    """The devices' polls are spread over so much time after each beat, at most over half a rhythm."""
    backoff_max_s: float = Field(60.0, gt=0, le=3_600)
    """Longest pause between two polls of a silent device, which mark its readings; tries in between mark nothing."""
    commit_s: float = Field(0.5, gt=0, le=10)
    """Readings are committed in groups no older than this."""


class SealSettings(Section):
    """When an hour is closed."""

    grace_s: float = Field(120.0, ge=0, le=3_600)
    """How long after the hour late readings are waited for."""


class StartSettings(Section):
    """What is checked at start; the ends of chain and tree always are."""

    check: Literal["ends", "background", "whole"] = "background"
    """Every page of the database: not at all, while the gateway runs (then once a day), or before it begins."""


class ClockSettings(Section):
    """When the wall clock is not trusted, unless it is synchronised or the centre agrees with it."""

    behind_s: float = Field(300.0, ge=0, le=86_400)
    """It lies so far before the newest time that is known."""
    ahead_days: float = Field(90.0, gt=0, le=3_650)
    """It lies so far after it: longer than the gateway was ever switched off."""


class ReloadSettings(Section):
    """When the site file is read again without being told to."""

    watch_s: float | None = Field(None, ge=1, le=86_400)
    """Seconds between two looks at the site file and its profiles; absent, only SIGHUP or `gateway reload` do it."""


class PageSettings(Section):
    """The read-only status page and `/metrics`; absent when nobody asked for them."""

    host: str = "127.0.0.1"
    """Address to listen on; there is no log-in, so beyond this machine only that of a trusted network."""
    port: int = Field(9180, ge=0, le=65_535)
    peers: tuple[IPv4Network | IPv6Network, ...] = ()
    """Addresses or networks that may look; empty means any."""
    names: tuple[str, ...] = ()
    """Host names it is called by, beside addresses and `localhost`; others are refused (DNS rebinding)."""
    connections: int = Field(16, ge=1, le=256)
    request_s: float = Field(5.0, gt=0, le=60)
    """How long a client may take to send its request, and to take the answer."""


class LimitSettings(Section):
    """Limits that raise an alarm, and two that stop the intake; nothing is ever dropped because of them."""

    disk_free_mb: int = Field(500, ge=0)
    """An alarm when less is free."""
    disk_reserve_mb: int = Field(100, ge=0)
    """When less is free nothing more is taken in; sealing and the talk with the centre use the rest."""
    budget_mb: int | None = Field(None, ge=1)
    """The most that the data folder may take, with an alarm at 90 percent; absent means the whole disk."""
    outbox: int = Field(10_000, ge=1)


class RetentionSettings(Section):
    """How long what was read is kept; statements, receipts and the tree's hashes are kept for ever."""

    years: int = Field(LEAST_YEARS, ge=1, le=100)
    """Raw readings of a signed month go after so many years."""
    reason: str = Field("", max_length=200)
    """Why less than five years are enough here; without it less is refused."""
    rows_days: int = Field(35, ge=1, le=36_500)
    """After so many days the readings of full tiles stay in the raw files only; the database stays small."""

    @property
    def is_short(self) -> bool:
        """Whether less is kept than usual, for a reason."""
        return self.years < LEAST_YEARS

    @model_validator(mode="after")
    def _short_retention_has_a_reason(self) -> RetentionSettings:
        if self.is_short and not self.reason.strip():
            raise ValueError(f"raw readings are kept {LEAST_YEARS} years at least; say in retention.reason why not")
        return self


class Settings(Section):
    """Everything in `gateway.toml`."""

    data: Path = Path("data")
    """Folder of database, key and raw tiles."""
    site: Path = Path("site.toml")
    centre: CentreSettings
    mqtt: BrokerSettings | None = None
    hj212: LoggerSettings | None = None
    poll: PollSettings = PollSettings()
    seal: SealSettings = SealSettings()
    limits: LimitSettings = LimitSettings()
    start: StartSettings = StartSettings()
    clock: ClockSettings = ClockSettings()
    retention: RetentionSettings = RetentionSettings()
    reload: ReloadSettings = ReloadSettings()
    page: PageSettings | None = None

    @property
    def database(self) -> Path:
        """The one SQLite file."""
        return self.data / "gateway.db"

    @property
    def key_file(self) -> Path:
        """The signing key's seed, readable by its owner alone."""
        return self.data / "gateway.key"

    @property
    def raw_folder(self) -> Path:
        """Folder of raw tiles, one compressed file per 256 readings."""
        return self.data / "raw"

    @property
    def content_folder(self) -> Path:
        """Folder of pulled contents, named by their SHA-256."""
        return self.data / "content"


def load_settings(path: Path) -> Settings:
    """Read `gateway.toml`; relative paths are resolved against its folder.

    Raises:
        MisuseError: see `read_toml`.
    """
    settings = read_toml(path, Settings)
    base = path.resolve().parent
    update: dict[str, object] = {"data": base / settings.data, "site": base / settings.site}
    if settings.centre.ca_file is not None:
        update["centre"] = settings.centre.model_copy(update={"ca_file": base / settings.centre.ca_file})
    if settings.mqtt is not None:
        files = {
            name: base / value
            for name in ("password_file", "ca_file")
            if (value := getattr(settings.mqtt, name)) is not None
        }
        update["mqtt"] = settings.mqtt.model_copy(update=files)
    return settings.model_copy(update=update)
