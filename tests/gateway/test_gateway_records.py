"""Marks and calibrations by command: signed, stored beside the readings, known to a gateway that runs already."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from small_centre import CODE, SmallCentre

from cunzheng.cli import cunzheng
from evidence.encoding import sha256_hex
from evidence.marks import MarkKind, marks_at
from gateway.assembly import open_gateway
from gateway.chain import own_statements
from gateway.store import Store

SITE = """
[[import]]
id = "cems"
interval_s = 60

[[channel]]
id = "CO2"
device = "cems"
kind = "value"
unit = "%"
subject = "KILN"
quantity = "co2"
calibrated_every_h = 26
"""
TIMES = ("--from", "2026-03-01T08:00", "--to", "2026-03-01T20:00+08:00")
STOP = ("mark", "stop", *TIMES, "--by", "Li Lei", "--reason", "relining")


@pytest.fixture
def folder(tmp_path: Path, centre: SmallCentre) -> Path:
    (tmp_path / "gateway.toml").write_text(f'data = "data"\n[centre]\nurl = "{centre.url}"\n', "utf-8")
    (tmp_path / "site.toml").write_text(SITE, "utf-8")
    assert called(tmp_path, "enrol", CODE).exit_code == 0
    return tmp_path


def called(folder: Path, *words: str) -> Result:
    command, *rest = words
    return CliRunner().invoke(cunzheng, ["gateway", command, "-c", str(folder / "gateway.toml"), *rest])


def recorded(folder: Path) -> list[dict[str, Any]]:
    store = Store(folder / "data" / "gateway.db")
    try:
        events = [one.payload for one in own_statements(store, "event")]
    finally:
        store.close()
    return [dict(one["data"]) for one in events if "record" in one["data"]]


def test_mark_is_signed_with_local_times_author_and_digest_of_its_proof(folder: Path) -> None:
    proof = folder / "photo.jpg"
    proof.write_bytes(b"relining")
    done = called(folder, *STOP, "--subject", "KILN", "--evidence", str(proof), "--json")
    assert done.exit_code == 0, done.stderr
    (said,) = recorded(folder)
    assert said == json.loads(done.stdout)
    assert (said["from"], said["to"]) == ("2026-03-01T00:00:00.000Z", "2026-03-01T12:00:00.000Z")
    assert (said["kind"], said["by"], said["reason"], said["subject"]) == ("stop", "Li Lei", "relining", "KILN")
    assert said["evidence"] == [sha256_hex(b"relining")]


def test_mark_entered_afterwards_is_called_late(folder: Path) -> None:
    assert called(folder, *STOP, "--channel", "CO2").stdout == "marked (late): stop\n"
    ahead = ("--from", "2126-03-01T08:00", "--to", "2126-03-01T09:00", "--by", "Li Lei", "--reason", "plan")
    assert called(folder, "mark", "drying", *ahead, "--subject", "KILN").stdout == "marked: drying\n"


def test_calibration_is_signed_and_counts_for_the_next_start(folder: Path) -> None:
    words = ("calibration", "CO2", "--at", "2026-03-01T08:00", "--by", "Han Mei", "--failed", "--note", "span +3.1 %")
    assert called(folder, *words).stdout == "recorded: calibration of CO2 failed\n"
    (said,) = recorded(folder)
    assert (said["channel"], said["check"], said["passed"], said["note"]) == ("CO2", "zero-span", False, "span +3.1 %")


def test_gateway_that_runs_learns_of_a_mark_made_beside_it(folder: Path) -> None:
    with open_gateway(folder / "gateway.toml") as opened:
        judge = opened.pipeline.judge
        assert judge.marks_of("CO2") == []
        assert called(folder, *STOP, "--subject", "KILN").exit_code == 0
        opened.pipeline.seal_due(timedelta(0))
        (mark,) = marks_at(judge.marks_of("CO2"), datetime(2026, 3, 1, 6, tzinfo=UTC), "CO2", "KILN")
        assert mark.kind is MarkKind.STOP


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (STOP, "either --subject or --channel"),
        ((*STOP, "--subject", "KILN", "--channel", "CO2"), "either --subject or --channel"),
        ((*STOP, "--channel", "CO"), "there is no channel CO; there are: CO2"),
        ((*STOP, "--subject", "KILN", "--to", "2026-03-01T08:00"), "--to must lie after --from"),
        ((*STOP, "--subject", "KILN", "--to", "tomorrow"), "--to: 'tomorrow' is no time"),
        ((*STOP, "--subject", "KILN", "--from", "0001-01-01T00:00"), "--from"),
        (("calibration", "O2", "--at", "2026-03-01", "--by", "X", "--passed"), "there is no channel O2"),
        (("calibration", "CO2", "--at", "2126-03-01", "--by", "X", "--passed"), "--at must not lie in the future"),
    ],
)
def test_record_that_cannot_be_is_one_line_and_leaves_nothing(folder: Path, words: tuple[str, ...], says: str) -> None:
    result = called(folder, *words)
    assert result.exit_code == 3
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert recorded(folder) == []
