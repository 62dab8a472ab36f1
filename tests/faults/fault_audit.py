"""What must hold after any fault: nothing acknowledged is missing, nothing is twice, the chain is unbroken."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

from fault_world import World, done

from evidence.encoding import time_text
from evidence.merkle import RightEdge, leaf_hash
from evidence.note import NoteKey, verify_checkpoint
from evidence.receipt import Receipt, verify_receipt
from evidence.statement import parse

IMPORTED = {"active_energy_kwh": "ELEC.IMPORT", "gas_nm3_simulated": "GAS.IMPORT"}


def audit(
    world: World,
    *,
    who: str = "gateway",
    files: Iterable[Path] = (),
    acknowledged: Mapping[str, str] | None = None,
    everything_logged: bool = True,
) -> None:
    """Check both sides against each other; `acknowledged` are receipts seen at any time before."""
    log = [parse(jws) for jws in world.log()]
    sids = [one.sid for one in log]
    assert len(sids) == len(set(sids)), "a statement is in the log twice"
    numbers = [(one.payload["gw"], one.payload["epoch"], one.payload["seq"]) for one in log if "gw" in one.payload]
    assert len(numbers) == len(set(numbers)), "a number is in the log twice"

    chain = world.gateway_rows("SELECT seq, sid, jws FROM statement ORDER BY epoch, seq", who)
    before = None
    for expected, (seq, sid, jws) in enumerate(chain, 1):
        payload = parse(jws).payload
        assert (seq, payload["seq"], payload["prev"]) == (expected, expected, before), "the chain is broken"
        before = sid
    gw = world.gateway_rows("SELECT value FROM identity WHERE name = 'gw'", who)[0][0]
    logged = [one.sid for one in log if one.payload.get("gw") == gw]
    mine = [sid for _, sid, _ in chain]
    assert logged == mine[: len(logged)], "the log's order is not the chain's"
    if everything_logged:
        assert len(logged) == len(mine), f"{len(mine) - len(logged)} statements are not in the log"
        assert world.waiting(who) == 0

    _check_receipts(world, who, {**(acknowledged or {}), **world.receipts(who)}, everything_logged=everything_logged)
    _check_tree(world, who, [jws for _, _, jws in chain])
    for file in files:
        _check_import(world, who, file)
    twice = world.gateway_rows(
        "SELECT channel, time, count(*) FROM reading WHERE imported = 1 GROUP BY channel, time HAVING count(*) > 1", who
    )
    assert twice == [], "a reading is stored twice"
    checked = done(world.gateway("check", who=who))
    assert checked["ok"], checked
    assert done(world.programs.start("center", "check", "-c", "center.toml", "--json"))["size"] == len(log)


def _check_receipts(world: World, who: str, receipts: Mapping[str, str], *, everything_logged: bool) -> None:
    log = world.log()
    vkey = NoteKey.parse(world.gateway_rows("SELECT value FROM identity WHERE name = 'log_vkey'", who)[0][0])
    roots, edge = {}, RightEdge()
    for jws in log:
        edge.append(leaf_hash(jws.encode("ascii")))
        roots[edge.size] = edge.root()
    published = verify_checkpoint((world.folder / "center/log/checkpoint").read_text("utf-8"), vkey)
    assert roots[published.size] == published.root
    assert published.size == len(log)
    for sid, text in receipts.items():
        receipt = Receipt.from_text(text)
        jws = log[receipt.index]
        assert parse(jws).sid == sid, f"the log holds something else at {receipt.index} than was acknowledged"
        checkpoint = verify_receipt(receipt, jws, vkey)
        assert roots[checkpoint.size] == checkpoint.root
    if everything_logged:
        missing = world.gateway_rows("SELECT count(*) FROM statement WHERE sid NOT IN (SELECT sid FROM receipt)", who)
        assert missing == [(0,)]


def _check_tree(world: World, who: str, chain: list[str]) -> None:
    end = 0
    for payload in (parse(jws).payload for jws in chain):
        if payload["kind"] == "segment":
            assert payload["tree"]["start"] == end, "a segment does not follow the one before"
            end = payload["tree"]["end"]
    leaves = [row[0] for row in world.gateway_rows("SELECT leaf FROM reading WHERE leaf NOT NULL ORDER BY leaf", who)]
    assert leaves == list(range(end)), "leaves and readings are not one to one"


def _check_import(world: World, who: str, file: Path) -> None:
    with file.open(encoding="utf-8", newline="") as opened:
        expected = {
            (channel, _start_of(row["interval_end"]), Decimal(row[column]))
            for row in csv.DictReader(opened)
            for column, channel in IMPORTED.items()
        }
    stored = world.gateway_rows("SELECT channel, time, value FROM reading WHERE imported = 1 AND leaf NOT NULL", who)
    found = {(channel, time, Decimal(value)) for channel, time, value in stored}
    assert expected <= found, f"{len(expected - found)} readings of {file.name} are missing"


def _start_of(end: str) -> str:
    return time_text(datetime.fromisoformat(end) - timedelta(minutes=15))
