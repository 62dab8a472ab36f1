"""The offline verifier page beside the Python verifier over seeded mutations: of bytes, payloads, worlds and trust."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from bundle_mutations import bundle_mutations
from crimes_statement import EVENT, GATEWAY, TECHNICIAN, world
from payload_mutations import payload_mutations
from playwright.sync_api import Page, expect
from test_vectors_differential import SIGNED, mutations
from vector_case import Files, Member, bare_trust, forged, trust_json, zip_of
from vector_verifier import report_of

from evidence.encoding import jcs
from evidence.errors import EvidenceError
from evidence.keys import SigningKey
from webapp.verifier_build import PAGE

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
AT = b'{"at":"2026-04-05T00:00:00.000Z"}'
AT_ONCE = 100
JUDGE = """async (cases) => {
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const reports = [];
  for (const files of cases) {
    const data = Object.fromEntries(Object.entries(files).map(([name, text]) => [name, bytes(text)]));
    const { at } = JSON.parse(new TextDecoder().decode(data["case.json"]));
    reports.push(await cunzhengVerifier.judgeCase(data, Date.parse(at)));
  }
  return reports;
}"""


def facts(report: Mapping[str, Any]) -> dict[str, Any]:
    """What both verifiers must say: everything but the order and the details of findings."""
    findings = {(finding["code"], finding["grade"], finding["sid"]) for finding in report["findings"]}
    return {"findings": findings, **{part: report[part] for part in ("verdict", "subject", "counts", "checks")}}


def differences(page: Page, cases: Sequence[Files]) -> list[tuple[int, dict[str, Any], dict[str, Any]]]:
    """Judge cases in the page and in Python; return those that differ."""
    page.goto(PAGE.as_uri())
    expect(page.locator("#check")).to_be_visible()
    found = []
    for start in range(0, len(cases), AT_ONCE):
        part = cases[start : start + AT_ONCE]
        sent = [{name: base64.b64encode(data).decode() for name, data in files.items()} for files in part]
        for at, (files, report) in enumerate(zip(part, page.evaluate(JUDGE, sent), strict=True)):
            theirs, ours = facts(report), facts(report_of(files).to_json())
            if theirs != ours or report["unable"]:
                found.append((start + at, theirs, ours))
    return found


def shown(jws: str, trust: bytes) -> Files:
    return {"statement.jws": jws.encode(), "trust.json": trust, "case.json": AT}


def test_payloads_of_every_kind_are_judged_alike(page: Page) -> None:
    """All roles belong to one key, so that nothing hides what is wrong in a payload."""
    everybody = world()
    roles = {"gateway", "technician", "responsible", "city", "province", "nation", "inspector", "registrar"}
    everybody.add_key("gateway", "GW-1", roles, plants={"P-1"}, alg="Ed25519")
    everybody.entries = everybody.entries[-1:]
    trust, cases = trust_json(everybody.trust()), []
    for payload in payload_mutations(700, "payloads"):
        kind = payload.get("kind")
        typ = f"ev-{kind}+jws" if isinstance(kind, str) else "ev-event+jws"
        try:
            cases.append(shown(forged(GATEWAY, jcs(payload), typ=typ), trust))
        except EvidenceError:
            continue  # no JSON of evidence: the corpus has those
    assert differences(page, cases) == []
    assert sum(report_of(case).verdict == "VALID" for case in cases) > 60


@pytest.mark.parametrize("alg", SIGNED)
def test_statements_changed_in_any_byte_or_field_are_judged_alike(page: Page, alg: str) -> None:
    trust = trust_json(world().trust())
    texts = [text for _, text in mutations(alg)][::3]
    assert differences(page, [shown(text, trust) for text in texts]) == []
    assert len(texts) > 200


def test_bundles_of_forged_worlds_are_judged_alike(page: Page) -> None:
    cases = bundle_mutations(120, "worlds")
    assert differences(page, cases) == []
    verdicts = [report_of(case).verdict.value for case in cases]
    assert {verdict: verdicts.count(verdict) > 2 for verdict in ("VALID", "INDETERMINATE", "INVALID")} == {
        "VALID": True,
        "INDETERMINATE": True,
        "INVALID": True,
    }


def test_points_are_judged_as_libsodium_judges_them(page: Page) -> None:
    """Keys with each bit of a good point flipped: about half are no point, the others mostly of mixed order."""
    value, cases = json.loads(trust_json(world().trust())), []
    for bit in range(0, 256, 3):
        raw = bytearray(SigningKey.from_seed(b"\x07" * 32).public.raw)
        raw[bit // 8] ^= 1 << bit % 8
        value["registry"]["keys"][0]["jwk"]["x"] = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
        cases.append({"trust.json": json.dumps(value).encode(), "case.json": AT})
    assert differences(page, cases) == []


def test_a_statement_longer_than_any_leaf_of_the_log_is_refused(page: Page) -> None:
    trust = trust_json(world().trust())
    texts = []
    for letters in (48_600, 48_800):
        texts.append(forged(TECHNICIAN, jcs({**EVENT, "data": {"x": "x" * letters}})))
    assert [len(text) > 65_535 for text in texts] == [False, True]
    assert differences(page, [shown(text, trust) for text in texts]) == []


def test_a_bundle_of_more_files_than_allowed_is_refused(page: Page) -> None:
    cases = []
    for count in (20_000, 20_001):
        members = [Member(f"readings/1-{number}.json", b"", 0) for number in range(count)]
        cases.append({"bundle.evb": zip_of(members), "trust.json": bare_trust(), "case.json": AT})
    assert differences(page, cases) == []
    assert [len(report_of(case).findings) == 1 for case in cases] == [False, True]
