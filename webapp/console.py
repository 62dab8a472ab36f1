"""What the centre's commands share: language, the two usual options, opening the centre, telling facts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.status import Status
from sqlalchemy.exc import OperationalError

from webapp import settings
from webapp.center import Center
from webapp.errors import CenterError

_LANGUAGE_VARIABLES = ("CUNZHENG_LANG", "LC_ALL", "LC_MESSAGES", "LANG")


def say(zh: str, en: str) -> str:
    """Return the text in the language of the person at the screen."""
    chosen = next((value for name in _LANGUAGE_VARIABLES if (value := os.environ.get(name, ""))), "")
    return zh if chosen.lower().startswith("zh") else en


def tell(facts: dict[str, Any], line: str, *, as_json: bool) -> None:
    """Print facts: for a program, or as one line for a person."""
    click.echo(json.dumps(facts, ensure_ascii=False) if as_json else line)


def working(zh: str, en: str) -> Status:
    """Show on a terminal that something takes its time; elsewhere nothing."""
    return Console(stderr=True).status(say(zh, en))


@contextmanager
def database_errors() -> Iterator[None]:
    """Tell in one line that the database does not answer.

    Raises:
        CenterError: it does not.
    """
    try:
        yield
    except OperationalError as error:
        reason = str(error.orig).splitlines()[0] if error.orig is not None else str(error)
        raise CenterError(
            f"数据库没有应答（{reason}）；请检查 database.url 和数据库服务",
            f"the database does not answer ({reason}); check database.url and the database server",
            exit_code=2,
        ) from error


@contextmanager
def open_center(path: Path, *, is_confirmed: bool = True) -> Iterator[Center]:
    """Open the centre of a settings file; raises as `Center.open` does."""
    with database_errors():
        center = Center.open(settings.load(path), is_confirmed=is_confirmed)
        try:
            yield center
        finally:
            center.database.close()


config_option = click.option(
    "-c",
    "--config",
    "config",
    type=click.Path(path_type=Path),
    default=Path("center.toml"),
    show_default=True,
    help="center.toml",
)
json_option = click.option("--json", "as_json", is_flag=True, help=say("输出 JSON。", "Print JSON."))
