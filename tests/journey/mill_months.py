"""What a month of the mill says of its electricity: its body, and the body recomputed from a bundle."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any


def electricity(body: dict[str, Any]) -> tuple[Decimal, Decimal, str]:
    """Return channel total in kWh, item in MWh, and the coverage."""
    (channel,) = body["channels"]
    (item,) = body["items"]
    assert item["unit"] == "MWh"
    return Decimal(channel.get("sum") or channel["use"]), Decimal(item["quantity"]), item["coverage"]


def recomputed(bundle: Path) -> dict[str, Any]:
    """Let `cunzheng compose` compute the month's body from the statements of a bundle."""
    target = bundle.with_suffix(".json")
    done = subprocess.run(
        [sys.executable, "-m", "cunzheng", "compose", str(bundle), "--out", str(target), "--json"],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["result"] == "same"
    body: dict[str, Any] = json.loads(target.read_bytes())
    return body
