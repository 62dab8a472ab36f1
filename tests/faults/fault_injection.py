"""A fault as a value: which function of a real process, at which call, does what.

Applied inside the process before its command starts; nothing of the product knows of it. `die` kills the whole process
group as a power cut does, `die alone` only the process that got there (one of gunicorn's workers).
"""

from __future__ import annotations

import errno
import functools
import importlib
import os
import resource
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

Deed = Literal["die before", "die after", "die halfway", "die alone before", "die alone after", "no space"]


@dataclass(frozen=True)
class Fault:
    """At the `nth` call of `target` (module:name or module:Class.name) in any one process, `deed` happens.

    `in_request` counts only calls from other threads than the main one: a centre's start is then no call.
    """

    target: str
    deed: Deed = "die before"
    nth: int = 1
    in_request: bool = False

    def apply(self, noted: Path) -> None:
        """Replace the function; a line in `noted` says that it happened."""
        holder, name = _place(self.target)
        original = getattr(holder, name)
        calls = 0

        @functools.wraps(original)
        def broken(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            if self.in_request and threading.current_thread() is threading.main_thread():
                return original(*args, **kwargs)
            calls += 1
            if calls != self.nth:
                return original(*args, **kwargs)
            with noted.open("a") as file:
                file.write(f"{self}\n")
            return self._happen(original, args, kwargs)

        setattr(holder, name, broken)

    def _happen(self, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.deed == "no space":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.deed == "die halfway":
            handle, data = args
            original(handle, bytes(data)[: len(data) // 2])
        elif self.deed.endswith("after"):
            original(*args, **kwargs)
        if "alone" in self.deed:
            os.kill(os.getpid(), signal.SIGKILL)
        os.killpg(0, signal.SIGKILL)
        raise AssertionError("a killed process goes on")

    def __str__(self) -> str:
        return f"{self.target} {self.deed} {self.nth}"


@dataclass(frozen=True)
class Pause:
    """The first call of `target` of all processes returns only when a file exists; `before` waits in front of it."""

    target: str
    file: str
    before: bool = False
    in_request: bool = False

    def apply(self, noted: Path) -> None:
        """Replace the function; a line in `noted` says that it waits."""
        holder, name = _place(self.target)
        original = getattr(holder, name)

        @functools.wraps(original)
        def paused(*args: Any, **kwargs: Any) -> Any:
            is_start = self.in_request and threading.current_thread() is threading.main_thread()
            if is_start or not self._is_first():
                return original(*args, **kwargs)
            result = None if self.before else original(*args, **kwargs)
            with noted.open("a") as file:
                file.write(f"{self}\n")
            while not Path(self.file).exists():
                time.sleep(0.02)
            return original(*args, **kwargs) if self.before else result

        setattr(holder, name, paused)

    def _is_first(self) -> bool:
        try:
            os.close(os.open(f"{self.file}.taken", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True


@dataclass(frozen=True)
class Setting:
    """A constant of a module has another value in this process."""

    target: str
    value: object

    def apply(self, noted: Path) -> None:
        """Set it."""
        holder, name = _place(self.target)
        setattr(holder, name, self.value)


@dataclass(frozen=True)
class FileLimit:
    """No file of this process may grow beyond so many bytes: the full disk that SQLite meets."""

    size: int

    def apply(self, noted: Path) -> None:
        """Set the limit; Python ignores the signal that goes with it."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, resource.RLIM_INFINITY))


@dataclass(frozen=True)
class WrongClock:
    """The wall clock is off by the seconds that a file says now; the monotonic clock is right."""

    target: str
    file: str

    def apply(self, noted: Path) -> None:
        """Put a wrong `datetime` into the module that reads the clock."""
        holder, name = _place(self.target)
        path = Path(self.file)

        class WrongDatetime(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
                return datetime.now(UTC) + timedelta(seconds=float(path.read_text()))

        setattr(holder, name, WrongDatetime)


Injection = Fault | Pause | Setting | FileLimit | WrongClock


def _place(target: str) -> tuple[Any, str]:
    module, _, path = target.partition(":")
    holder: Any = importlib.import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        holder = getattr(holder, parent)
    return holder, name
