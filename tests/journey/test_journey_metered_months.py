"""Six real months from a meter that was polled: the same electricity in the body, on the page and recomputed."""

from __future__ import annotations

from decimal import Decimal

import pytest
from mill_chain import METER, TOTALS, MillChain
from mill_months import electricity, recomputed


@pytest.mark.parametrize("period", TOTALS)
def test_metered_month_has_the_same_total_everywhere(metered: MillChain, period: str) -> None:
    total = Decimal(TOTALS[period])
    assert electricity(metered.body(METER, period)) == (total, total / 1000, "1.0000")
    assert format((total / 1000).normalize(), "f") in metered.page(METER, period)
    assert electricity(recomputed(metered.bundle(METER, period))) == (total, total / 1000, "1.0000")
