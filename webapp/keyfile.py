"""Secret keys of the centre, each 32 random bytes in a file that only its owner may read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from evidence.keys import SigningKey
from webapp.errors import CenterError, NotReadyError

_SEED_BYTES = 32


def make(path: Path) -> bool:
    """Make a new secret unless there is one; says whether it was made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_bytes(_SEED_BYTES).hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    return True


def read_secret(path: Path) -> bytes:
    """Read a secret.

    Raises:
        NotReadyError: there is no such file.
        CenterError: it is damaged, or other users of the machine can read it.
    """
    try:
        mode = path.stat().st_mode
        seed = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except FileNotFoundError as error:
        raise NotReadyError(
            f"找不到密钥文件 {path}；请先运行 cunzheng center init",
            f"key file {path} not found; run cunzheng center init first",
        ) from error
    except ValueError as error:
        raise CenterError(
            f"密钥文件 {path} 已损坏；请从备份恢复", f"key file {path} is damaged; restore it from a backup"
        ) from error
    if mode & 0o077:
        raise CenterError(
            f"密钥文件 {path} 可被他人读取；请执行 chmod 600 {path}",
            f"key file {path} can be read by others; run chmod 600 {path}",
        )
    if len(seed) != _SEED_BYTES:
        raise CenterError(
            f"密钥文件 {path} 已损坏；请从备份恢复", f"key file {path} is damaged; restore it from a backup"
        )
    return seed


def read(path: Path) -> SigningKey:
    """Read a signing key; raises as `read_secret` does."""
    return SigningKey.from_seed(read_secret(path))
