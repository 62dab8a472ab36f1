"""Six real months, from a file and from a meter: the same electricity in the body, on the page and recomputed."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from mill_chain import HISTORIAN, METER, TOTALS, MillChain


def electricity(body: dict[str, Any]) -> tuple[Decimal, Decimal, str]:
    """Return channel total in kWh, item in MWh, and the coverage."""
    (channel,) = body["channels"]
    (item,) = body["items"]
    assert item["unit"] == "MWh"
    return Decimal(channel.get("sum") or channel["use"]), Decimal(item["quantity"]), item["coverage"]


@pytest.mark.parametrize("period", TOTALS)
def test_imported_month_has_the_published_total_everywhere(imported: MillChain, period: str) -> None:
    total = Decimal(TOTALS[period])
    assert electricity(imported.body(HISTORIAN, period)) == (total, total / 1000, "1.0000")
    assert format((total / 1000).normalize(), "f") in imported.page(HISTORIAN, period)
    assert electricity(recomputed(imported.bundle(HISTORIAN, period))) == (total, total / 1000, "1.0000")


@pytest.mark.parametrize("period", TOTALS)
def test_metered_month_has_the_same_total_everywhere(metered: MillChain, period: str) -> None:
    total = Decimal(TOTALS[period])
    assert electricity(metered.body(METER, period)) == (total, total / 1000, "1.0000")
    assert format((total / 1000).normalize(), "f") in metered.page(METER, period)
    assert electricity(recomputed(metered.bundle(METER, period))) == (total, total / 1000, "1.0000")


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


def test_import_again_changes_nothing(imported: MillChain, root: Any) -> None:
    settings, how = (str(imported.folder / HISTORIAN / name) for name in ("gateway.toml", "map.toml"))
    source = str(root / "cunzheng" / "demo_data" / "steel_meter_2018_h1.csv")
    facts = imported.programs.call("gateway", "import", "-c", settings, "--map", how, source)
    assert (facts["stored"], facts["segments"]) == (0, 0)
    assert imported.sync(settings)["logged"] == 0
