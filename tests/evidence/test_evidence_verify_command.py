"""`cunzheng verify`: a person's answer first, the checks with their counts, findings in words; exit codes; JSON."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from evidence_world import World, indexed

from cunzheng.cli import cunzheng
from evidence.bundle import Bundle, write_bundle
from evidence.check_words import CHECK_WORDS
from evidence.encoding import jcs
from evidence.errors import Code
from evidence.trust import Trust


@pytest.fixture(autouse=True)
def _nothing_imported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CUNZHENG_TRUST_DIR", str(tmp_path / "no trust"))
    monkeypatch.delenv("CUNZHENG_TRUST", raising=False)


@pytest.fixture
def fresh(approved: World) -> Trust:
    """A trust file that is good today."""
    now = datetime.now(UTC).replace(microsecond=0)
    return approved.trust(issued=now, expires=now + timedelta(days=7))


def run(folder: Path, bundle: Bundle | bytes, trust: Trust | None, *options: str, lang: str = "en") -> Result:
    file = folder / "month.evb"
    file.write_bytes(bundle if isinstance(bundle, bytes) else write_bundle(bundle))
    if trust is not None:
        (folder / "trust.json").write_bytes(jcs(trust.to_json()))
    return CliRunner().invoke(cunzheng, ["--lang", lang, "verify", str(file), *options])


ANSWERS = {
    "VALID": (0, "valid: every check passed", "有效：全部检查通过"),
    "VALID_WITH_WARNINGS": (0, "valid, with the warnings below", "有效，但有下列提示"),
    "INDETERMINATE": (2, "cannot be told", "无法判定"),
    "INVALID": (1, "not valid: at least one check failed", "无效：至少一项检查不通过"),
}


def staged(verdict: str, world: World, trust: Trust) -> tuple[Bundle, Trust]:
    bundle = world.pack()
    if verdict == "VALID_WITH_WARNINGS":
        return bundle, replace(trust, expires=trust.issued - timedelta(days=2), issued=trust.issued - timedelta(days=9))
    if verdict == "INDETERMINATE":
        proofs = dict(bundle.proofs)
        proofs.popitem()
        return indexed(replace(bundle, proofs=proofs)), trust
    if verdict == "INVALID":
        content = {name: data + b" " for name, data in bundle.content.items()}
        return indexed(replace(bundle, content=content)), trust
    return bundle, trust


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize("verdict", list(ANSWERS))
def test_answer_comes_first_and_the_exit_code_says_the_same(
    approved: World, fresh: Trust, tmp_path: Path, verdict: str, lang: str
) -> None:
    bundle, trust = staged(verdict, approved, fresh)
    done = run(tmp_path, bundle, trust, lang=lang)
    code, en, zh = ANSWERS[verdict]
    first, second, *rest = done.stdout.splitlines()
    assert done.exit_code == code
    assert first.startswith(f"{verdict}  ")
    assert (zh if lang == "zh" else en) in first
    assert "P-1" in first
    assert "2026-03" in first
    assert str(len(approved.log)) in second
    assert f"{trust.issued:%Y-%m-%dT%H:%M:%S}.000Z" in second
    shown = [line for line in rest if line.startswith(("  ✓", "  ✗"))]
    assert len(shown) >= 18
    assert any(line.startswith("  ✗") for line in shown) == (verdict in ("INVALID", "INDETERMINATE"))


def test_every_check_says_how_many_things_passed(approved: World, fresh: Trust, tmp_path: Path) -> None:
    bundle = approved.pack(tiles=(approved.tile(0),))
    done = run(tmp_path, bundle, fresh)
    lines = done.stdout.splitlines()
    said = {line[4:].rsplit("  ", 1)[0].strip(): line.rsplit(" ", 1)[1] for line in lines if line.startswith("  ✓")}
    assert said["signatures"] == f"{len(approved.log)}/{len(approved.log)}"
    assert said["receipts: in the log"] == said["signatures"]
    assert said["disclosed readings lead to the signed root"] == "18/18"
    assert said["segments recomputed from their readings"] == "4/4"
    assert said["declarations by two people"] == "2/2"
    assert "nothing in the bundle to check: body recomputed" in done.stdout


def test_what_the_bundle_gives_nothing_to_check_for_is_said(approved: World, fresh: Trust, tmp_path: Path) -> None:
    said = run(tmp_path, approved.pack(readings=()), fresh).stdout
    assert "nothing in the bundle to check: disclosed readings" in said
    assert "raw tiles" in said


def test_findings_are_worded_grouped_and_the_worst_comes_first(approved: World, fresh: Trust, tmp_path: Path) -> None:
    bundle = approved.pack()
    proofs = {sid: data.replace(b"index ", b"index  ") for sid, data in bundle.proofs.items()}
    first = sorted(proofs)[0]
    del proofs[first]
    done = run(tmp_path, indexed(replace(bundle, proofs=proofs)), fresh, lang="en")
    lines = done.stdout.splitlines()
    start = lines.index("what did not pass, or needs attention:")
    assert lines[start + 1].startswith(f"  INVALID  CHECKPOINT_FORMAT ×{len(proofs)}: A receipt or checkpoint")
    assert f"      … and {len(proofs) - 3} more, see --json" in lines
    grades = [line.split()[0] for line in lines[start + 1 :] if line.startswith("  I")]
    assert grades == sorted(grades, key=["INVALID", "INDETERMINATE"].index)


def test_json_has_everything_for_machines(approved: World, fresh: Trust, tmp_path: Path) -> None:
    bundle, trust = staged("INVALID", approved, fresh)
    done = run(tmp_path, bundle, trust, "--json")
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["verdict"] == "INVALID"
    assert report["subject"]["period"] == "2026-03"
    assert set(report["trust"]) >= {"issued", "log_size", "proven"}
    assert {finding["code"] for finding in report["findings"]} <= set(Code)
    checks = {check["name"]: (check["passed"], check["failed"]) for check in report["checks"]}
    assert list(checks) == [name for name in CHECK_WORDS if name in checks]
    assert checks["content"] == (0, len(bundle.content))
    assert checks["signature"] == (len(approved.log), 0)


@pytest.mark.parametrize("data", [b"", b"no zip", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_bundle_is_invalid(approved: World, fresh: Trust, tmp_path: Path, data: bytes) -> None:
    done = run(tmp_path, data, fresh)
    assert done.exit_code == 1
    assert done.stdout.startswith("INVALID  ")
    assert "BUNDLE_FORMAT: The bundle is not of the prescribed form" in done.stdout


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize("trust", [None, b"{}", b"[]", b"\xff", b'{"v":1}'])
def test_trust_file_that_is_missing_or_none_is_misuse(
    approved: World, tmp_path: Path, trust: bytes | None, lang: str
) -> None:
    if trust is not None:
        (tmp_path / "trust.json").write_bytes(trust)
    done = run(tmp_path, approved.pack(), None, lang=lang)
    assert done.exit_code == 3
    assert "trust.json" in done.stderr
    assert done.stdout == ""


def test_bundle_that_cannot_be_read_is_misuse(approved: World, fresh: Trust, tmp_path: Path) -> None:
    (tmp_path / "trust.json").write_bytes(jcs(fresh.to_json()))
    done = CliRunner().invoke(cunzheng, ["--lang", "en", "verify", str(tmp_path / "none.evb")])
    assert done.exit_code == 3
    assert "none.evb" in done.stderr
