"""A private PostgreSQL cluster in a temporary folder, for as long as a test session lasts."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def binaries() -> Path | None:
    """The folder of PostgreSQL's programs, newest version first; None when it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    on_path = shutil.which("initdb")
    return found[0].parent if found else (Path(on_path).parent if on_path else None)


@contextmanager
def cluster(programs: Path, *, is_durable: bool = False) -> Iterator[str]:
    """Start a cluster that listens on a socket only; gives the URL of an empty database.

    Tests need not wait for the disk; what is measured must.
    """
    with tempfile.TemporaryDirectory(prefix="cunzheng-pg-") as name:
        folder = Path(name)
        data = folder / "data"
        _hand_over(folder)
        try:
            _run(programs / "initdb", "-D", str(data), "-U", "cunzheng", "-A", "trust", "--no-sync", "-E", "UTF8")
            options = f"-k {folder} -c listen_addresses= -c fsync={'on' if is_durable else 'off'}"
            _run(programs / "pg_ctl", "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options, "start")
            _run(programs / "createdb", "-h", str(folder), "-U", "cunzheng", "center")
            yield f"postgresql://cunzheng@/center?host={folder}"
        finally:
            _run(programs / "pg_ctl", "-D", str(data), "-m", "immediate", "stop", is_required=False)


def _run(program: Path, *arguments: str, is_required: bool = True) -> None:
    # PostgreSQL refuses to run as root.
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*user, str(program), *arguments], cwd="/", capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
    )
    if is_required and done.returncode:
        raise RuntimeError(f"{program.name}: {done.stderr or done.stdout}")


def _hand_over(folder: Path) -> None:
    if os.geteuid() == 0:
        owner = pwd.getpwnam("postgres")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        folder.chmod(0o755)
