"""The witness's secret key: 32 random bytes in a file that belongs to its user and that nobody else can read."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from evidence.keys import SigningKey
from witness.errors import WitnessError


def make(path: Path) -> SigningKey:
    """Make a new key; a key is never overwritten.

    Raises:
        FileExistsError: there is one.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(32) + "\n")
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return read(path)


def read(path: Path) -> SigningKey:
    """Read the key, after a look at who else could have.

    Raises:
        WitnessError: missing, damaged, of another user, or open to others.
    """
    try:
        found = path.lstat()
        text = path.read_text("ascii")
    except FileNotFoundError as error:
        raise WitnessError(
            f"找不到密钥文件 {path}；请先运行 cunzheng witness init",
            f"there is no key file {path}; run cunzheng witness init first",
        ) from error
    except (OSError, ValueError) as error:
        raise WitnessError(f"无法读取密钥文件 {path}", f"cannot read key file {path}") from error
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise WitnessError(
            f"密钥文件 {path} 不属于当前用户或可被他人读取；请检查归属并执行 chmod 600",
            f"key file {path} is another user's or open to others; check its owner and run chmod 600 on it",
        )
    try:
        return SigningKey.from_seed(bytes.fromhex(text.strip()))
    except ValueError as error:
        raise WitnessError(
            f"密钥文件 {path} 已损坏；请从备份恢复", f"key file {path} is damaged; put it back from a backup"
        ) from error
