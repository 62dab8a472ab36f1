"""Bundles of disclosed readings alone: they are judged by themselves; a month taken out of a bundle is still missed."""

from dataclasses import replace

import pytest
from evidence_world import NOW, World, indexed

from evidence.disclosure import Disclosure
from evidence.errors import Code
from evidence.statement import parse
from evidence.verdict import Verdict
from evidence.verify import verify_bundle


def test_a_bundle_of_readings_alone_asserts_no_month_and_misses_none(approved: World) -> None:
    whole = approved.pack()
    sids = {Disclosure.from_bytes(data).segment for data in whole.readings.values()}
    statements = {sid: whole.statements[sid] for sid in sids}
    alone = replace(whole, statements=statements, proofs={sid: whole.proofs[sid] for sid in sids}, content={})
    report = verify_bundle(indexed(alone), approved.trust(), NOW)
    assert (report.verdict, report.findings) == (Verdict.VALID, ())
    assert report.subject["channel"] == "E.KWH"


@pytest.mark.parametrize("left", ["declare", "review", "content"])
def test_a_month_taken_out_of_its_bundle_is_missed(approved: World, left: str) -> None:
    """Readings with anything that belongs to a month are no bundle of readings."""
    whole = approved.pack()
    kinds = {sid: parse(jws.decode()).kind for sid, jws in whole.statements.items()}
    kept = {sid for sid, kind in kinds.items() if kind in ("segment", "event", left)}
    bare = replace(
        whole,
        statements={sid: whole.statements[sid] for sid in kept},
        proofs={sid: whole.proofs[sid] for sid in kept},
        content=dict(whole.content) if left == "content" else {},
    )
    report = verify_bundle(indexed(bare), approved.trust(), NOW)
    assert Code.CHAIN_INCOMPLETE in {finding.code for finding in report.findings}
    assert report.verdict is not Verdict.VALID
