"""Who this gateway is: its signing key in a file of its own, and what enrolment taught it.

The seed never enters the database. The file must belong to the running user and be readable by nobody else.
"""

from __future__ import annotations

import os
import secrets
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from evidence.encoding import b64u, unb64u
from evidence.errors import EvidenceError
from evidence.keys import SigningKey
from gateway.durable import make_folder, sync_folder
from gateway.errors import MisuseError, RefusedError
from gateway.store import Store

_SEED_BYTES = 32
_NAMES = ("gw", "plant", "zone", "epoch", "kid", "origin", "log_vkey")


@dataclass(frozen=True)
class Identity:
    """What every statement of this gateway says about its signer."""

    gw: str
    plant: str
    zone: str
    epoch: int
    kid: str
    origin: str
    log_vkey: str

    @cached_property
    def zone_info(self) -> ZoneInfo:
        """The plant's legal time zone; hours and months are counted in it."""
        return ZoneInfo(self.zone)


def new_seed() -> bytes:
    """Draw a fresh secret from the operating system."""
    return secrets.token_bytes(_SEED_BYTES)


def write_key(path: Path, seed: bytes) -> None:
    """Keep a seed in a new file of mode 0600, surviving a power cut.

    Raises:
        RefusedError: the file exists; a key is never overwritten.
    """
    make_folder(path.parent, 0o700)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise RefusedError(
            f"密钥文件 {path} 已存在，不会覆盖", f"key file {path} exists; a key is never overwritten"
        ) from error
    try:
        os.write(handle, b64u(seed).encode() + b"\n")
        os.fsync(handle)
    finally:
        os.close(handle)
    sync_folder(path.parent)


def read_key(path: Path) -> SigningKey:
    """Load the signing key after checking who else could have read it.

    Raises:
        MisuseError: missing, damaged, of another owner, or open to others.
    """
    try:
        found = path.lstat()
    except OSError as error:
        raise MisuseError(
            f"没有密钥文件 {path}；请先运行 cunzheng gateway enrol",
            f"there is no key file {path}; run cunzheng gateway enrol first",
        ) from error
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        raise MisuseError(f"密钥文件 {path} 不属于当前用户", f"key file {path} does not belong to this user")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise MisuseError(
            f"密钥文件 {path} 可被他人读取；请执行 chmod 600 并考虑更换密钥",
            f"key file {path} is open to others; run chmod 600 on it and consider a new key",
        )
    try:
        return SigningKey.from_seed(unb64u(path.read_text("ascii").strip()))
    except (EvidenceError, ValueError) as error:
        raise MisuseError(f"密钥文件 {path} 已损坏", f"key file {path} is damaged") from error


def adopt(store: Store, identity: Identity) -> None:
    """Remember the identity that enrolment gave."""
    try:
        ZoneInfo(identity.zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise RefusedError(
            f"中心给出的时区 {identity.zone!r} 不存在", f"the centre's time zone {identity.zone!r} does not exist"
        ) from error
    for name in _NAMES:
        store.put(name, str(getattr(identity, name)))


def known_identity(store: Store) -> Identity | None:
    """Return what enrolment taught, or None before it."""
    values = {name: store.get(name) for name in _NAMES}
    if any(value is None for value in values.values()):
        return None
    texts = {name: str(value) for name, value in values.items()}
    return Identity(
        gw=texts["gw"],
        plant=texts["plant"],
        zone=texts["zone"],
        epoch=int(texts["epoch"]),
        kid=texts["kid"],
        origin=texts["origin"],
        log_vkey=texts["log_vkey"],
    )


def required_identity(store: Store) -> Identity:
    """Return the identity.

    Raises:
        MisuseError: not enrolled yet.
    """
    identity = known_identity(store)
    if identity is None:
        raise MisuseError(
            "网关尚未登记；请先运行 cunzheng gateway enrol", "not enrolled; run cunzheng gateway enrol first"
        )
    return identity
