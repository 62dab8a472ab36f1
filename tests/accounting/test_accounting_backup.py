"""A backup channel counts only for a month in which the first one has nothing."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from signed_plant import PLAN, body_of, march

from accounting.errors import PlanError
from accounting.month import compose
from accounting.parameter_set import packaged_bytes
from evidence.encoding import jcs


def composed(source: dict[str, Any]) -> dict[str, Any]:
    plan = copy.deepcopy(PLAN)
    next(item for item in plan["items"] if item["id"] == "electricity")["source"] = source
    parameters = packaged_bytes("cn-steel-2024")
    return body_of(compose(plant="P-0001", period="2026-03", statements=march(), plan=jcs(plan), parameters=parameters))


def electricity(body: dict[str, Any]) -> dict[str, Any]:
    return next(item for item in body["items"] if item["id"] == "electricity")


def test_backup_stands_in_for_a_silent_channel_and_says_so() -> None:
    body = composed({"channel": "ELEC.TOTAL", "backup": "ELEC.IMPORT"})
    assert electricity(body)["quantity"] == "89.46600"
    assert electricity(body)["source"]["channel"] == "ELEC.IMPORT"
    assert [issue["code"] for issue in body["issues"]] == ["BACKUP_USED"]


def test_backup_is_ignored_while_the_first_channel_measures() -> None:
    body = composed({"channel": "ELEC.IMPORT", "backup": "GAS1.VOL"})
    assert electricity(body)["source"]["channel"] == "ELEC.IMPORT"
    assert body["issues"] == []


def test_two_silent_channels_are_a_missing_quantity() -> None:
    body = composed({"channel": "NONE.A", "backup": "NONE.B"})
    assert "quantity" not in electricity(body)
    assert [issue["code"] for issue in body["issues"]] == ["MISSING"]


@pytest.mark.parametrize("source", [{"channel": "A", "backup": "A"}, {"ledger": "x", "backup": "A"}, {"backup": "A"}])
def test_senseless_backup_is_refused(source: dict[str, Any]) -> None:
    with pytest.raises(PlanError):
        composed(source)
