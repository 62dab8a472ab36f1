"""`cunzheng compose` and `cunzheng calc` as a person calls them."""

from __future__ import annotations

import io
import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from signed_plant import PERSON_KEY, Chain, ledger, march, plan_bytes

from accounting.month import compose, subjects_of
from accounting.parameter_set import packaged_bytes
from accounting.recompute import recompute
from cunzheng.cli import cunzheng
from evidence.bundle import Bundle, read_bundle, write_bundle
from evidence.encoding import jcs, sha256_hex, unb64u
from evidence.keys import SigningKey
from evidence.note import sign_checkpoint
from evidence.receipt import Receipt
from evidence.statement import Statement, sign

PARAMETERS = packaged_bytes("cn-steel-2024")


def run(*arguments: str, input: str | None = None) -> Result:
    return CliRunner().invoke(cunzheng, list(arguments), input=input)


def declare(role: str, subjects: list[dict[str, Any]], after: str | None) -> Statement:
    payload = {"v": 1, "kind": "declare", "plant": "P-0001", "t": "2026-04-04T00:00:00.000Z", "role": role}
    return sign({**payload, "period": "2026-03", "rev": 1, "subjects": subjects, "after": after}, PERSON_KEY)


def packed(
    statements: list[Statement], body: bytes, *, late: list[Statement] | None = None, without: str = ""
) -> bytes:
    """A bundle with declarations and month over a body."""
    subjects = subjects_of(body, plan_bytes(), PARAMETERS, [])
    technician = declare("technician", subjects, None)
    responsible = declare("responsible", subjects, technician.sid)
    chain = Chain("GW-0009")
    cover = json.loads(body)["cover"]
    month = chain.month("2026-03", 1, cover, subjects, declared=(technician.sid, responsible.sid))
    everything = [*statements, technician, responsible, month, *(late or [])]
    content = {sha256_hex(data): data for data in (body, plan_bytes(), PARAMETERS)}
    if without:
        del content[next(one["sha256"] for one in subjects if one["name"] == without)]
    return write_bundle(Bundle(statements={one.sid: one.jws.encode("ascii") for one in everything}, content=content))


@pytest.fixture(scope="module")
def statements() -> list[Statement]:
    return march(hours=30)


@pytest.fixture(scope="module")
def body(statements: list[Statement]) -> bytes:
    return compose(plant="P-0001", period="2026-03", statements=statements, plan=plan_bytes(), parameters=PARAMETERS)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return tmp_path / "month.evb"


def test_compose_finds_the_same_bytes(statements: list[Statement], body: bytes, bundle: Path) -> None:
    bundle.write_bytes(packed(statements, body))
    out = bundle.with_suffix(".json")
    result = run("compose", str(bundle), "--out", str(out))
    assert result.exit_code == 0, result.output
    assert result.output.startswith("P-0001 2026-03 rev 1: same (Enterprise ")
    assert result.output.count("\n") == 1
    assert out.read_bytes() == body


def test_compose_speaks_chinese(statements: list[Statement], body: bytes, bundle: Path) -> None:
    bundle.write_bytes(packed(statements, body))
    assert "一致（全厂 " in run("--lang", "zh", "compose", str(bundle)).output


def test_compose_names_what_differs(statements: list[Statement], body: bytes, bundle: Path) -> None:
    forged = json.loads(body)
    forged["results"][0]["total"] = "1.00"
    bundle.write_bytes(packed(statements, jcs(forged)))
    result = run("compose", str(bundle), "--json")
    facts = json.loads(result.output)
    assert result.exit_code == 1
    assert facts["result"] == "differs"
    assert facts["differs_in"] == ["results"]
    assert "differs in results" in run("compose", str(bundle)).output


def test_value_captured_after_the_declaration_does_not_make_it_differ(
    statements: list[Statement], body: bytes, bundle: Path
) -> None:
    bundle.write_bytes(packed(statements, body, late=[ledger("scrap", "1", t="2026-04-09T00:00:00.000Z")]))
    assert run("compose", str(bundle)).exit_code == 0


def test_order_of_the_log_goes_before_the_clock(
    statements: list[Statement], body: bytes, bundle: Path, tmp_path: Path
) -> None:
    backdated = ledger("scrap", "1", t="2026-04-03T00:00:00.000Z")
    bundle.write_bytes(packed(statements, body, late=[backdated]))
    assert run("compose", str(bundle)).exit_code == 1
    without = read_bundle(io.BytesIO(bundle.read_bytes()))
    technician = next(sid for sid, jws in without.statements.items() if b'"technician"' in payload_of(jws))
    checkpoint = sign_checkpoint("log.example/evidence", 30, b"\0" * 32, SigningKey.from_seed(b"L" * 32))
    proofs = {
        sid: Receipt(index, (), checkpoint).to_text().encode() for sid, index in ((technician, 5), (backdated.sid, 6))
    }
    bundle.write_bytes(write_bundle(replace(without, proofs=proofs)))
    assert run("compose", str(bundle)).exit_code == 0
    bundle.write_bytes(write_bundle(replace(without, proofs={technician: b"no receipt"})))
    assert run("compose", str(bundle)).exit_code == 1


