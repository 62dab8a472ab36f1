"""Every text a person sees stands in both languages; codes have words; charts keep to their frame."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

import evidence
import webapp
from device_profiles.quality import Reason
from evidence.errors import Code
from evidence.reading import Flag
from evidence.totaliser import StepKind
from evidence.verdict import Verdict
from tests.webapp import views_world as world
from webapp import create_app
from webapp.charts import Point, line_chart
from webapp.forms import half_width
from webapp.month_rules import STATUSES
from webapp.translations_build import compiled_directory
from webapp.views import formats, month_words, wording
from webapp.views.reason_words import reason_words
from webapp.views.submitting import refusal_text

FOLDER = Path(webapp.__file__).parent
CATALOGUE = FOLDER / "translations" / "zh" / "LC_MESSAGES" / "messages.po"
KEYWORDS = {"_": None, "gettext": None, "lazy_gettext": None, "ngettext": (1, 2), "plural": (1, 2)}


def messages() -> set[str]:
    """All messages of templates and code."""
    found = extract_from_dir(
        FOLDER, method_map=[("**/templates/**.html", "jinja2"), ("**.py", "python")], keywords=KEYWORDS
    )
    return {message[0] if isinstance(message, tuple) else message for _, _, message, _, _ in found if message}


def test_every_message_is_translated() -> None:
    with CATALOGUE.open("rb") as file:
        catalogue = read_po(file, locale="zh")
    translated = {first(message.id): first(message.string) for message in catalogue if message.id}
    assert messages() - set(translated) == set()
    for source, words in translated.items():
        assert words, source
        assert sorted(re.findall(r"%\(\w+\)\w", source)) == sorted(re.findall(r"%\(\w+\)\w", words)), source


def first(texts: str | Sequence[str] | None) -> str:
    """A message, or the singular of one that has a plural."""
    return texts if isinstance(texts, str) else texts[0] if texts else ""


def test_templates_hold_no_bare_chinese() -> None:
    for path in (FOLDER / "templates").rglob("*.html"):
        bare = re.sub(r'<button name="lang".*?</button>', "", path.read_text(encoding="utf-8"))
        assert not re.search(r"[\u4e00-\u9fff]", bare), path


def test_catalogues_compile_beside_the_source_or_elsewhere(tmp_path: Path) -> None:
    source = tmp_path / "translations"
    target = source / "zh" / "LC_MESSAGES"
    target.mkdir(parents=True)
    (target / "messages.po").write_bytes(CATALOGUE.read_bytes())
    assert compiled_directory(source) == source
    compiled = target / "messages.mo"
    before = compiled.stat().st_mtime_ns
    assert compiled_directory(source) == source
    assert compiled.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("table", "codes"),
    [
        (wording.FLAGS, {flag.value for flag in Flag}),
        (formats.VERDICTS, {verdict.value for verdict in Verdict}),
        (month_words.STATES, {"open", *STATUSES}),
        (wording.DECISIONS, {"approve", "return", "reject", "query"}),
    ],
)
def test_every_code_has_a_word(table: dict[str, object], codes: set[str]) -> None:
    assert codes <= set(table)


def test_every_count_of_the_verifier_has_words() -> None:
    """Counts are written as `counts["…"]`; a new one needs words on the review page."""
    package = Path(evidence.__file__).parent
    counted = {
        name
        for path in package.glob("verify*.py")
        for name in re.findall(r'counts\["(\w+)"\]', path.read_text(encoding="utf-8"))
    }
    assert "hours" in counted
    assert counted <= set(formats.COUNTS)


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("１２３．４５０", "123.450"),
        (" 12.50 ", "12.50"),
        ("－３", "-3"),
        ("−3", "-3"),
        ("1。5", "1.5"),
        ("1,234", "1,234"),
        ("0.10", "0.10"),
        (None, ""),
    ],
)
def test_full_width_digits_become_ordinary_and_nothing_else(typed: str | None, kept: str) -> None:
    assert half_width(typed) == kept


def test_every_refusal_is_said_in_chinese(tmp_path: Path) -> None:
    center = world.copy_center(tmp_path)
    app = create_app(center.settings, center=center)
    with app.test_request_context("/", headers={"Cookie": "lang=zh"}):
        for code in Code:
            assert re.match(r"[\u4e00-\u9fff]", refusal_text(code.value, "detail")), code


REASONS_OF_GATEWAYS = (
    *(reason.value for reason in Reason if reason.value),
    *(f"Q31 {kind.value}" for kind in StepKind if kind not in (StepKind.NORMAL, StepKind.ERROR)),
    "no-connection",
    "timeout",
    "answer-mismatch",
    "exception-06",
    "older than the retention; logger says D",
    "Q03 time lies in the future",
    "Q04 impossible time",
    "Q15 above 99.5",
    "Q15 below -3",
    "Q15 number too long to record",
    "Q31 jump confirmed",
    "Q31 error: step from 12.5",
    "Q02 conflict with 5",
    "Q03 time lies in the future; Q05 device ahead by 900 s",
    "Q04 time goes back by 5 s",
    "Q04 time jumps by 150 s",
    "Q05 device behind or late by 61 s",
    "timeout; Q06 gap of 240 s",
    "Q13 no communication, yet a value of 0",
    "Q16 above the range of 25",
    "Q17 small negative, used as 0",
    "Q17 negative beyond drift of a range of 25",
    "Q18 the same value for 61 min",
    "Q28 out of control: not calibrated for 30 h",
    "Q28 out of control: the last calibration failed",
    "Q28 out of control: no passed calibration is known",
    "Q31 backstep: below 123456, nothing used",
    "Q31 error: step from 123456; Q31 with swapped words 123460",
    "Q34 identity changed without a maintenance record, from 41",
    "Q34 identity changed without a maintenance record, from serial A to B",
    "Q31 counted in fault: 2.5",
)


@pytest.mark.parametrize("reason", REASONS_OF_GATEWAYS)
def test_every_reason_of_a_mark_is_said_in_chinese(tmp_path: Path, reason: str) -> None:
    center = world.copy_center(tmp_path)
    app = create_app(center.settings, center=center)
    with app.test_request_context("/", headers={"Cookie": "lang=zh"}):
        words = reason_words(reason)
    assert re.search(r"[\u4e00-\u9fff]", words), reason
    assert "%" not in words
    number = re.search(r"-?\d+(\.\d+)?$", reason)
    assert number is None or number[0] in words or reason.startswith("exception")


def test_a_raw_text_breaks_at_its_marks_and_stays_harmless() -> None:
    assert str(formats.breakable("a=1:<b>")) == "a=<wbr>1:<wbr>&lt;b&gt;"


NOW = datetime(2026, 3, 2, tzinfo=UTC)
DAY = timedelta(days=1)


def chart(values: list[str | tuple[str, bool]]) -> str:
    """Draw values a quarter of an hour apart."""
    points = []
    for n, value in enumerate(values):
        text, accepted = value if isinstance(value, tuple) else (value, True)
        points.append(Point(time=NOW - DAY + n * timedelta(minutes=15), value=Decimal(text), accepted=accepted))
    return str(line_chart(points, start=NOW - DAY, end=NOW, zone=ZoneInfo("Asia/Shanghai"), label='a "b" <c>'))


@pytest.mark.parametrize("values", [[], ["5"], ["5", "5"], ["0", "0"], ["-3", "1e6"], ["0.0001", "0.0002"]])
def test_a_chart_is_drawn_for_any_values(values: list[str]) -> None:
    drawn = chart(list(values))
    assert drawn.startswith("<svg")
    for x, y in re.findall(r"([\d.-]+),([\d.-]+)", "".join(re.findall(r'points="([^"]*)"', drawn))):
        assert 0 <= float(x) <= 420
        assert 0 <= float(y) <= 170
    assert "a &#34;b&#34; &lt;c&gt;" in drawn


def test_a_flagged_value_is_marked_and_a_pause_is_not_bridged() -> None:
    drawn = chart(["1", "2", ("9", False), "3"])
    assert drawn.count('class="flagged"') == 1
    points = [
        Point(time=NOW - DAY + timedelta(minutes=minutes), value=Decimal(1)) for minutes in (0, 15, 30, 300, 315, 330)
    ]
    parts = str(line_chart(points, start=NOW - DAY, end=NOW, zone=ZoneInfo("UTC"), label="x"))
    assert parts.count("<polyline") == 2


def test_a_payload_is_shown_whole() -> None:
    payload = {"v": 1, "kind": "ledger", "zz": 1, "value": "1", "plant": "P"}
    assert sorted(formats.payload_order(payload)) == sorted(payload)
    assert formats.payload_order(payload)[-1] == "v"
