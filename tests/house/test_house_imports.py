"""The import rule: who may import whom, and which file may import which foreign library."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGES = ("cunzheng", "evidence", "accounting", "device_profiles", "sync", "gateway", "webapp", "witness")
PURE = ("evidence", "accounting", "device_profiles", "sync")

# Modules of the standard library that reach out of the process, tell the time, or choose at random.
IMPURE_MODULES = frozenset(
    {
        "asyncio",
        "concurrent",
        "ftplib",
        "http.client",
        "http.server",
        "logging",
        "multiprocessing",
        "os",
        "random",
        "sched",
        "secrets",
        "select",
        "selectors",
        "signal",
        "smtplib",
        "socket",
        "socketserver",
        "sqlite3",
        "ssl",
        "subprocess",
        "tempfile",
        "threading",
        "time",
        "urllib.request",
        "xmlrpc",
    }
)
# Calls on pure modules that are not pure.
IMPURE_CALLS = frozenset({"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "uuid4", "uuid1", "open"})

# Foreign libraries and the only files that may import them.
ONE_FILE = {
    "pymodbus": ("gateway/wire.py", "cunzheng/"),
    "paho": ("gateway/mqtt.py", "cunzheng/"),
    "httpx": ("gateway/uplink.py",),
    "amqtt": ("cunzheng/",),
    "http_message_signatures": ("gateway/", "webapp/"),
    "sqlite_utils": ("gateway/",),
    "sqlalchemy": ("webapp/",),
    "flask": ("webapp/",),
    "tuf": ("gateway/trust_client.py", "webapp/trust_"),
    "securesystemslib": ("webapp/trust_metadata.py",),
    "rfc3161_client": ("evidence/stamp.py",),
    "gmssl_pyx": ("evidence/sm2.py",),
}


def imported_modules(source: str) -> Iterator[str]:
    """Every module that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def called_names(source: str) -> Iterator[str]:
    """The last two parts of every called name: `datetime.now`, `open`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            yield ".".join(ast.unparse(node.func).split(".")[-2:])


def is_within(module: str, parent: str) -> bool:
    return module == parent or module.startswith(parent + ".")


def python_files(root: Path, *packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (root / package).rglob("*.py"))


def test_contracts_are_kept(root: Path) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("package", PURE)
def test_pure_package_reaches_for_nothing_outside(root: Path, package: str) -> None:
    found = [
        f"{path.relative_to(root)}: {module}"
        for path in python_files(root, package)
        for module in imported_modules(path.read_text(encoding="utf-8"))
        for impure in IMPURE_MODULES
        if is_within(module, impure)
    ]
    assert found == []


@pytest.mark.parametrize("package", PURE)
def test_pure_package_calls_no_clock_and_opens_no_file(root: Path, package: str) -> None:
    found = [
        f"{path.relative_to(root)}: {name}()"
        for path in python_files(root, package)
        for name in called_names(path.read_text(encoding="utf-8"))
        if name in IMPURE_CALLS
    ]
    assert found == []


@pytest.mark.parametrize("library", sorted(ONE_FILE))
def test_foreign_library_is_imported_only_where_it_is_wrapped(root: Path, library: str) -> None:
    allowed = ONE_FILE[library]
    found = [
        str(path.relative_to(root))
        for path in python_files(root, *PACKAGES)
        if any(is_within(module, library) for module in imported_modules(path.read_text(encoding="utf-8")))
        and not str(path.relative_to(root)).startswith(allowed)
    ]
    assert found == []


def test_an_import_inside_a_function_is_seen() -> None:
    assert list(imported_modules("def f():\n    import socket\n    from time import sleep\n")) == [
        "socket",
        "time",
        "time.sleep",
    ]


def test_a_clock_read_is_seen() -> None:
    assert set(called_names("import datetime\nx = datetime.datetime.now(tz)\n")) == {"datetime.now"}
