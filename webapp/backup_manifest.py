"""What a backup of the centre holds: `manifest.json`, with the digest of every other file of its folder.

The files are `center.sqlite` or `center.pgdump`, `checkpoint` unless the log is empty, and the three keys where they
were asked for. Tiles are not among them: they follow from the entries and must give the signed root.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from webapp.errors import CenterError

MANIFEST = "manifest.json"
CHECKPOINT = "checkpoint"
LOG_KEY, REGISTRAR_KEY, SECRET = "log.key", "registrar.key", "secret.key"
KEYS = (LOG_KEY, REGISTRAR_KEY, SECRET)
DATABASES: Mapping[str, str] = {"sqlite": "center.sqlite", "postgresql": "center.pgdump"}

_Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class FileFacts(_Part):
    """Size and digest of one file."""

    size: Annotated[int, Field(ge=0)]
    sha256: _Digest


class Manifest(_Part):
    """A backup in one page; `size` and `root` are of the log, `log_key` is the verifier key it was signed for."""

    v: Literal[1] = 1
    made: str
    origin: str
    log_key: str
    size: Annotated[int, Field(ge=0)]
    root: _Digest | None
    database: Literal["sqlite", "postgresql"]
    schema_revision: str
    files: Mapping[str, FileFacts]

    @property
    def database_file(self) -> str:
        """Name of the file with the database."""
        return DATABASES[self.database]

    @property
    def has_keys(self) -> bool:
        """Whether the secret keys are in the backup."""
        return LOG_KEY in self.files

    @property
    def expected(self) -> set[str]:
        """Names that must be in `files`."""
        return {self.database_file, *([CHECKPOINT] if self.size else []), *(KEYS if self.has_keys else [])}


def facts_of(file: Path) -> FileFacts:
    """Measure a file."""
    with file.open("rb") as stream:
        return FileFacts(size=file.stat().st_size, sha256=hashlib.file_digest(stream, "sha256").hexdigest())


def read_checked(folder: Path) -> Manifest:
    """Read a backup's manifest and compare every file with it.

    Raises:
        CenterError: it is no backup, or a file is missing, cut or changed.
    """
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except OSError as error:
        raise CenterError(
            f"{folder} 不是中心的备份（无法读取 {MANIFEST}）",
            f"{folder} is no backup of a centre (cannot read {MANIFEST})",
            exit_code=3,
        ) from error
    except ValidationError as error:
        raise _damaged(folder / MANIFEST) from error
    if set(manifest.files) != manifest.expected:
        raise _damaged(folder / MANIFEST)
    for name, facts in sorted(manifest.files.items()):
        try:
            found = facts_of(folder / name)
        except OSError as error:
            raise _damaged(folder / name) from error
        if found != facts:
            raise _damaged(folder / name)
    return manifest


def _damaged(file: Path) -> CenterError:
    return CenterError(
        f"备份文件 {file} 缺失或已损坏；未恢复任何内容，请换一个备份",
        f"file {file} of the backup is missing or damaged; nothing was restored, take another backup",
    )
