"""Read one TOML file into one frozen pydantic model, with errors that name file and key.

An unknown key is an error, so that a typing mistake cannot turn a setting off.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from gateway.errors import MisuseError


class Section(BaseModel):
    """One table of a TOML file: frozen, and nothing unknown in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


ModelT = TypeVar("ModelT", bound=BaseModel)


def read_toml(path: Path, model: type[ModelT]) -> ModelT:
    """Load `path` as `model`.

    Raises:
        MisuseError: the file is missing, is not TOML, or has a wrong or unknown key.
    """
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        reason = error.strerror or "unreadable"
        raise MisuseError(
            f"无法读取 {path}: {reason}；请检查所给路径",
            f"cannot read {path}: {reason}; check the path that was given",
        ) from error
    except UnicodeDecodeError as error:
        raise MisuseError(f"{path} 不是 UTF-8 文本", f"{path} is not UTF-8 text; save it as UTF-8") from error
    try:
        return model.model_validate(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise MisuseError(f"{path} 不是合法的 TOML: {error}", f"{path} is not TOML: {error}") from error
    except ValidationError as error:
        found = error.errors()
        # A misspelt key shows up as missing and as unknown; the unknown one is what was typed.
        first = next((one for one in found if one["type"] == "extra_forbidden"), found[0])
        key = ".".join(str(part) for part in first["loc"]) or "(file)"
        if first["type"] == "extra_forbidden":
            raise MisuseError(
                f"{path}: 未知的键 {key}；请删除或改正拼写",
                f"{path}: unknown key {key}; remove it or correct its spelling",
            ) from error
        said = str(first["msg"]).removeprefix("Value error, ")
        raise MisuseError(f"{path}: 键 {key}: {said}", f"{path}: key {key}: {said}") from error
