"""The demonstration runs from nothing to an approved month, and its folder can be gone on with."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from other_tools import jose_verified, openssl_signers

PATIENCE_S = 500


def demo(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cunzheng", "--lang", "en", "demo", "--dir", str(folder), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)


@pytest.mark.no_cover
@pytest.mark.parametrize("broker", ["mosquitto", pytest.param("amqtt", marks=pytest.mark.faults)])
def test_demo_reaches_an_approved_month_and_its_folder_goes_on(tmp_path: Path, root: Path, broker: str) -> None:
    done = demo(tmp_path, "--once", "--broker", broker)
    assert done.returncode == 0, done.stdout + done.stderr
    steps = [line for line in done.stdout.splitlines() if line.startswith("  ✓ ")]
    assert f"({broker})" in steps[1]
    assert re.search(r"approved by the province +[0-9a-f]{12}$", steps[-2])
    assert re.search(r"\.evb \(\d+ KiB\) verifies offline: VALID, \d+ statements, recomputed the same$", steps[-1])
    # Ledger values are among the statements, as they are not in the mill's months.
    (bundle,) = tmp_path.glob("*.evb")
    trust = json.loads((tmp_path / "trust.json").read_text("utf-8"))
    (tmp_path / "openssl").mkdir()
    assert len(openssl_signers(bundle, trust, tmp_path / "openssl")) == jose_verified(bundle, trust, root) > 744

    again = demo(tmp_path, "--once")
    assert (again.returncode, again.stderr.count("\n")) == (3, 1)
    assert "--once wants an empty folder" in again.stderr

    command = [sys.executable, "-m", "cunzheng", "--lang", "en", "demo", "--dir", str(tmp_path), "--broker", broker]
    with subprocess.Popen([*command, "--port", "0"], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        said = ""
        while "Ctrl-C ends" not in said and (line := running.stdout.readline()):
            said += line
        running.send_signal(signal.SIGINT)
        rest, _ = running.communicate(timeout=60)
    assert "going on with the data in" in said
    assert "stopping" in rest
    assert running.returncode == 0
