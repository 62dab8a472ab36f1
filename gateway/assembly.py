"""Put one gateway together from its settings: store, key, identity, site, pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from evidence.keys import SigningKey
from gateway.catalogue import Catalogue, load_catalogue
from gateway.chain import Signer
from gateway.clock import Clock, RealClock
from gateway.clock_trust import GuardedClock, guarded, replayed
from gateway.damage import refuse_after_damage
from gateway.errors import MisuseError
from gateway.identity import read_key, required_identity
from gateway.pipeline import Judge, Pipeline
from gateway.rawtile import RawFolder
from gateway.row_check import naming_rows_of
from gateway.settings import Settings, load_settings
from gateway.syncing import Syncing
from gateway.uplink import Uplink
from gateway.writer import Writer


@dataclass(frozen=True)
class Gateway:
    """An enrolled gateway, opened; close it when done."""

    settings: Settings
    catalogue: Catalogue
    writer: Writer
    pipeline: Pipeline
    clock: GuardedClock

    @property
    def signer(self) -> Signer:
        """Who signs."""
        return self.pipeline.signer

    def uplink(self) -> Uplink:
        """Make a client of the centre; the caller closes it."""
        return open_uplink(self.settings, self.signer.key, self.clock)

    def syncing(self, uplink: Uplink) -> Syncing:
        """Make the state of the talk with the centre."""
        centre = self.settings.centre
        return Syncing(
            self.pipeline,
            uplink,
            self.settings.content_folder,
            batch=centre.batch,
            longest_pause_s=centre.backoff_max_s,
        )

    def close(self) -> None:
        """Finish what is queued and close the store."""
        self.writer.close()

    def __enter__(self) -> Gateway:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_uplink(settings: Settings, key: SigningKey | None, clock: Clock) -> Uplink:
    """Make a client of the centre that the settings name; without a key nothing is signed.

    Raises:
        MisuseError: the CA file cannot be used.
    """
    centre = settings.centre
    return Uplink(centre.url, key, clock, timeout_s=centre.timeout_s, ca_file=centre.ca_file)


def judge_of(catalogue: Catalogue) -> Judge:
    """Make the judge of everything the site reads."""
    return Judge(
        dict(catalogue.channels),
        catalogue.limits,
        catalogue.bases,
        rules=catalogue.rules,
        restart_counters=catalogue.restart_counters,
        error_counters=catalogue.error_counters,
        derived=catalogue.derived,
    )


def fitting_catalogue(settings: Settings) -> Catalogue:
    """Load the site and check that the settings know how to reach all of it.

    Raises:
        MisuseError: site, profile or settings are wrong; file and key are named.
    """
    catalogue = load_catalogue(settings.site)
    if catalogue.mqtt and settings.mqtt is None:
        raise MisuseError(
            "站点文件有 MQTT 设备，但设置中没有 [mqtt]", "the site has MQTT devices, but the settings have no [mqtt]"
        )
    if catalogue.loggers and settings.hj212 is None:
        raise MisuseError(
            "站点文件有 HJ 212 数采仪，但设置中没有 [hj212]",
            "the site has HJ 212 data loggers, but the settings have no [hj212]",
        )
    return catalogue


def open_gateway(settings: Settings | Path, clock: Clock | None = None) -> Gateway:
    """Open an enrolled gateway: chain and tree are checked, new channels are declared.

    The machine's clock is compared with the newest time known; a given `clock` is taken for right.

    Raises:
        MisuseError: settings, site or key are wrong, or it is not enrolled.
        IntegrityError: chain or tree lack what nothing else can give back.
        GarbledError: a row cannot be what was written; it is named.
        DamagedError: the database is malformed, or was and is put aside.
        StoreError: the store cannot be opened.
    """
    chosen = load_settings(settings) if isinstance(settings, Path) else settings
    catalogue = fitting_catalogue(chosen)
    refuse_after_damage(chosen)
    if not chosen.database.exists():
        raise MisuseError(
            "网关尚未登记；请先运行 cunzheng gateway enrol", "not enrolled; run cunzheng gateway enrol first"
        )
    writer = Writer(chosen.database)
    try:
        with naming_rows_of(writer):
            identity = writer.call(required_identity)
            key = read_key(chosen.key_file)
            if key.kid != identity.kid:
                raise MisuseError(
                    f"密钥文件 {chosen.key_file} 不是登记时的密钥",
                    f"key file {chosen.key_file} is not the enrolled key; restore it or enrol --again",
                )
            limits = chosen.clock
            guard = (
                writer.call(lambda store: guarded(store, RealClock(), limits))
                if clock is None
                else replayed(clock, limits)
            )
            signer = Signer(identity, key, guard)
            judge = judge_of(catalogue)
            pipeline = Pipeline(writer, signer, RawFolder(chosen.raw_folder), judge)
            pipeline.open()
    except BaseException:
        writer.close()
        raise
    return Gateway(chosen, catalogue, writer, pipeline, guard)
