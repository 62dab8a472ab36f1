"""The programs of the demonstration: each a process of its own, with a log file, stopped together."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cunzheng.errors import CommandError, ExitCode

_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 15.0
_RUN_TIMEOUT_S = 600.0


def free_port() -> int:
    """Return a port of the loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Tell whether a server can be started on a port of the loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Programs:
    """Runs `cunzheng` commands in a folder: some to their end, some until the demonstration ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._logs = folder / "logs"
        self._logs.mkdir(parents=True, exist_ok=True)
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def call(self, *arguments: str) -> Any:
        """Run a command with `--json` and return what it prints.

        Raises:
            CommandError: it failed; the message is its own.
        """
        done = subprocess.run(
            [*self._program(), *arguments, "--json"],
            cwd=self._folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_RUN_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip() or done.stdout.decode("utf-8", "replace").strip()
            what = " ".join(arguments[:3])
            raise CommandError(f"演示：{what}：{said}", f"demonstration: {what}: {said}")
        return json.loads(done.stdout)

    def start(self, name: str, *arguments: str) -> None:
        """Start a command that goes on; its output goes to `logs/<name>.log`."""
        with (self._logs / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [*self._program(), *arguments],
                cwd=self._folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_for_url(self, name: str, url: str) -> None:
        """Wait until a started server answers.

        Raises:
            CommandError: it ended or did not answer in time.
        """
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(url, timeout=2):
                    return
            except urllib.error.HTTPError:
                return
            except OSError:
                self.require(name)
                time.sleep(0.05)
        raise self._failed(name)

    def require(self, name: str) -> None:
        """Insist that a started program still runs.

        Raises:
            CommandError: it ended; the message has the end of its log.
        """
        if self._running[name].poll() is not None:
            raise self._failed(name)

    def ended(self) -> str | None:
        """Return the name of a program that ended by itself, if any."""
        return next((name for name, process in self._running.items() if process.poll() is not None), None)

    def stop(self) -> None:
        """Stop everything, latest first; what does not stop in time is killed."""
        for process in reversed(self._running.values()):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(_STOP_TIMEOUT_S)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        self._running.clear()

    def __enter__(self) -> Programs:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @staticmethod
    def _program() -> Sequence[str]:
        return (sys.executable, "-m", "cunzheng")

    @staticmethod
    def _environment() -> dict[str, str]:
        return {**os.environ, "PYTHONUNBUFFERED": "1"}

    def _failed(self, name: str) -> CommandError:
        log = self._logs / f"{name}.log"
        lines = log.read_text("utf-8", "replace").strip().splitlines()
        last = lines[-1] if lines else ""
        return CommandError(
            f"演示：{name} 未能运行：{last}（详见 {log}）",
            f"demonstration: {name} does not run: {last} (see {log})",
            exit_code=ExitCode.COULD_NOT_TELL,
        )
