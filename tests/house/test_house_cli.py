"""The top command: languages, exit codes, and one line for every failure."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from types import ModuleType

import click
import pytest
from click.testing import CliRunner, Result

from cunzheng import cli, lang, progress
from cunzheng.errors import CommandError, ExitCode
from evidence.errors import Code, EvidenceError


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> dict[str, BaseException]:
    """A sub-command `fail` that raises what the test puts in."""
    box: dict[str, BaseException] = {}
    module = ModuleType("cunzheng.fail_for_tests")

    @click.command()
    @click.option("--number", type=int)
    def fail(number: int | None) -> int:
        """Fail."""
        if "error" in box:
            raise box["error"]
        return number or 0

    module.fail = fail  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    part = cli.Part("fail", module.__name__, "fail", "失败", "fails")
    monkeypatch.setattr(cli, "_present_parts", lambda: [part])
    return box


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.cunzheng, list(arguments), prog_name="cunzheng")


class CarriesCode(Exception):
    exit_code = 2
    zh = "连不上\n设备"
    en = "no connection\nto the device"


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (CommandError("不行", "not so"), 1, "not so"),
        (CommandError("用错", "misuse", exit_code=3), 3, "misuse"),
        (CarriesCode(), 2, "no connection to the device"),
        (EvidenceError(Code.SIGNATURE, "signature does not match"), 1, "SIGNATURE: signature does not match"),
        (ConnectionRefusedError("refused"), 2, "cannot connect: refused"),
        (FileNotFoundError(2, "No such file or directory", "center.toml"), 3, "cannot open center.toml"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ZeroDivisionError("oops"), 1, "internal error, please report (ZeroDivisionError: oops)"),
        (click.UsageError("wrong word"), 3, "wrong word"),
    ],
)
def test_failure_is_one_line_and_an_exit_code(
    failing: dict[str, BaseException], error: BaseException, code: int, text: str
) -> None:
    failing["error"] = error
    result = run("fail")
    assert result.exit_code == code
    assert text in result.stderr
    # click ends the line that shows ^C before our line
    assert len(result.stderr.strip().splitlines()) == 1
    assert result.stdout == ""


def test_failure_is_told_in_chinese(failing: dict[str, BaseException]) -> None:
    failing["error"] = CarriesCode()
    assert "连不上 设备" in run("--lang", "zh", "fail").stderr


def test_traceback_only_when_asked_for(failing: dict[str, BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    failing["error"] = ZeroDivisionError("oops")
    monkeypatch.setenv("CUNZHENG_DEBUG", "1")
    assert "Traceback" in run("fail").stderr


def test_returned_number_is_the_exit_code(failing: dict[str, BaseException]) -> None:
    assert run("fail", "--number", "2").exit_code == ExitCode.COULD_NOT_TELL
    assert run("fail").exit_code == ExitCode.DONE


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("fail", "--number", "x"), ("--lang", "fr", "fail"), ("fail", "extra")]
)
def test_misuse_ends_with_three(failing: dict[str, BaseException], arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == ExitCode.MISUSE
    assert len(result.stderr.splitlines()) == 1


def test_no_command_shows_the_help_and_is_misuse(failing: dict[str, BaseException]) -> None:
    result = run()
    assert result.exit_code == ExitCode.MISUSE
    assert "fails" in result.output


def test_chosen_language_does_not_outlive_the_command(failing: dict[str, BaseException]) -> None:
    run("--lang", "zh", "fail")
    assert lang.language() == "en"


@pytest.mark.parametrize("is_terminal", [True, False])
def test_work_is_shown_to_a_person_at_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], is_terminal: bool
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    master, slave = pty.openpty()
    with open(slave, "w", encoding="utf-8") as terminal:
        if is_terminal:
            monkeypatch.setattr(sys, "stderr", terminal)
        with progress.working("counting sheep"):
            pass
        terminal.write("THE END")
        terminal.flush()
        shown = b""
        while b"THE END" not in shown:
            shown += os.read(master, 4096)
    assert (b"counting sheep" in shown) is is_terminal
    os.close(master)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "en_GB.UTF-8"}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({}, "en"),
        ({"LANG": "en_GB.UTF-8", "LC_ALL": "zh_CN.UTF-8"}, "zh"),
        ({"LC_ALL": "zh_CN.UTF-8", "CUNZHENG_LANG": "en"}, "en"),
    ],
)
def test_language_follows_the_locale(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str
) -> None:
    for name in ("CUNZHENG_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert lang.language() == expected


def test_version_and_help_import_no_part() -> None:
    code = (
        "import sys\n"
        "from cunzheng.cli import cunzheng\n"
        "cunzheng.main(['--help'], standalone_mode=False)\n"
        "heavy = {'flask', 'pymodbus', 'sqlalchemy', 'webapp', 'gateway'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr


def test_module_runs_like_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "cunzheng", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("cunzheng ")
