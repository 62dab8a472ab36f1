"""Settings of the centre: one frozen model from one TOML file.

A key that is not known is an error that names its path. Secrets are never in the file: they are files of
their own in the data folder, made by `cunzheng center init` and readable by their owner only.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from evidence.challenge import LEAST_DRAWS, MOST_DRAWS
from webapp.errors import CenterError

ENVIRONMENT_URL = "CUNZHENG_DATABASE_URL"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LogSettings(_Section):
    """The append-only log."""

    origin: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+(/[A-Za-z0-9._-]+)+$", max_length=120)]
    trust_days: Annotated[int, Field(ge=1, le=365)] = 30
    policy: Path | None = None
    """Policy file: which witnesses are asked, and how many must cosign before a receipt is given; none asks nobody."""
    witness_timeout_s: Annotated[float, Field(ge=0.1, le=30)] = 4
    witness_retry_s: Annotated[float, Field(ge=0.1, le=60)] = 5
    scrub_pause_s: Annotated[float, Field(ge=0, le=3600)] = 2
    """Rest between two tiles while the log is read again and again, at least a second."""


class DatabaseSettings(_Section):
    """Where the rows are; empty means a SQLite file in the data folder."""

    url: str = ""
    busy_timeout_s: Annotated[int, Field(ge=1, le=300)] = 30


class WebSettings(_Section):
    """The HTTP side."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    public_url: str = ""
    workers: Annotated[int, Field(ge=1, le=64)] = 2
    threads: Annotated[int, Field(ge=1, le=64)] = 4
    secure_cookies: bool = True
    trusted_proxies: Annotated[int, Field(ge=0, le=5)] = 0
    default_language: Annotated[str, Field(pattern="^(zh|en)$")] = "zh"
    session_hours: Annotated[int, Field(ge=1, le=72)] = 12


class LimitSettings(_Section):
    """What one request may cost."""

    request_mb: Annotated[int, Field(ge=1, le=1024)] = 32
    batch_items: Annotated[int, Field(ge=1, le=1000)] = 200
    gateway_per_minute: Annotated[int, Field(ge=1)] = 1200
    login_per_minute: Annotated[int, Field(ge=1)] = 10
    login_failures_of_account: Annotated[int, Field(ge=1)] = 10
    login_failures_of_address: Annotated[int, Field(ge=1)] = 50
    public_per_minute: Annotated[int, Field(ge=1)] = 1200
    storage: str = "memory://"


class ChallengeSettings(_Section):
    """Retention challenges: how many tiles are drawn, and how long their answers may take."""

    draws: Annotated[int, Field(ge=LEAST_DRAWS, le=MOST_DRAWS)] = LEAST_DRAWS
    days: Annotated[int, Field(ge=1, le=90)] = 7


class NoticeSettings(_Section):
    """A sentence at the top of every page, in both languages; empty for none."""

    zh: Annotated[str, Field(max_length=500)] = ""
    en: Annotated[str, Field(max_length=500)] = ""


class TsaSettings(_Section):
    """A time-stamping authority (RFC 3161); with an empty address nobody is asked."""

    url: Annotated[str, Field(pattern=r"^(https?://.+)?$", max_length=500)] = ""
    ca_file: Path | None = None
    """PEM of those who certify the authority; it becomes part of what is trusted."""
    timeout_s: Annotated[int, Field(ge=1, le=300)] = 30


class Settings(_Section):
    """Everything `center.toml` may say; `data_dir` is relative to the file's own folder."""

    data_dir: Path
    log: LogSettings
    database: DatabaseSettings = DatabaseSettings()
    web: WebSettings = WebSettings()
    limits: LimitSettings = LimitSettings()
    notice: NoticeSettings = NoticeSettings()
    tsa: TsaSettings = TsaSettings()
    challenge: ChallengeSettings = ChallengeSettings()

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL: environment before file before the SQLite file in the data folder."""
        url = os.environ.get(ENVIRONMENT_URL) or self.database.url or f"sqlite:///{self.data_dir / 'center.sqlite'}"
        # The driver we ship is psycopg 3; the plain name would look for psycopg2.
        for short in ("postgresql://", "postgres://"):
            if url.startswith(short):
                return "postgresql+psycopg://" + url[len(short) :]
        return url

    @property
    def log_dir(self) -> Path:
        return self.data_dir / "log"

    @property
    def secret_file(self) -> Path:
        return self.data_dir / "secret.key"

    @property
    def log_key_file(self) -> Path:
        return self.data_dir / "log.key"

    @property
    def registrar_key_file(self) -> Path:
        return self.data_dir / "registrar.key"

    @property
    def trust_key_file(self) -> Path:
        """The online key of the trust bundle: registry, snapshot and timestamp."""
        return self.data_dir / "trust.key"

    @property
    def trust_dir(self) -> Path:
        return self.data_dir / "trust"


_CHINESE: Mapping[str, str] = {
    "missing": "缺少此项",
    "int_type": "应为整数",
    "int_parsing": "应为整数",
    "int_from_float": "应为整数",
    "bool_type": "应为 true 或 false",
    "bool_parsing": "应为 true 或 false",
    "string_type": "应为文本",
    "path_type": "应为文件路径",
    "model_type": "应为一节设置",
    "greater_than_equal": "不得小于 {ge}",
    "less_than_equal": "不得大于 {le}",
    "string_too_long": "不得超过 {max_length} 个字符",
    "string_pattern_mismatch": "应符合格式 {pattern}",
}


def _chinese(error: ErrorDetails) -> str:
    return _CHINESE.get(error["type"], "不合规定").format(**error.get("ctx", {}))


def _place(error: ValueError | RecursionError) -> str:
    """Say in Chinese where a TOML text is wrong, as far as the parser tells."""
    found = re.search(r"at line (\d+), column (\d+)", str(error))
    return f"：第 {found[1]} 行第 {found[2]} 列" if found else "：文字编码或结尾有误"


def from_mapping(data: Mapping[str, object], folder: Path) -> Settings:
    """Build settings from parsed TOML; relative paths start at `folder`.

    Raises:
        CenterError: a key is unknown or a value is not allowed; the message has the path of it.
    """
    try:
        settings = Settings.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise CenterError(
                f"center.toml：不认识的设置项 {path}；请删除或改正",
                f"center.toml: unknown setting {path}; remove it or correct its name",
                exit_code=3,
            ) from error
        raise CenterError(
            f"center.toml：设置项 {path} 不正确：{_chinese(first)}",
            f"center.toml: setting {path} is not right: {first['msg']}",
            exit_code=3,
        ) from error
    update: dict[str, object] = {"data_dir": (folder / settings.data_dir).resolve()}
    if settings.log.policy is not None:
        policy = (folder / settings.log.policy).resolve()
        update["log"] = settings.log.model_copy(update={"policy": policy})
    if settings.tsa.ca_file is not None:
        update["tsa"] = settings.tsa.model_copy(update={"ca_file": (folder / settings.tsa.ca_file).resolve()})
    return settings.model_copy(update=update)


def load(path: Path) -> Settings:
    """Read `center.toml`.

    Raises:
        CenterError: the file is missing, is not TOML, or has a wrong setting.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CenterError(
            f"找不到设置文件 {path}；用 -c 指明它的位置",
            f"settings file {path} not found; give its place with -c",
            exit_code=3,
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CenterError(
            f"设置文件 {path} 不是正确的 TOML{_place(error)}",
            f"settings file {path} is not valid TOML: {error}",
            exit_code=3,
        ) from error
    return from_mapping(data, path.resolve().parent)
