"""Six real months from a file: the same electricity in the body, on the page and recomputed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from mill_chain import HISTORIAN, TOTALS, MillChain
from mill_months import electricity, recomputed


@pytest.mark.parametrize("period", TOTALS)
def test_imported_month_has_the_published_total_everywhere(imported: MillChain, period: str) -> None:
    total = Decimal(TOTALS[period])
    assert electricity(imported.body(HISTORIAN, period)) == (total, total / 1000, "1.0000")
    assert format((total / 1000).normalize(), "f") in imported.page(HISTORIAN, period)
    assert electricity(recomputed(imported.bundle(HISTORIAN, period))) == (total, total / 1000, "1.0000")


def test_import_again_changes_nothing(imported: MillChain, root: Any) -> None:
    settings, how = (str(imported.folder / HISTORIAN / name) for name in ("gateway.toml", "map.toml"))
    source = str(root / "cunzheng" / "demo_data" / "steel_meter_2018_h1.csv")
    facts = imported.programs.call("gateway", "import", "-c", settings, "--map", how, source)
    assert (facts["stored"], facts["segments"]) == (0, 0)
    assert imported.sync(settings)["logged"] == 0
