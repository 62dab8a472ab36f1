"""The folder of the centre's trust bundle: what is published, kept fresh by the centre's own key, and exported.

    trust/published/   N.root.json … timestamp.json, targets/   served under /trust/ and carried on a USB stick
    trust/staged/      what waits for offline signatures (`trust_ceremony`)

The timestamp lives seven days, so a running centre signs anew: when somebody asks and a day has gone by, or the
registry has changed. Each file appears whole, the timestamp last, so that every reader sees one state.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from tuf.api.metadata import Metadata, Snapshot, Targets, Timestamp

from evidence.encoding import sha256_hex, strict_json
from evidence.keys import SigningKey
from evidence.trust import Trust
from webapp import trust_metadata
from webapp.errors import CenterError, NotReadyError
from webapp.tile_files import sync_path, write_durably
from webapp.trust_metadata import ANCHORS, REGISTRY, REGISTRY_ROLE

RENEW_AFTER = timedelta(days=1)
"""A published timestamp older than this is signed anew when somebody asks for it."""
_KEPT_VERSIONS = 5
"""Older snapshots and registries stay so long for readers in the middle of a download."""
_NAMES = re.compile(
    r"(?:[1-9][0-9]{0,8}\.(?:root|targets|snapshot|registry)|timestamp)\.json\Z"
    r"|targets/[0-9a-f]{64}\.(?:anchors|registry)\.json\Z",
    re.ASCII,
)
TIMESTAMP = "timestamp.json"


class TrustRepository:
    """One folder; every change is made under its lock."""

    def __init__(self, folder: Path) -> None:
        self.published = folder / "published"
        self.staged = folder / "staged"
        self._lock = folder / "lock"

    @property
    def is_published(self) -> bool:
        """Whether there is a bundle at all."""
        return (self.published / TIMESTAMP).is_file()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder alone, among all processes of this machine."""
        self._lock.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._lock.open("a", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def read(self, name: str) -> bytes | None:
        """Give a published file; None where there is none of that name."""
        if not _NAMES.match(name):
            return None
        try:
            return (self.published / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        """Publish a file: whole, or not at all."""
        write_durably(self.published / name, data)

    def root_version(self) -> int:
        """Version of the newest published root; 0 before the first."""
        return max((_version(file) for file in self.published.glob("*.root.json")), default=0)

    def root_file(self, version: int | None = None) -> bytes:
        """Give a published root, the newest where no version is named.

        Raises:
            NotReadyError: there is none.
        """
        data = self.read(f"{version or self.root_version()}.root.json")
        if data is None:
            raise NotReadyError(
                "还没有信任包；请先运行 cunzheng center trust-bundle init",
                "there is no trust bundle yet; run cunzheng center trust-bundle init first",
            )
        return data

    def targets(self) -> Metadata[Targets] | None:
        """The newest published targets."""
        version = max((_version(file) for file in self.published.glob("*.targets.json")), default=0)
        data = self.read(f"{version}.targets.json")
        return None if data is None else trust_metadata.read_metadata(data, Targets)

    def timestamp(self) -> Metadata[Timestamp] | None:
        """The published timestamp."""
        data = self.read(TIMESTAMP)
        return None if data is None else trust_metadata.read_metadata(data, Timestamp)

    def refresh(self, trust: Trust, online: SigningKey, now: datetime) -> bool:
        """Sign registry, snapshot and timestamp as of now; call it under the lock. Says whether anything changed."""
        targets, timestamp = self.targets(), self.timestamp()
        if targets is None:
            raise NotReadyError(
                "信任包还没有离线签名；请先运行 cunzheng center trust-bundle publish",
                "the trust bundle has no offline signatures yet; run cunzheng center trust-bundle publish first",
            )
        snapshot = None if timestamp is None else self._snapshot(timestamp)
        old_registry = 0 if snapshot is None else snapshot.signed.meta[f"{REGISTRY_ROLE}.json"].version
        old_snapshot = 0 if snapshot is None else snapshot.signed.version
        is_other = self._says_other(trust, old_registry)
        is_stale = timestamp is None or now - trust_metadata.issued_at(timestamp) > RENEW_AFTER
        is_new_targets = snapshot is None or snapshot.signed.meta["targets.json"].version != targets.signed.version
        if not (is_other or is_stale or is_new_targets):
            return False
        registry_version, snapshot_version = old_registry + 1, old_snapshot + 1
        data = trust_metadata.registry_of(trust)
        self.write(f"targets/{sha256_hex(data)}.{REGISTRY}", data)
        registry = trust_metadata.new_registry(registry_version, data, now)
        trust_metadata.add_signature(registry, online)
        self.write(f"{registry_version}.{REGISTRY_ROLE}.json", trust_metadata.to_bytes(registry))
        new_snapshot = trust_metadata.new_snapshot(snapshot_version, targets.signed.version, registry_version, now)
        trust_metadata.add_signature(new_snapshot, online)
        snapshot_data = trust_metadata.to_bytes(new_snapshot)
        self.write(f"{snapshot_version}.snapshot.json", snapshot_data)
        version = 1 if timestamp is None else timestamp.signed.version + 1
        new_timestamp = trust_metadata.new_timestamp(version, snapshot_data, snapshot_version, now)
        trust_metadata.add_signature(new_timestamp, online)
        self.write(TIMESTAMP, trust_metadata.to_bytes(new_timestamp))
        self._drop_old(registry_version, snapshot_version)
        return True

    def export(self, target: Path) -> int:
        """Copy what a reader needs into a folder, the timestamp last; give the number of files.

        Raises:
            CenterError: the folder holds something else.
        """
        files = self.current_files()
        if target.exists() and any(target.iterdir()) and not (target / TIMESTAMP).is_file():
            raise CenterError(
                f"{target} 中有别的文件；请指定空目录或先前导出的目录",
                f"{target} holds other files; name an empty folder or one exported before",
                exit_code=3,
            )
        if target.exists():
            for stale in (*target.glob("*.json"), *target.glob("targets/*.json")):
                stale.unlink()
        target.mkdir(parents=True, exist_ok=True)
        for name in files:
            (target / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(self.published / name, target / name)
            sync_path(target / name)
        sync_path(target)
        return len(files)

    def current_files(self) -> list[str]:
        """Names of the files of the newest state: all roots, then what the timestamp leads to.

        Raises:
            NotReadyError: nothing is published.
        """
        timestamp = self.timestamp()
        if timestamp is None:
            self.root_file()
            raise NotReadyError(
                "信任包尚未发布；请先运行 cunzheng center trust-bundle publish",
                "the trust bundle is not published; run cunzheng center trust-bundle publish first",
            )
        snapshot = self._snapshot(timestamp)
        versions = {name.partition(".")[0]: meta.version for name, meta in snapshot.signed.meta.items()}
        names = [f"{version}.root.json" for version in range(1, self.root_version() + 1)]
        for role, target in ((Targets.type, ANCHORS), (REGISTRY_ROLE, REGISTRY)):
            file = f"{versions[role]}.{role}.json"
            metadata = trust_metadata.read_metadata(self._held(file), Targets)
            names += [f"targets/{metadata.signed.targets[target].hashes['sha256']}.{target}", file]
        return [*names, f"{snapshot.signed.version}.snapshot.json", TIMESTAMP]

    def _says_other(self, trust: Trust, version: int) -> bool:
        """Whether the registry is another than the published one; the log's size alone makes no new version."""
        data = self.read(f"{version}.{REGISTRY_ROLE}.json") if version else None
        if data is None:
            return True
        metadata = trust_metadata.read_metadata(data, Targets)
        published = self.read(f"targets/{metadata.signed.targets[REGISTRY].hashes['sha256']}.{REGISTRY}")
        return published is None or strict_json(published)["registry"] != trust.to_json()["registry"]

    def _snapshot(self, timestamp: Metadata[Timestamp]) -> Metadata[Snapshot]:
        name = f"{timestamp.signed.snapshot_meta.version}.snapshot.json"
        return trust_metadata.read_metadata(self._held(name), Snapshot)

    def _held(self, name: str) -> bytes:
        data = self.read(name)
        if data is None:
            raise CenterError(
                f"信任包缺少文件 {name}；请从备份恢复 {self.published}",
                f"the trust bundle lacks {name}; restore {self.published} from a backup",
            )
        return data

    def _drop_old(self, registry: int, snapshot: int) -> None:
        for role, newest in ((REGISTRY_ROLE, registry), (Snapshot.type, snapshot)):
            for file in self.published.glob(f"*.{role}.json"):
                if _version(file) <= newest - _KEPT_VERSIONS:
                    file.unlink(missing_ok=True)
        needed = set()
        for file in (*self.published.glob("*.targets.json"), *self.published.glob(f"*.{REGISTRY_ROLE}.json")):
            metadata = trust_metadata.read_metadata(file.read_bytes(), Targets)
            needed |= {f"{info.hashes['sha256']}.{name}" for name, info in metadata.signed.targets.items()}
        for file in (self.published / "targets").glob("*.json"):
            if file.name not in needed:
                os.unlink(file)


def _version(file: Path) -> int:
    head = file.name.partition(".")[0]
    return int(head) if head.isascii() and head.isdigit() else 0
