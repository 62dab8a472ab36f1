"""The TUF client: how a trust bundle of the centre comes in, from the network or from a folder, and is kept.

The only file of this side that knows the TUF library. What a bundle says is `evidence.trust`; here it is found out
whether it comes from the keys that are trusted already, and is newer than what is held. Whoever calls says where the
files are (`Place`): a gateway asks over its uplink, a person at `cunzheng trust import` over the network or from a USB
stick; the checks are the same. A bundle that is refused changes nothing of what is held.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any

from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
    UnsignedMetadataError,
)
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp
from tuf.api.serialization import DeserializationError
from tuf.ngclient import FetcherInterface, Updater

from evidence.encoding import parse_time, strict_json, time_text
from evidence.errors import EvidenceError
from evidence.trust import Trust
from gateway.errors import GatewayError, RefusedError

ANCHORS, REGISTRY = "anchors.json", "registry.json"
"""The two targets: what the offline keys say (log, witnesses), and the registry snapshot of the centre."""
REGISTRY_ROLE = "registry"
TARGETS_FOLDER = "targets/"
MAX_ROOTS = 256
_MAX_ROOT_BYTES = 512_000
_BASE = "bundle/"
_METADATA, _TARGETS, _NOTE = "metadata", "targets", "imported.json"

Place = Callable[[str], bytes]
"""Gives a file of a bundle by its relative name; `FileNotFoundError` where there is none, `OSError` where it cannot."""


class TrustFault(StrEnum):
    """Why a trust bundle is refused."""

    ROLLBACK = "TRUST_ROLLBACK"
    FREEZE = "TRUST_FREEZE"
    THRESHOLD = "TRUST_THRESHOLD"
    UNKNOWN_ROOT = "TRUST_UNKNOWN_ROOT"
    MIXED = "TRUST_MIXED"
    MISSING = "TRUST_MISSING"
    MALFORMED = "TRUST_MALFORMED"
    UNREACHABLE = "TRUST_UNREACHABLE"


_WORDS: Mapping[TrustFault, tuple[str, str]] = {
    TrustFault.ROLLBACK: (
        "比本机已持有的旧；请换一份新的",
        "it is older than what is held; take a newer one",
    ),
    TrustFault.FREEZE: (
        "已过期，之后的变化可能被隐瞒；请取一份新的（并检查本机时钟）",
        "it has expired, and later changes may be withheld; take a newer one (and check this machine's clock)",
    ),
    TrustFault.THRESHOLD: (
        "签名不足或不是应有的密钥所签；请向主管部门核实",
        "too few signatures by the keys that must sign it; ask the authority",
    ),
    TrustFault.UNKNOWN_ROOT: (
        "出自另一个根，不是本机信任的根；请核对来源和指纹",
        "it comes from another root than the one trusted here; check where it comes from, and its fingerprint",
    ),
    TrustFault.MIXED: (
        "文件不属于同一份，有文件被替换或截断；请重新导出",
        "its files do not belong together, one was exchanged or cut short; export it again",
    ),
    TrustFault.MISSING: ("缺少文件；请重新导出整个文件夹", "a file is missing; export the whole folder again"),
    TrustFault.MALFORMED: ("文件格式不正确；请重新导出", "a file is not of the prescribed form; export it again"),
    TrustFault.UNREACHABLE: ("无法读取；请检查网络、地址或路径", "it cannot be read; check network, address or path"),
}


class TrustRefusedError(RefusedError):
    """A trust bundle is not taken; `fault` says why, and what was held before is held still."""

    def __init__(self, fault: TrustFault, detail: str) -> None:
        zh, en = _WORDS[fault]
        super().__init__(f"信任包被拒绝 {fault}：{zh}（{detail}）", f"trust bundle refused, {fault}: {en} ({detail})")
        self.fault = fault
        self.exit_code = 2 if fault is TrustFault.UNREACHABLE else 1


@dataclass(frozen=True)
class HeldTrust:
    """What is trusted here, and on whose word."""

    trust: Trust
    root_version: int
    root_keys: int
    threshold: int
    fingerprint: str
    """SHA-256 of the root file that the trust stands on now."""
    expires: Mapping[str, datetime]
    """By role: root, targets, snapshot, timestamp, registry."""
    imported: datetime
    source: str


def folder_place(folder: Path) -> Place:
    """Read a bundle from a folder, such as a USB stick."""

    def give(name: str) -> bytes:
        if ".." in PurePosixPath(name).parts or name.startswith("/"):
            raise FileNotFoundError(name)
        return (folder / name).read_bytes()

    return give


def fingerprint_of(root: bytes) -> str:
    """Name a root file as a notice of the authority does: hex SHA-256 of its bytes."""
    return hashlib.sha256(root).hexdigest()


def find_root(place: Place, fingerprint: str) -> bytes:
    """Look through the roots of a bundle for the one that a person was told to trust.

    Raises:
        TrustRefusedError: none of them has that fingerprint.
    """
    wanted = fingerprint.strip().lower().replace(" ", "").replace(":", "")
    for version in range(1, MAX_ROOTS + 1):
        data = _given(place, f"{version}.root.json")
        if data is None:
            break
        if fingerprint_of(data) == wanted:
            return data
    raise TrustRefusedError(TrustFault.UNKNOWN_ROOT, f"no root with fingerprint {wanted[:16]}…")


def newest_root(place: Place) -> bytes:
    """Return the newest root of a bundle, which nobody has vouched for yet.

    Raises:
        TrustRefusedError: it has none.
    """
    found = None
    for version in range(1, MAX_ROOTS + 1):
        data = _given(place, f"{version}.root.json")
        if data is None:
            break
        found = data
    if found is None:
        raise TrustRefusedError(TrustFault.MISSING, "1.root.json")
    return found


def take_trust(state: Path, place: Place, now: datetime, source: str, first_root: bytes | None = None) -> HeldTrust:
    """Take a bundle in after all checks of the TUF workflow, and keep it in `state`; all of it or nothing.

    `first_root` is trusted where nothing is held yet; it never replaces a root that is.

    Raises:
        TrustRefusedError: anything does not fit; what was held is unchanged.
        ValueError: nothing is held and no first root is given.
    """
    _finish_swap(state)
    work = state.with_name(f"{state.name}.new")
    shutil.rmtree(work, ignore_errors=True)
    held = read_trust(state) if has_trust(state) else None
    if held is not None:
        shutil.copytree(state, work, symlinks=True)
        _check_same_root(held, place)
    elif first_root is None:
        raise ValueError("nothing is held and no first root is given")
    try:
        _update(work, place, None if held is not None else first_root)
        note = {"at": time_text(now), "from": source}
        (work / _NOTE).write_text(json.dumps(note, ensure_ascii=False), encoding="utf-8")
        fresh = read_trust(work)
        if held is not None and fresh.trust.log != held.trust.log:
            raise TrustRefusedError(TrustFault.UNKNOWN_ROOT, f"another log: {fresh.trust.origin}")
        _swap(state, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return fresh


def has_trust(state: Path) -> bool:
    """Tell whether a bundle was taken in here."""
    _finish_swap(state)
    return (state / _METADATA / "timestamp.json").is_file()


def read_trust(state: Path) -> HeldTrust:
    """Read what is held, checking every signature and digest again, but no age: that is for the verdict.

    Raises:
        TrustRefusedError: what is held is damaged or was tampered with.
    """
    try:
        return _read(state)
    except (OSError, RepositoryError, DeserializationError, EvidenceError, KeyError, ValueError, TypeError) as error:
        raise TrustRefusedError(TrustFault.MALFORMED, f"{state}: {_said(error)}") from error


def _read(state: Path) -> HeldTrust:
    folder = state / _METADATA
    root_file = (folder / "root.json").read_bytes()
    root = Metadata[Root].from_bytes(root_file)
    root.signed.verify_delegate(Root.type, root.signed_bytes, root.signatures)
    timestamp = Metadata[Timestamp].from_file(str(folder / "timestamp.json"))
    snapshot = Metadata[Snapshot].from_file(str(folder / "snapshot.json"))
    targets = Metadata[Targets].from_file(str(folder / "targets.json"))
    registry = Metadata[Targets].from_file(str(folder / f"{REGISTRY_ROLE}.json"))
    for one, role in ((timestamp, Timestamp.type), (snapshot, Snapshot.type), (targets, Targets.type)):
        root.signed.verify_delegate(role, one.signed_bytes, one.signatures)
    targets.signed.verify_delegate(REGISTRY_ROLE, registry.signed_bytes, registry.signatures)
    anchors_data = (state / _TARGETS / ANCHORS).read_bytes()
    targets.signed.targets[ANCHORS].verify_length_and_hashes(anchors_data)
    registry_data = (state / _TARGETS / REGISTRY).read_bytes()
    registry.signed.targets[REGISTRY].verify_length_and_hashes(registry_data)
    expires = {
        "root": root.signed.expires,
        "targets": targets.signed.expires,
        "snapshot": snapshot.signed.expires,
        "timestamp": timestamp.signed.expires,
        REGISTRY_ROLE: registry.signed.expires,
    }
    note = json.loads((state / _NOTE).read_text("utf-8"))
    said = {**strict_json(anchors_data), **strict_json(registry_data), "expires": time_text(min(expires.values()))}
    return HeldTrust(
        Trust.from_json(said),
        root.signed.version,
        len(root.signed.roles[Root.type].keyids),
        root.signed.roles[Root.type].threshold,
        fingerprint_of(root_file),
        expires,
        parse_time(note["at"]),
        str(note["from"]),
    )


def _update(work: Path, place: Place, first_root: bytes | None) -> None:
    """Run the client workflow of the TUF specification (section 5) on the working copy."""
    metadata, targets = work / _METADATA, work / _TARGETS
    metadata.mkdir(parents=True, exist_ok=True)
    fetcher = _PlaceFetcher(place)
    before = _versions(metadata)
    try:
        updater = Updater(str(metadata), _BASE, str(targets), f"{_BASE}{TARGETS_FOLDER}", fetcher, bootstrap=first_root)
        updater.refresh()
        for name in (ANCHORS, REGISTRY):
            info = updater.get_targetinfo(name)
            if info is None:
                raise TrustRefusedError(TrustFault.MISSING, name)
            updater.download_target(info)
    except ExpiredMetadataError as error:
        raise TrustRefusedError(TrustFault.FREEZE, str(error)) from error
    except UnsignedMetadataError as error:
        raise TrustRefusedError(TrustFault.THRESHOLD, str(error)) from error
    except BadVersionNumberError as error:
        raise TrustRefusedError(_version_fault(fetcher, before), str(error)) from error
    except (LengthOrHashMismatchError, DownloadLengthMismatchError) as error:
        raise TrustRefusedError(TrustFault.MIXED, f"{fetcher.name}: {error}") from error
    except DownloadHTTPError as error:
        raise TrustRefusedError(TrustFault.MISSING, fetcher.name) from error
    except DownloadError as error:
        raise TrustRefusedError(TrustFault.UNREACHABLE, _said(error.__cause__ or error)) from error
    except (RepositoryError, DeserializationError, ValueError, KeyError, TypeError) as error:
        raise TrustRefusedError(TrustFault.MALFORMED, f"{fetcher.name}: {_said(error)}") from error


class _PlaceFetcher(FetcherInterface):
    """Gives the library the files of a place, and remembers which came last."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.name = ""
        self.last = b""

    def _fetch(self, url: str) -> Iterator[bytes]:
        self.name = url.removeprefix(_BASE)
        try:
            self.last = self._place(self.name)
        except FileNotFoundError as error:
            raise DownloadHTTPError(f"{self.name} is not there", 404) from error
        return iter((self.last,))


