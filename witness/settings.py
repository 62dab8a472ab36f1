"""Settings of a witness: `witness.toml`, read into one frozen model; an unknown key is an error.

name = "witness.example/city"
data = "witness"                      # key and memory; relative to this file
host = "127.0.0.1"
port = 8090
logs = ["log.example/evidence+b5f4c622+ASeBF/wUTHI0D2fQ8jFug4bO/78rJCjJxR/vfFl/HUJu"]
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evidence.errors import EvidenceError
from evidence.note import ED25519_NOTE, NoteKey
from witness.errors import WitnessError

_Port = Annotated[int, Field(ge=0, le=65535)]


class Settings(BaseModel):
    """Everything that `witness.toml` may say."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+(/[A-Za-z0-9._-]+)*$", max_length=120)]
    logs: tuple[str, ...] = ()
    data: Path = Path("witness")
    host: str = "127.0.0.1"
    port: _Port = 8090
    prefix: Annotated[str, Field(pattern=r"^(/[A-Za-z0-9._-]+)*$", max_length=120)] = ""
    threads: Annotated[int, Field(ge=1, le=256)] = 16

    @property
    def key_file(self) -> Path:
        """The secret key."""
        return self.data / "witness.key"

    @property
    def memory_file(self) -> Path:
        """What it cosigned last."""
        return self.data / "witness.sqlite"

    @property
    def log_keys(self) -> dict[str, tuple[NoteKey, ...]]:
        """The keys it trusts, by origin; a log may have two while it changes its key."""
        keys: dict[str, tuple[NoteKey, ...]] = {}
        for text in self.logs:
            key = NoteKey.parse(text)
            keys[key.name] = (*keys.get(key.name, ()), key)
        return keys


def load(path: Path) -> Settings:
    """Read `witness.toml`.

    Raises:
        WitnessError: it is missing, no TOML, or has a wrong or unknown key.
    """
    try:
        return checked(tomllib.loads(path.read_text("utf-8")), path)
    except OSError as error:
        raise _wrong(
            f"无法读取 {path}；用 -c 指明设置文件", f"cannot read {path}; name the settings with -c"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _wrong(f"{path} 不是合法的 TOML：{error}", f"{path} is not TOML: {error}") from error


def checked(values: dict[str, Any], path: Path) -> Settings:
    """Check settings; `data` is relative to the folder of the file.

    Raises:
        WitnessError: a key is wrong or unknown.
    """
    try:
        settings = Settings.model_validate(values)
        keys = settings.log_keys
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _wrong(f"{path}：设置项 {where}：{first['msg']}", f"{path}: key {where}: {first['msg']}") from error
    except EvidenceError as error:
        raise _wrong(f"{path}：logs：{error.detail}", f"{path}: logs: {error.detail}") from error
    odd = [key.name for several in keys.values() for key in several if key.type != ED25519_NOTE]
    if odd:
        raise _wrong(f"{path}：{odd[0]} 不是日志公钥", f"{path}: {odd[0]} is not a log's key")
    return settings.model_copy(update={"data": (path.resolve().parent / settings.data).resolve()})


def written(name: str, logs: tuple[str, ...], host: str, port: int) -> str:
    """Write a settings file for a new witness."""
    quoted = ", ".join(json.dumps(log) for log in logs)
    return (
        f'# A witness: cunzheng witness run -c this file\nname = {json.dumps(name)}\ndata = "witness"\n'
        f"host = {json.dumps(host)}\nport = {port}\nlogs = [{quoted}]\n"
    )


def _wrong(zh: str, en: str) -> WitnessError:
    return WitnessError(zh, en, exit_code=3)
