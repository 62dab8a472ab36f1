"""The TUF metadata of the centre's trust bundle as values: who signs what, how long it lasts, how it is written.

    root       2 of 3 offline keys    names all keys; a year
    targets    2 of 3 offline keys    `anchors.json`: log key, witnesses, quorum; 90 days
    registry   the centre's key       `registry.json`: keys and plants as of a log size; 30 days (delegated by targets)
    snapshot   the centre's key       which versions belong together; 30 days
    timestamp  the centre's key       which snapshot is the newest; 7 days

So whoever gets hold of the centre can neither name another log nor other witnesses. Files and folders are
`trust_repository`; the offline signatures are `trust_ceremony`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.exceptions import RepositoryError, UnsignedMetadataError
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization import DeserializationError
from tuf.api.serialization.json import JSONSerializer

from evidence.encoding import jcs, time_text
from evidence.errors import EvidenceError
from evidence.keys import PublicKey, SigningKey
from evidence.trust import Trust
from webapp.errors import CenterError

ANCHORS, REGISTRY = "anchors.json", "registry.json"
REGISTRY_ROLE = "registry"
THRESHOLD, OFFLINE_KEYS = 2, 3
ROOT_LIFE = timedelta(days=365)
TARGETS_LIFE = timedelta(days=90)
SNAPSHOT_LIFE = timedelta(days=30)
TIMESTAMP_LIFE = timedelta(days=7)
_OF_REGISTRY = frozenset({"registry", "size", "issued"})

AnyMetadata = Metadata[Any]
_Role = TypeVar("_Role", Root, Targets, Snapshot, Timestamp)


def anchors_of(trust: Trust) -> bytes:
    """Write what the offline keys vouch for: everything of the trust file but the registry and its age."""
    said = trust.to_json()
    return jcs({name: value for name, value in said.items() if name not in _OF_REGISTRY and name != "expires"})


def registry_of(trust: Trust) -> bytes:
    """Write what the centre's key vouches for: the registry, as of a log size and time."""
    said = trust.to_json()
    return jcs({name: said[name] for name in sorted(_OF_REGISTRY)})


def public_text(key: PublicKey) -> str:
    """Write an offline key's public half as people hand it over."""
    return key.raw.hex()


def read_public(text: str) -> PublicKey:
    """Read a public key of the ceremony.

    Raises:
        CenterError: it is none.
    """
    try:
        return PublicKey.from_ed25519(bytes.fromhex(text.strip()))
    except (ValueError, EvidenceError) as error:
        raise CenterError(
            f"{text[:20]!r} 不是公钥（应为 64 个十六进制字符）；用 center trust-bundle key 生成",
            f"{text[:20]!r} is no public key (64 hex characters); make one with center trust-bundle key",
            exit_code=3,
        ) from error


def tuf_key(key: PublicKey) -> SSlibKey:
    """The public key as the library wants it."""
    return SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(key.raw))


def new_root(version: int, offline: Sequence[PublicKey], online: PublicKey, now: datetime) -> Metadata[Root]:
    """Make a root, unsigned."""
    root = Root(version=version, expires=_end(now, ROOT_LIFE), consistent_snapshot=True)
    for key in offline:
        for role in (Root.type, Targets.type):
            root.add_key(tuf_key(key), role)
    for role in (Snapshot.type, Timestamp.type):
        root.add_key(tuf_key(online), role)
    for role in (Root.type, Targets.type):
        root.roles[role].threshold = THRESHOLD
    return Metadata(root)


def new_targets(version: int, anchors: bytes, online: PublicKey, now: datetime) -> Metadata[Targets]:
    """Make targets that hold the anchors and leave the registry to the centre's key, unsigned."""
    key = tuf_key(online)
    role = DelegatedRole(REGISTRY_ROLE, [key.keyid], 1, True, paths=[REGISTRY])
    targets = Targets(
        version=version,
        expires=_end(now, TARGETS_LIFE),
        targets={ANCHORS: TargetFile.from_data(ANCHORS, anchors)},
        delegations=Delegations({key.keyid: key}, {REGISTRY_ROLE: role}),
    )
    return Metadata(targets)


def new_registry(version: int, registry: bytes, now: datetime) -> Metadata[Targets]:
    """Make the delegated metadata of the registry, unsigned."""
    targets = {REGISTRY: TargetFile.from_data(REGISTRY, registry)}
    return Metadata(Targets(version=version, expires=_end(now, SNAPSHOT_LIFE), targets=targets))


def new_snapshot(version: int, targets: int, registry: int, now: datetime) -> Metadata[Snapshot]:
    """Say which versions belong together, unsigned."""
    meta = {"targets.json": MetaFile(targets), f"{REGISTRY_ROLE}.json": MetaFile(registry)}
    return Metadata(Snapshot(version=version, expires=_end(now, SNAPSHOT_LIFE), meta=meta))


def new_timestamp(version: int, snapshot: bytes, snapshot_version: int, now: datetime) -> Metadata[Timestamp]:
    """Say which snapshot is the newest, unsigned."""
    meta = MetaFile.from_data(snapshot_version, snapshot, ["sha256"])
    return Metadata(Timestamp(version=version, expires=_end(now, TIMESTAMP_LIFE), snapshot_meta=meta))


def add_signature(metadata: AnyMetadata, key: SigningKey) -> None:
    """Sign, beside the signatures that are there."""
    private = key.raw_private
    metadata.sign(CryptoSigner(private, tuf_key(key.public)), append=True)


def to_bytes(metadata: AnyMetadata) -> bytes:
    """Write metadata as its file has it."""
    return metadata.to_bytes(JSONSerializer(compact=False)) + b"\n"


def read_root(data: bytes) -> Metadata[Root]:
    """Read a root file; raises as `read_metadata` does."""
    return read_metadata(data, Root)


def read_metadata(data: bytes, role: type[_Role]) -> Metadata[_Role]:
    """Read a file of metadata.

    Raises:
        CenterError: it is none of that role.
    """
    try:
        metadata = Metadata[_Role].from_bytes(data)
        if metadata.signed.type != role.type:
            raise ValueError(f"it is {metadata.signed.type}")
    except (DeserializationError, ValueError, KeyError, TypeError) as error:
        raise CenterError(
            f"信任包的 {role.type} 文件已损坏：{error}；请从备份恢复",
            f"the trust bundle's {role.type} file is damaged: {error}; restore it from a backup",
        ) from error
    return metadata


def missing_signatures(root: Metadata[Root], metadata: AnyMetadata, role: str) -> int:
    """Count how many signatures a role still needs under a root; 0 when it stands."""
    try:
        result = root.signed.get_verification_result(role, metadata.signed_bytes, metadata.signatures)
    except (RepositoryError, UnsignedMetadataError, ValueError):
        return THRESHOLD
    return max(0, result.threshold - len(result.signed))


def issued_at(timestamp: Metadata[Timestamp]) -> datetime:
    """Tell when a timestamp was signed; its life is fixed."""
    return timestamp.signed.expires - TIMESTAMP_LIFE


def describe(metadata: AnyMetadata) -> dict[str, Any]:
    """State a file in plain values, for the one who signs it."""
    return {
        "role": metadata.signed.type,
        "version": metadata.signed.version,
        "expires": time_text(metadata.signed.expires),
        "signatures": len(metadata.signatures),
    }


def _end(now: datetime, life: timedelta) -> datetime:
    return now.replace(microsecond=0) + life
