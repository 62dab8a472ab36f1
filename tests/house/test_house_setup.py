"""Set-up and continuous integration: scripts that parse, misuse that is told, one command everywhere."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest


@pytest.mark.parametrize("script", ["setup/setup.sh", "setup/lock.sh", ".ci/run"])
def test_script_is_valid_and_executable(root: Path, script: str) -> None:
    assert (root / script).stat().st_mode & 0o111
    subprocess.run(["bash", "-n", script], cwd=root, check=True)


@pytest.mark.parametrize("arguments", [[], ["production"]])
def test_unknown_purpose_is_misuse(root: Path, arguments: list[str]) -> None:
    done = subprocess.run(["bash", "setup/setup.sh", *arguments], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr == "usage: setup/setup.sh demo|test\n"


def test_continuous_integration_runs_the_same_command(root: Path) -> None:
    commands = [
        line
        for line in (root / ".ci" / "run").read_text(encoding="utf-8").splitlines()
        if "make" in line and not line.startswith("#")
    ]
    assert commands == ["exec make test"]


def test_every_make_target_is_explained(root: Path) -> None:
    lines = (root / "Makefile").read_text(encoding="utf-8").splitlines()
    targets = [line for line in lines if line[:1].islower() and ":" in line and "=" not in line.partition("#")[0]]
    assert [line for line in targets if "##" not in line] == []
