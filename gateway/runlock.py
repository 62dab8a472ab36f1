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
def running_alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock.

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
        yield
    finally:
        os.close(descriptor)


def is_running(folder: Path) -> bool:
    """Tell whether a gateway runs on the folder now; makes nothing."""
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
