"""`cunzheng gateway reload`: check the site file, tell the running gateway, and wait for what it says."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import asdict

from gateway.assembly import fitting_catalogue
from gateway.errors import RefusedError, UnreachableError
from gateway.reload import Outcome, last_outcome
from gateway.runlock import runner_of
from gateway.settings import Settings
from gateway.snapshot import Snapshot

ANSWER_S = 90.0
"""Longer than a gateway takes to give a change up."""
_LOOK_S = 0.1


def reload_running(settings: Settings, answer_s: float = ANSWER_S) -> Outcome:
    """Make the gateway that runs on this data folder read its site file again; return how that ended.

    Raises:
        MisuseError: the site file is wrong; the gateway was not told.
        RefusedError: no gateway runs here, it is another user's, or it did not take the file.
        UnreachableError: it did not answer.
    """
    fitting_catalogue(settings)
    folder = settings.database.parent
    process = runner_of(folder)
    if process is None:
        raise RefusedError(f"{folder} 上没有运行中的网关", f"no gateway runs on {folder}; it reads the site at start")
    if process == 0:
        raise RefusedError(
            f"{folder} 正被另一命令使用；请待其结束后重试",
            f"another command works on {folder}; try again when it is done",
        )
    before = _number(settings)
    try:
        os.kill(process, signal.SIGHUP)
    except PermissionError as error:
        raise RefusedError(
            f"网关（进程 {process}）属于另一用户；请以该用户运行本命令",
            f"the gateway (process {process}) is another user's; run this command as that user",
        ) from error
    outcome = _awaited(settings, before, answer_s)
    if outcome.result == "refused":
        raise RefusedError(outcome.zh, outcome.en)
    return outcome


def outcome_json(outcome: Outcome) -> dict[str, object]:
    """Write an outcome for a program."""
    return {key: value for key, value in asdict(outcome).items() if key != "number"}


def _awaited(settings: Settings, before: int, answer_s: float) -> Outcome:
    until = time.monotonic() + answer_s
    while time.monotonic() < until:
        with Snapshot(settings.database) as store:
            outcome = last_outcome(store)
        if outcome is not None and outcome.number > before:
            return outcome
        time.sleep(_LOOK_S)
    raise UnreachableError(
        "网关没有应答；请查看 cunzheng gateway status 和日志",
        "the gateway did not answer; look at cunzheng gateway status and its log",
    )


def _number(settings: Settings) -> int:
    with Snapshot(settings.database) as store:
        outcome = last_outcome(store)
    return 0 if outcome is None else outcome.number
