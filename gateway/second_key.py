"""The second key of a gateway whose plant signs twice: SM2 with SM3, beside the first key, in a file of its own.

A second signature is made when a statement is sent, not when it is signed: so it is there also for what was signed
before the plant's policy asked. The library is an extra, ``cunzheng[sm2]``.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evidence.errors import EvidenceError
from evidence.sm2 import Sm2LibraryMissingError, check_public, sm2_library
from gateway.durable import sync_folder
from gateway.errors import MisuseError

_SECRET_BYTES = 32


@dataclass(frozen=True)
class SecondKey:
    """A key pair in memory; `repr` never shows the secret half."""

    public: str
    secret: bytes = field(repr=False)

    def sign(self, data: bytes) -> bytes:
        """Sign these bytes; DER."""
        signature: bytes = _library().sm2_sign(self.secret, bytes.fromhex(self.public), data)
        return signature


def second_key_file(key_file: Path) -> Path:
    """Where the second key stands, beside the first."""
    return key_file.with_name(f"{key_file.name}.sm2")


def make_second_key(path: Path) -> SecondKey:
    """Make a key pair in a new file of mode 0600, or read the one that is there.

    Raises:
        MisuseError: as `read_second_key`; the extra is not installed.
    """
    if not path.exists():
        public, secret = _library().sm2_key_generate()
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(handle, f"{secret.hex()}\n{public.hex()}\n".encode("ascii"))
            os.fsync(handle)
        finally:
            os.close(handle)
        sync_folder(path.parent)
    return read_second_key(path)


def read_second_key(path: Path) -> SecondKey:
    """Load the second key after checking who else could have read it.

    Raises:
        MisuseError: missing, damaged, of another owner, or open to others.
    """
    try:
        found = path.lstat()
        secret, public = path.read_text("ascii").split()
        key = SecondKey(check_public(public), bytes.fromhex(secret))
    except FileNotFoundError as error:
        raise MisuseError(
            f"没有国密密钥 {path}；企业要求第二签名，请用新的登记码运行 cunzheng gateway enrol --again",
            f"there is no SM2 key {path}; the plant signs twice: run cunzheng gateway enrol --again with a new code",
        ) from error
    except (OSError, ValueError, EvidenceError) as error:
        raise MisuseError(f"国密密钥 {path} 已损坏", f"SM2 key {path} is damaged") from error
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise MisuseError(
            f"国密密钥 {path} 不属于当前用户或可被他人读取；请执行 chmod 600 并考虑更换密钥",
            f"SM2 key {path} belongs to somebody else or is open to others; run chmod 600, consider a new key",
        )
    if len(key.secret) != _SECRET_BYTES:
        raise MisuseError(f"国密密钥 {path} 已损坏", f"SM2 key {path} is damaged")
    return key


def _library() -> Any:
    try:
        return sm2_library()
    except Sm2LibraryMissingError as error:
        raise MisuseError(
            "企业要求国密第二签名；请安装 cunzheng[sm2]", "the plant signs twice, with SM2 too; install cunzheng[sm2]"
        ) from error
