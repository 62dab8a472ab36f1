"""From any exception to one line for a person and an exit code.

    0    done
    1    not so: the answer is no, or the thing is damaged
    2    could not tell or could not connect: the same call may work later
    3    misuse: the call or a file named in it is wrong; nothing was done
    130  interrupted

The packages below raise errors of their own. Those that carry `exit_code`, and `zh` and `en` where they
speak both languages, are told as they are; the pure packages' errors have neither and mean "not so".
Anything else is a defect of this program and is reported as one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import click

from cunzheng.lang import say

_OUR_PACKAGES = frozenset({"accounting", "cunzheng", "device_profiles", "evidence", "gateway", "sync", "webapp"})


class ExitCode(IntEnum):
    """What the shell is told."""

    DONE = 0
    NOT_SO = 1
    COULD_NOT_TELL = 2
    MISUSE = 3
    INTERRUPTED = 130


class CommandError(Exception):
    """A command of this package cannot go on; carries its text in Chinese and English."""

    def __init__(self, zh: str, en: str, *, exit_code: int = ExitCode.NOT_SO) -> None:
        super().__init__(en)
        self.zh = zh
        self.en = en
        self.exit_code = exit_code


@dataclass(frozen=True)
class Outcome:
    """How a failed command ends."""

    line: str
    exit_code: int
    is_defect: bool = False


def explain(error: BaseException) -> Outcome:
    """Return the line and the exit code for an exception that ended a command."""
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return Outcome(say("已中断", "interrupted"), ExitCode.INTERRUPTED)
    if isinstance(error, click.UsageError | click.FileError):
        return Outcome(_usage_line(error), ExitCode.MISUSE)
    if isinstance(error, click.ClickException):
        return Outcome(_one_line(error.format_message()), error.exit_code)
    if _is_ours(error):
        return Outcome(_text_of(error), _exit_code_of(error))
    if isinstance(error, ConnectionError | TimeoutError):
        return Outcome(
            say(f"无法连接：{_one_line(error)}", f"cannot connect: {_one_line(error)}"),
            ExitCode.COULD_NOT_TELL,
        )
    if isinstance(error, OSError) and error.filename is not None:
        what = f"{error.filename}: {error.strerror}"
        return Outcome(say(f"无法打开 {what}", f"cannot open {what}"), ExitCode.MISUSE)
    name = type(error).__name__
    return Outcome(
        say(
            f"程序内部错误，请报告（{name}：{_one_line(error)}）；设 CUNZHENG_DEBUG=1 可看到出错位置",
            f"internal error, please report ({name}: {_one_line(error)}); CUNZHENG_DEBUG=1 shows where",
        ),
        ExitCode.NOT_SO,
        is_defect=True,
    )


def _is_ours(error: BaseException) -> bool:
    return isinstance(getattr(error, "exit_code", None), int) or (
        type(error).__module__.partition(".")[0] in _OUR_PACKAGES
    )


def _exit_code_of(error: BaseException) -> int:
    code = getattr(error, "exit_code", ExitCode.NOT_SO)
    return code if isinstance(code, int) else ExitCode.NOT_SO


def _text_of(error: BaseException) -> str:
    zh, en = getattr(error, "zh", None), getattr(error, "en", None)
    if isinstance(zh, str) and isinstance(en, str):
        return _one_line(say(zh, en))
    return _one_line(error)


def _usage_line(error: click.ClickException) -> str:
    line = _one_line(error.format_message())
    context = getattr(error, "ctx", None)
    if context is None:
        return line
    return say(f"{line} 用法见：{context.command_path} --help", f"{line} See: {context.command_path} --help")


def _one_line(text: object) -> str:
    line = " ".join(str(text).split())
    return line or type(text).__name__
