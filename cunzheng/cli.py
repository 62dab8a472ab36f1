"""The command `cunzheng`: puts the sub-commands of all packages together.

Each sub-command is named in `PARTS` and imported only when it is called, so that starting is fast and a
broken part does not break the others. How a failed command ends is decided in `errors.py`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from cunzheng import lang
from cunzheng.errors import ExitCode, explain
from cunzheng.lang import say


@dataclass(frozen=True)
class Part:
    """One sub-command: its name, where it lives, and its line in the help."""

    name: str
    module: str
    attribute: str
    zh: str
    en: str


PARTS = (
    Part("demo", "cunzheng.commands_demo", "demo", "在本机演示全流程", "the whole chain on this machine"),
    Part(
        "center",
        "webapp.cli",
        "center",
        "中心端：初始化、运行、用户、企业",
        "the centre: init, run, users, plants",
    ),
    Part(
        "gateway",
        "gateway.cli",
        "gateway",
        "企业网关：登记、采集、导入、同步",
        "a plant's gateway: enrol, run, import, sync",
    ),
    Part("witness", "witness.cli", "witness", "日志见证：联署检查点", "a witness of the log: cosigns checkpoints"),
    Part(
        "profile",
        "cunzheng.commands_profile",
        "profile",
        "检查设备描述、解码原始数据",
        "check device profiles, decode raw words",
    ),
    Part("verify", "cunzheng.commands_verify", "verify", "离线核验证据包", "check a bundle offline"),
    Part("trust", "cunzheng.commands_trust", "trust", "导入、查看信任包", "import and show what is trusted"),
    Part(
        "compose",
        "cunzheng.commands_accounting",
        "compose",
        "由存证重算月度数据",
        "recompute a month from its statements",
    ),
    Part(
        "calc",
        "cunzheng.commands_accounting",
        "calc",
        "按给定数量核算排放",
        "accounting formulas on given quantities",
    ),
    Part("simulate", "cunzheng.commands_simulate", "simulate", "模拟设备", "simulated devices"),
)


class LazyGroup(click.Group):
    """Sub-commands are imported when called; failures become one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [part.name for part in _present_parts()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for part in _present_parts():
            if part.name == cmd_name:
                return _load(part)
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        lines = [(part.name, say(part.zh, part.en)) for part in _present_parts()]
        if lines:
            with formatter.section(say("命令", "Commands")):
                formatter.write_dl(lines)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        language_before = os.environ.get(lang.VARIABLE)
        try:
            result = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except BrokenPipeError:
            # The reader of our output (head, less) has gone; Python must not complain at exit either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            result = ExitCode.NOT_SO
        except (Exception, KeyboardInterrupt) as error:
            if not standalone_mode:
                raise
            result = _tell(error)
        finally:
            _restore(lang.VARIABLE, language_before)
        if not standalone_mode:
            return result
        # A command may return its exit code.
        sys.exit(int(result) if isinstance(result, int) and not isinstance(result, bool) else ExitCode.DONE)


def _present_parts() -> list[Part]:
    return [part for part in PARTS if _is_present(part)]


def _is_present(part: Part) -> bool:
    # Looked up as a file: find_spec of the module itself would import its package, web framework and all.
    package, _, module = part.module.partition(".")
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    return any((Path(folder) / f"{module}.py").is_file() for folder in folders or ())


def _load(part: Part) -> click.Command:
    command = getattr(importlib.import_module(part.module), part.attribute)
    if not isinstance(command, click.Command):
        raise TypeError(f"{part.module}:{part.attribute} is not a command")
    return command


def _tell(error: BaseException) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return ExitCode.MISUSE
    outcome = explain(error)
    click.echo(f"cunzheng: {outcome.line}", err=True)
    if outcome.is_defect and os.environ.get("CUNZHENG_DEBUG") == "1":
        traceback.print_exception(error)
    return outcome.exit_code


def _restore(variable: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(variable, None)
    else:
        os.environ[variable] = value


def _choose_language(ctx: click.Context, option: click.Parameter, value: lang.Language | None) -> None:
    if value is not None:
        lang.choose(value)


def _show_version(ctx: click.Context, option: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"cunzheng {importlib.metadata.version('cunzheng')}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    help="存证：企业碳排放数据从计量到审定，逐步签名、随时可验。\n\n"
    "Plant data from the meter to an approved monthly record that anyone can check.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--lang",
    type=click.Choice(["zh", "en"]),
    is_eager=True,
    expose_value=False,
    callback=_choose_language,
    help="语言 / language.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="版本 / the version.",
)
def cunzheng() -> None:
    """Start one of the sub-commands."""


def main() -> None:
    """Run the command of the installed package."""
    cunzheng.main(prog_name="cunzheng")
