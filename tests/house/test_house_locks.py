"""Lock files: every package with a version and a hash, and no word about where it came from."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

PYTHON_LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-npm.lock")
PACKAGE_LINE = re.compile(
    r"^(?P<name>[a-z0-9][a-z0-9.-]*)(?:\[(?P<extras>[a-z0-9,-]+)\])?==(?P<version>[^ ]+)( ; [^\\]+)? \\$"
)
HASH_LINE = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(path: Path) -> dict[str, set[str]]:
    versions: dict[str, set[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if match := PACKAGE_LINE.match(line):
            versions.setdefault(match["name"], set()).add(match["version"])
    return versions


def locked_extras(path: Path) -> set[tuple[str, str]]:
    lines = (PACKAGE_LINE.match(line) for line in path.read_text(encoding="utf-8").splitlines())
    return {(line["name"], extra) for line in lines if line and line["extras"] for extra in line["extras"].split(",")}


def wanted_extras(names: set[str]) -> set[tuple[str, str]]:
    """Package and extra of each requirement of the installed among these packages, as it applies here."""
    wanted = set()
    for name in names:
        try:
            lines = requires(name) or []
        except PackageNotFoundError:  # for another platform
            continue
        for requirement in map(Requirement, lines):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                wanted |= {(normalised(requirement.name), extra) for extra in requirement.extras}
    return wanted


@pytest.mark.parametrize("name", PYTHON_LOCKS)
def test_python_lock_holds_names_versions_and_hashes_only(root: Path, name: str) -> None:
    strange = [
        line
        for line in (root / name).read_text(encoding="utf-8").splitlines()
        if not PACKAGE_LINE.match(line) and not HASH_LINE.match(line)
    ]
    assert strange == []


def test_npm_lock_names_no_address(root: Path) -> None:
    text = (root / "package-lock.json").read_text(encoding="utf-8")
    assert '"resolved"' not in text
    assert [line for line in text.splitlines() if "://" in line] == []


def test_npm_lock_has_a_hash_for_every_package(root: Path) -> None:
    packages = json.loads((root / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    assert [name for name, entry in packages.items() if name and not entry.get("integrity")] == []


def test_npm_versions_are_exact(root: Path) -> None:
    package = json.loads((root / "package.json").read_text(encoding="utf-8"))
    wanted = {**package["dependencies"], **package["devDependencies"]}
    assert [name for name, version in wanted.items() if not re.fullmatch(r"\d+\.\d+\.\d+", version)] == []


def test_every_direct_dependency_is_locked(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    direct = {normalised(re.split(r"[\[<>=;~ ]", line)[0]) for line in (*project["dependencies"], *extras)}
    assert direct - set(locked(root / "requirements.lock")) == set()


def test_extras_that_packages_ask_for_are_locked_with_their_names(root: Path) -> None:
    # pip before 23.3 looks for the newest release of `coverage[toml]` when the lock only says `coverage`, and then
    # refuses it for want of a hash: set-up would break on the day of that release.
    lock = root / "requirements-dev.lock"
    assert wanted_extras(set(locked(lock))) - locked_extras(lock) == set()
    assert ("coverage", "toml") in locked_extras(lock)


def test_the_runtime_lock_is_part_of_the_development_lock(root: Path) -> None:
    development = locked(root / "requirements-dev.lock")
    runtime = locked(root / "requirements.lock")
    assert {name for name, versions in runtime.items() if development.get(name) != versions} == set()


def test_no_packaging_file_names_a_registry(root: Path) -> None:
    # Someone may install from a mirror; the repository leaves that to the machine.
    tracked = subprocess.run(
        [
            "git",
            "ls-files",
            "-z",
            "*.lock",
            "package*.json",
            ".npmrc",
            "setup",
            "Makefile",
            ".ci",
            "pyproject.toml",
        ],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    found = [
        f"{name}: {line}"
        for name in tracked
        if name
        for line in (root / name).read_text(encoding="utf-8").splitlines()
        if re.search(r"index-url|find-links\s*=|registry\.|https?://", line) and "--no-emit" not in line
    ]
    assert found == []
