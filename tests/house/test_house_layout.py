"""How the folders and files look: names, docstrings, sizes, and what the wheel carries."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
import zipfile
from collections import Counter
from pathlib import Path

import pytest

PACKAGES = ("cunzheng", "evidence", "accounting", "device_profiles", "sync", "gateway", "webapp")
NAMES_THAT_SAY_NOTHING = frozenset({"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"})
MOST_LINES = 500


def modules(root: Path) -> list[Path]:
    return sorted(path for package in PACKAGES for path in (root / package).rglob("*.py"))


def test_no_module_has_a_name_that_says_nothing(root: Path) -> None:
    assert [str(path.relative_to(root)) for path in modules(root) if path.stem in NAMES_THAT_SAY_NOTHING] == []


def test_every_module_begins_with_what_it_is_for(root: Path) -> None:
    bare = [
        str(path.relative_to(root))
        for path in modules(root)
        if path.read_text(encoding="utf-8").strip()
        and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert bare == []


def test_no_module_holds_two_things(root: Path) -> None:
    long = {
        str(path.relative_to(root)): lines
        for path in modules(root)
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MOST_LINES
    }
    assert long == {}


def test_no_two_test_modules_have_the_same_name(root: Path) -> None:
    names = Counter(path.name for path in (root / "tests").rglob("test_*.py"))
    assert [name for name, times in names.items() if times > 1] == []


def test_test_folders_are_not_packages(root: Path) -> None:
    # A package `tests/gateway` would hide the package `gateway`.
    assert [str(path.relative_to(root)) for path in (root / "tests").rglob("__init__.py")] == []


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    root = Path(__file__).resolve().parents[2]
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
        cwd=root,
        check=True,
        capture_output=True,
    )
    (wheel,) = out.glob("*.whl")
    return zipfile.ZipFile(wheel).namelist()


def test_the_wheel_carries_the_packages_and_nothing_else(wheel_names: list[str]) -> None:
    tops = {name.partition("/")[0] for name in wheel_names if ".dist-info/" not in name}
    assert tops == set(PACKAGES)


def test_the_wheel_carries_every_file_of_the_packages(root: Path, wheel_names: list[str]) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z", *PACKAGES], cwd=root, check=True, capture_output=True, text=True
    ).stdout.split("\0")
    present = {name for name in tracked if name and (root / name).is_file()}
    assert present - set(wheel_names) == set()


def test_the_wheel_carries_the_browser_files(root: Path, wheel_names: list[str]) -> None:
    assert "webapp/static/vendor/htmx.min.js" in wheel_names


def test_the_version_is_told_once(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f'"version": "{project["version"]}"' in (root / "package.json").read_text(encoding="utf-8")
