"""What the holders of the offline keys do: new files are staged, carried to each key, signed, and published.

    stage → staged/{root,targets,anchors}.json → sign, at two of the three key holders → publish

A staged folder holds nothing secret and may travel on a stick. What is not signed by enough keys is never published.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tuf.api.metadata import Metadata, Root, Targets

from evidence.encoding import sha256_hex, strict_json
from evidence.errors import EvidenceError
from evidence.keys import PublicKey, SigningKey
from evidence.trust import Trust
from webapp import trust_metadata
from webapp.errors import CenterError
from webapp.tile_files import write_durably
from webapp.trust_metadata import ANCHORS, OFFLINE_KEYS
from webapp.trust_repository import TrustRepository

ROOT_FILE, TARGETS_FILE = "root.json", "targets.json"
ROOT_RENEWED_BEFORE = timedelta(days=180)
"""A root with less left than this is made anew together with the targets."""


@dataclass(frozen=True)
class Staged:
    """The files that wait for signatures; `root` is None where the published one stays."""

    root: Metadata[Root] | None
    targets: Metadata[Targets]
    anchors: bytes


def stage(
    repository: TrustRepository,
    trust: Trust,
    online: PublicKey,
    now: datetime,
    offline: Sequence[PublicKey] = (),
) -> Staged:
    """Make new targets, and a new root at first, when keys change, or when it is old; call it under the lock.

    `offline` are the three holders' keys; none means those of the published root.

    Raises:
        CenterError: not three different keys, or none at the first time.
    """
    version = repository.root_version()
    current = trust_metadata.read_root(repository.root_file()) if version else None
    if offline and len({key.kid for key in offline}) != OFFLINE_KEYS:
        raise CenterError(
            f"需要 {OFFLINE_KEYS} 个不同的离线公钥", f"{OFFLINE_KEYS} different offline keys are needed", exit_code=3
        )
    if current is None and not offline:
        raise CenterError(
            "首次需要三个离线公钥：--public（三次）或 --make-keys 目录",
            "the first time needs three offline keys: --public three times, or --make-keys FOLDER",
            exit_code=3,
        )
    root = None
    if current is None or _must_change(current, offline, online, now):
        keys = list(offline) or _offline_keys(current)
        root = trust_metadata.new_root(version + 1, keys, online, now)
    before = repository.targets()
    anchors = trust_metadata.anchors_of(trust)
    targets = trust_metadata.new_targets(1 if before is None else before.signed.version + 1, anchors, online, now)
    staged = Staged(root, targets, anchors)
    shutil.rmtree(repository.staged, ignore_errors=True)
    _save(repository.staged, staged)
    return staged


def sign_staged(folder: Path, key: SigningKey) -> Staged:
    """Add one holder's signatures to the staged files.

    Raises:
        CenterError: nothing is staged, or the anchors were exchanged.
    """
    staged = read_staged(folder)
    if staged.root is not None:
        trust_metadata.add_signature(staged.root, key)
    trust_metadata.add_signature(staged.targets, key)
    _save(folder, staged)
    return staged


def read_staged(folder: Path) -> Staged:
    """Read what waits for signatures.

    Raises:
        CenterError: nothing is staged, or its files do not belong together.
    """
    try:
        root_file = folder / ROOT_FILE
        root = trust_metadata.read_root(root_file.read_bytes()) if root_file.exists() else None
        targets = trust_metadata.read_metadata((folder / TARGETS_FILE).read_bytes(), Targets)
        anchors = (folder / ANCHORS).read_bytes()
    except FileNotFoundError as error:
        raise CenterError(
            f"{folder} 中没有待签文件；请先运行 center trust-bundle init 或 renew",
            f"nothing waits for signatures in {folder}; run center trust-bundle init or renew first",
        ) from error
    if targets.signed.targets[ANCHORS].hashes["sha256"] != sha256_hex(anchors):
        raise CenterError(
            f"{folder} 中的 {ANCHORS} 与 {TARGETS_FILE} 不符，可能被替换；不要签名",
            f"{ANCHORS} in {folder} does not fit {TARGETS_FILE}, it may have been exchanged; do not sign",
        )
    return Staged(root, targets, anchors)


def publish_staged(repository: TrustRepository) -> Staged:
    """Publish the staged files when enough holders have signed; call it under the lock.

    Raises:
        CenterError: signatures are missing; nothing is published.
    """
    staged = read_staged(repository.staged)
    version = repository.root_version()
    current = trust_metadata.read_root(repository.root_file()) if version else None
    judges = [one for one in (current, staged.root) if one is not None]
    if staged.root is not None:
        for judge in judges:
            _require(judge, staged.root, Root.type)
        if staged.root.signed.version != version + 1:
            raise CenterError(
                f"待签的根是第 {staged.root.signed.version} 版，应为第 {version + 1} 版；请重新运行 renew",
                f"the staged root has version {staged.root.signed.version}, not {version + 1}; run renew again",
            )
    _require(judges[-1], staged.targets, Targets.type)
    if staged.root is not None:
        repository.write(f"{staged.root.signed.version}.root.json", trust_metadata.to_bytes(staged.root))
    repository.write(f"targets/{sha256_hex(staged.anchors)}.{ANCHORS}", staged.anchors)
    repository.write(f"{staged.targets.signed.version}.targets.json", trust_metadata.to_bytes(staged.targets))
    shutil.rmtree(repository.staged)
    return staged


def words(staged: Staged) -> dict[str, Any]:
    """Say in plain values what a holder is about to sign."""
    try:
        anchors = strict_json(staged.anchors)
    except EvidenceError as error:
        raise CenterError(f"{ANCHORS} 已损坏：{error}", f"{ANCHORS} is damaged: {error}") from error
    files = [one for one in (staged.root, staged.targets) if one is not None]
    return {"files": [trust_metadata.describe(one) for one in files], "anchors": anchors}


def _require(judge: Metadata[Root], metadata: trust_metadata.AnyMetadata, role: str) -> None:
    missing = trust_metadata.missing_signatures(judge, metadata, role)
    if missing:
        raise CenterError(
            f"{role}.json 还缺 {missing} 个离线密钥的签名；请运行 center trust-bundle sign",
            f"{role}.json lacks the signatures of {missing} more offline keys; run center trust-bundle sign",
        )


def _must_change(current: Metadata[Root], offline: Sequence[PublicKey], online: PublicKey, now: datetime) -> bool:
    if current.signed.expires - now < ROOT_RENEWED_BEFORE:
        return True
    wanted = {trust_metadata.tuf_key(key).keyid for key in offline}
    is_other = bool(wanted) and wanted != set(current.signed.roles[Root.type].keyids)
    return is_other or trust_metadata.tuf_key(online).keyid not in current.signed.roles["timestamp"].keyids


def _offline_keys(current: Metadata[Root] | None) -> list[PublicKey]:
    assert current is not None  # `stage` refuses the first time without keys
    keys = (current.signed.keys[keyid] for keyid in current.signed.roles[Root.type].keyids)
    return [PublicKey.from_ed25519(bytes.fromhex(str(key.keyval["public"]))) for key in keys]


def _save(folder: Path, staged: Staged) -> None:
    write_durably(folder / ANCHORS, staged.anchors)
    write_durably(folder / TARGETS_FILE, trust_metadata.to_bytes(staged.targets))
    if staged.root is not None:
        write_durably(folder / ROOT_FILE, trust_metadata.to_bytes(staged.root))
