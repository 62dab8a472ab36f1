"""Real processes of `cunzheng`, started in milliseconds and killed as a group.

A fork server that has imported everything starts them: each is a process and a process group of its own, with its own
connections and files, only the seconds of importing are saved. When the tests end, however they end, all are killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from fault_injection import Injection

_PRELOADED = (
    "fault_programs",
    "cunzheng.cli",
    "gateway.cli",
    "webapp",
    "webapp.cli",
    "webapp.views",
    "gunicorn.app.base",
    "gunicorn.workers.gthread",
)
_PR_SET_PDEATHSIG = 1
PATIENCE_S = float(os.environ.get("CUNZHENG_FAULT_PATIENCE", "60"))


def context() -> Any:
    """Return the fork server's context."""
    chosen = multiprocessing.get_context("forkserver")
    chosen.set_forkserver_preload(list(_PRELOADED))
    return chosen


@dataclass
class Program:
    """One command that runs or ran."""

    process: ForkServerProcess
    out: Path
    err: Path

    @property
    def pid(self) -> int:
        """Process id, and id of its group."""
        assert self.process.pid is not None
        return self.process.pid

    @property
    def is_running(self) -> bool:
        """Tell whether it has not ended."""
        return self.process.is_alive()

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        """Wait for its end; return the exit code, minus the signal if one ended it."""
        self.process.join(timeout_s)
        code = self.process.exitcode
        if code is None:
            # Where does it hang? Its threads say so on its error output.
            self.signal(signal.SIGUSR1)
            time.sleep(0.2)
            self.kill()
            raise AssertionError(f"did not end in {timeout_s} s: {self.said()}")
        return code

    def kill(self) -> None:
        """Kill the whole group with SIGKILL and wait until it is gone."""
        # In its first moments a process has no group of its own yet.
        for end in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError):
                end(self.pid, signal.SIGKILL)
        self.process.join(PATIENCE_S)

    def workers(self) -> list[int]:
        """Return the ids of its child processes (gunicorn's workers)."""
        try:
            text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        except OSError:
            return []
        return [int(one) for one in text.split()]

    def terminate(self) -> int:
        """Ask it to stop; return its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def signal(self, number: int) -> bool:
        """Send a signal; tell whether anybody was there to get it. It may end between two looks."""
        if self.is_running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
                return True
        return False

    def said(self) -> str:
        """Return what it wrote to its error output."""
        return self.err.read_text("utf-8", "replace").strip() if self.err.exists() else ""

    def line(self) -> str:
        """Return the one line that a failed command must say."""
        lines = [line for line in self.said().splitlines() if line.startswith("cunzheng: ")]
        assert len(lines) == 1, self.said()
        assert "Traceback" not in self.said()
        return lines[0]

    def facts(self) -> Any:
        """Return the JSON it printed."""
        return json.loads(self.out.read_text("utf-8"))


class Programs:
    """Starts commands in one folder; kills what still runs at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._logs = folder / "logs"
        self._logs.mkdir(parents=True, exist_ok=True)
        self._started: list[Program] = []
        self.noted = folder / "faults-that-happened"

    def start(self, *arguments: str, faults: Sequence[Injection] = ()) -> Program:
        """Start `cunzheng` with these arguments."""
        number = len(self._started)
        out, err = self._logs / f"{number:04d}.out", self._logs / f"{number:04d}.err"
        process = context().Process(
            target=run_command,
            args=(arguments, str(self.folder), str(out), str(err), tuple(faults), str(self.noted)),
            name=" ".join(arguments[:2]),
            daemon=True,
        )
        process.start()
        program = Program(process, out, err)
        self._started.append(program)
        return program

    def call(self, *arguments: str) -> Any:
        """Run a command with `--json` to its end; return its facts."""
        program = self.start(*arguments, "--json")
        code = program.wait()
        assert code == 0, f"{arguments}: exit {code}: {program.said()}"
        return program.facts()

    def happened(self) -> int:
        """Count the faults that happened."""
        return len(self.noted.read_text().splitlines()) if self.noted.exists() else 0

    def close(self) -> None:
        """Kill what runs."""
        for program in self._started:
            if program.is_running:
                program.kill()
            program.process.close()
        self._started.clear()


def run_command(
    arguments: Sequence[str], folder: str, out: str, err: str, faults: Sequence[Injection], noted: str
) -> None:
    """Be the command: the target of the new process."""
    os.setsid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for path, number in ((out, 1), (err, 2)):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(handle, number)
        os.close(handle)
    os.chdir(folder)
    os.environ["CUNZHENG_LANG"] = "en"
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    from cunzheng.cli import cunzheng

    for fault in faults:
        fault.apply(Path(noted))
    sys.argv = ["cunzheng", *arguments]
    cunzheng.main(args=list(arguments), prog_name="cunzheng")


def wait_until(ask: Callable[[], Any], what: str, timeout_s: float = PATIENCE_S) -> Any:
    """Ask again and again until the answer is true."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = ask()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain for {what}"
        time.sleep(0.03)
