"""One running gateway a data folder: two would poll everything twice and take each other's broker session.

A lock of the operating system, so that it ends with its process, however that ends. Short commands (import, sync,
close) may run beside the service: the database orders what they write.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.durable import make_folder
from gateway.errors import RefusedError

LOCK_FILE = "run.lock"


@contextmanager
def running_alone(folder: Path, *, takes_signals: bool = False) -> Iterator[None]:
    """Hold the folder's lock; who takes signals (SIGHUP) leaves its process id in it.

    Raises:
        RefusedError: another gateway runs on this folder.
    """
    make_folder(folder, 0o700)
    descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RefusedError(
                f"已有一个网关在 {folder} 上运行；请先停止它",
                f"a gateway already runs on {folder}; stop that one first",
            ) from error
        os.ftruncate(descriptor, 0)
        if takes_signals:
            os.pwrite(descriptor, str(os.getpid()).encode("ascii"), 0)
        yield
    finally:
        os.close(descriptor)


def is_running(folder: Path) -> bool:
    """Tell whether a gateway runs on the folder now; makes nothing."""
    try:
        return runner_of(folder) is not None
    except RefusedError:
        return False


def runner_of(folder: Path) -> int | None:
    """Return the process that holds the folder's lock; None when none does, 0 when it takes no signals.

    Raises:
        RefusedError: the lock may not be looked at.
    """
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDWR)
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise RefusedError(
            f"无权访问 {folder}；请以网关的用户运行本命令",
            f"{folder} may not be read; run this command as the gateway's user",
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        said = os.pread(descriptor, 20, 0)
        return int(said) if said.isdigit() else 0
    finally:
        os.close(descriptor)
    return None