@pytest.mark.parametrize("name", ["body.json", "plan.json", "parameters.json"])
def test_compose_cannot_tell_without_contents(
    statements: list[Statement], body: bytes, bundle: Path, name: str
) -> None:
    bundle.write_bytes(packed(statements, body, without=name))
    result = run("compose", str(bundle))
    assert result.exit_code == 2
    assert f"{name} is not in the bundle" in result.stderr


def test_compose_cannot_tell_without_a_covered_segment(statements: list[Statement], body: bytes, bundle: Path) -> None:
    fewer = [one for one in statements if one.payload.get("seq") != 9]
    bundle.write_bytes(packed(fewer, body))
    result = run("compose", str(bundle))
    assert result.exit_code == 2
    assert "29 are at hand" in result.stderr


def test_compose_cannot_tell_without_a_month(statements: list[Statement], bundle: Path) -> None:
    bundle.write_bytes(write_bundle(Bundle(statements={one.sid: one.jws.encode() for one in statements})))
    assert run("compose", str(bundle)).exit_code == 2


def test_compose_refuses_what_is_no_bundle(bundle: Path) -> None:
    bundle.write_bytes(b"not a zip")
    result = run("compose", str(bundle))
    assert result.exit_code == 1
    assert "BUNDLE_FORMAT" in result.stderr
    assert run("compose", str(bundle) + ".missing").exit_code == 3


def test_compose_refuses_a_statement_under_another_name(statements: list[Statement], body: bytes, bundle: Path) -> None:
    bundle.write_bytes(write_bundle(Bundle(statements={"0" * 64: statements[0].jws.encode()})))
    result = run("compose", str(bundle))
    assert result.exit_code == 1
    assert "holds statement" in result.stderr


def payload_of(jws: bytes) -> bytes:
    return unb64u(jws.decode("ascii").split(".")[1])


EXAMPLES = re.compile(r"```json\n(?P<input>[^`]+)```\n\nResult: `(?P<result>[^`]+)`")


def examples() -> list[tuple[str, str]]:
    text = (Path(__file__).parents[2] / "docs" / "calc.md").read_text(encoding="utf-8")
    return [(match["input"], match["result"]) for match in EXAMPLES.finditer(text)]


@pytest.mark.parametrize(("example", "expected"), examples(), ids=lambda text: text[:40].replace("\n", " "))
def test_example_of_the_documentation_comes_out(example: str, expected: str) -> None:
    result = run("calc", "-", input=example)
    assert result.exit_code == 0, result.output
    [answer] = json.loads(result.output)["results"]
    value = answer["value"] if "value" in answer else answer["total"]
    assert f"{value} {answer['unit']}" == expected


def test_documentation_shows_every_formula_and_one_whole_output(root: Path) -> None:
    text = (root / "docs" / "calc.md").read_text(encoding="utf-8")
    shown = {json.loads(example)["formula"] for example, _ in examples()}
    assert shown == set(re.findall(r"^### `([^`]+)`", text, re.MULTILINE))
    match = re.search(r"```json\n(\{[^`]+)```\n\n```json output\n([^`]+)```", text)
    assert match is not None
    assert json.loads(run("calc", "-", "--json", input=match[1]).output) == json.loads(match[2])


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ("nonsense", "input: "),
        ('{"formula": "fuel.heat", "material": "mud", "FC": "1"}', "unknown material 'mud'"),
        ('{"formula": "fuel.heat", "material": "coke", "FC": {"value": "1", "unit": "stone"}}', "unknown unit 'stone'"),
    ],
)
def test_calc_refuses_a_wrong_input_in_one_line(request_: str, message: str) -> None:
    result = run("calc", "-", input=request_)
    assert result.exit_code == 3
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_calc_takes_a_set_from_a_file(tmp_path: Path) -> None:
    own = tmp_path / "own.json"
    own.write_bytes(PARAMETERS.replace(b'"value": "0.471"', b'"value": "0.476"'))
    request = '{"formula": "input.factor", "material": "dolomite", "AD": "100"}'
    answer = json.loads(run("calc", "-", "--parameters", str(own), input=request).output)
    assert answer["results"][0]["value"] == "47.60"


def test_recompute_tells_verify_what_follows_and_leaves_out_what_lacks_something(
    statements: list[Statement], body: bytes
) -> None:
    def found(data: bytes) -> list[tuple[bool, str]]:
        return [(one.same, one.detail) for one in recompute(read_bundle(io.BytesIO(data)))]

    assert found(packed(statements, body)) == [(True, "same")]
    assert found(packed(statements, body, without="plan.json")) == []
    forged = jcs({**json.loads(body), "period": "2026-02"})
    assert found(packed(statements, forged)) == [(False, "differs in period")]


def test_month_whose_plan_cannot_be_used_does_not_follow(
    statements: list[Statement], body: bytes, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "plan_bytes", lambda: b"{}")
    data = packed(statements, body)
    [one] = recompute(read_bundle(io.BytesIO(data)))
    assert not one.same
    assert "plan.json" in one.detail
    bundle.write_bytes(data)
    result = run("compose", str(bundle))
    assert result.exit_code == 1
    assert "plan.json" in result.stderr