def _check_same_root(held: HeldTrust, place: Place) -> None:
    """The bundle must hold the very root that is trusted now; later ones must follow from it."""
    theirs = _given(place, f"{held.root_version}.root.json")
    if theirs is not None and fingerprint_of(theirs) != held.fingerprint:
        raise TrustRefusedError(TrustFault.UNKNOWN_ROOT, f"root version {held.root_version} is another one")
    if theirs is None:
        fault = TrustFault.MISSING if _given(place, "1.root.json") is None else TrustFault.ROLLBACK
        raise TrustRefusedError(fault, f"{held.root_version}.root.json is not there")


def _given(place: Place, name: str) -> bytes | None:
    try:
        data = place(name)
    except FileNotFoundError:
        return None
    except (OSError, GatewayError) as error:
        raise TrustRefusedError(TrustFault.UNREACHABLE, _said(error)) from error
    if len(data) > _MAX_ROOT_BYTES:
        raise TrustRefusedError(TrustFault.MALFORMED, f"{name} has {len(data)} bytes")
    return data


def _versions(metadata: Path) -> dict[str, int]:
    """Return the versions held: of each file, and of those that the snapshot names."""
    found: dict[str, int] = {}
    for name in ("timestamp", "snapshot"):
        with contextlib.suppress(OSError, ValueError):
            found.update(_stated(name, (metadata / f"{name}.json").read_bytes()))
    return found


def _stated(name: str, data: bytes) -> dict[str, int]:
    signed: Any = json.loads(data)["signed"]
    return {name: signed["version"], **{file: meta["version"] for file, meta in signed["meta"].items()}}


def _version_fault(fetcher: _PlaceFetcher, before: Mapping[str, int]) -> TrustFault:
    """A version that is not as it must be is a step back if it is below one held, else the files do not fit."""
    name = next((name for name in ("timestamp", "snapshot") if f"{name}.json" in fetcher.name), None)
    with contextlib.suppress(ValueError, KeyError, TypeError):
        if name is not None:
            stated = _stated(name, fetcher.last)
            if any(stated[key] < version for key, version in before.items() if key in stated):
                return TrustFault.ROLLBACK
    return TrustFault.MIXED


def _swap(state: Path, work: Path) -> None:
    """Put the new state in the place of the old; a crash in between is finished by the next call."""
    old = state.with_name(f"{state.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if state.exists():
        state.rename(old)
    work.rename(state)
    shutil.rmtree(old, ignore_errors=True)


def _finish_swap(state: Path) -> None:
    old = state.with_name(f"{state.name}.old")
    if not state.exists() and old.exists():
        old.rename(state)


def _said(error: object) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
