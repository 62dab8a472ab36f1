"""How the folders and files look: names, docstrings, sizes, and what the wheel carries."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections import Counter
from pathlib import Path

import pytest

PACKAGES = ("cunzheng", "evidence", "accounting", "device_profiles", "sync", "gateway", "webapp", "witness")
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


def build(folder: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    return subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    done = build(Path(__file__).resolve().parents[2], out)
    assert done.returncode == 0, done.stderr
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture
def wheel_names(wheel: Path) -> list[str]:
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


def test_an_installed_wheel_runs_away_from_the_sources(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "cunzheng", "profile", "list", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "eastron-sdm630" in done.stdout


def test_a_wheel_without_the_browser_files_is_not_built(root: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "setup", *PACKAGES):
        left_out = shutil.ignore_patterns("vendor", "__pycache__")
        if (root / name).is_dir():
            shutil.copytree(root / name, bare / name, ignore=left_out)
        else:
            shutil.copy(root / name, bare)
    done = build(bare, tmp_path / "out")
    assert done.returncode != 0
    assert "webapp/static/vendor is empty; run setup/setup.sh demo first" in done.stderr
    assert not list(tmp_path.glob("out/*.whl"))


def test_the_version_is_told_once(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f'"version": "{project["version"]}"' in (root / "package.json").read_text(encoding="utf-8")
