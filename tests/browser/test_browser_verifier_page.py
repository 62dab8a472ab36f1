"""The offline verifier page, opened from the disk: the answers of the Python verifier, in words, without network."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from make_vectors import FOLDER, committed
from playwright.sync_api import BrowserContext, Page, expect
from vector_verifier import report_of

from evidence.code_words import CODE_WORDS
from evidence.errors import Code
from evidence.verdict import Verdict
from webapp.verifier_build import PAGE

pytestmark = pytest.mark.browser
CORPUS = committed()
JUDGE = """async (cases) => {
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const reports = [];
  for (const { files, at } of cases) {
    const data = Object.fromEntries(Object.entries(files).map(([name, text]) => [name, bytes(text)]));
    reports.push(await cunzhengVerifier.judgeCase(data, Date.parse(at)));
  }
  return reports;
}"""
SIZES = {"desktop": (1280, 800), "tablet": (820, 1180), "phone": (390, 844)}
ANSWERS = {
    "bundle/honest": ("有效", "Valid"),
    "bundle/trust-expired": ("有效，但有提示", "Valid, with warnings"),
    "bundle/not-approved": ("无法判定", "Cannot be told"),
    "bundle/reading-edited": ("无效", "Invalid"),
    "container/bomb": ("无效", "Invalid"),
    "trust/key-of-order-8": ("无效", "Invalid"),
}


@pytest.fixture
def opened(new_context: Callable[..., BrowserContext]) -> Iterator[Callable[..., Page]]:
    """Open the page from the disk; whatever it asks the network for, or complains of, fails the test."""
    asked: list[str] = []
    complaints: list[str] = []

    def open_page(
        width: int = 1280, height: int = 800, *, at: str | None = None, script: str = "", **options: Any
    ) -> Page:
        context = new_context(width, height, **{"locale": "en-GB", "timezone_id": "America/New_York", **options})
        context.on("request", lambda request: asked.append(request.url))
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text))
        if at is not None:
            page.clock.set_fixed_time(at)
        if script:
            page.add_init_script(script)
        page.goto(PAGE.as_uri())
        expect(page.locator("#check")).to_be_visible()
        return page

    yield open_page
    assert [url for url in asked if url != PAGE.as_uri()] == []
    assert complaints == []


def case_of(name: str) -> dict[str, Any]:
    files = {file: base64.b64encode(data).decode() for file, data in CORPUS[name].items()}
    return {"files": files, "at": json.loads(CORPUS[name]["case.json"])["at"]}


def codes_of(findings: list[dict[str, Any]]) -> set[tuple[str, str, str | None]]:
    return {(finding["code"], finding["grade"], finding["sid"]) for finding in findings}


@pytest.mark.timeout(300)
def test_whole_corpus_gets_the_answers_of_the_python_verifier(opened: Callable[..., Page]) -> None:
    """Verdict and codes as the corpus says; statements, grades and counts of checks as the Python verifier has them."""
    reports = opened().evaluate(JUDGE, [case_of(name) for name in CORPUS])
    for name, report in zip(CORPUS, reports, strict=True):
        told, ours = json.loads(CORPUS[name]["case.json"]), report_of(CORPUS[name]).to_json()
        assert (report["verdict"], sorted({one["code"] for one in report["findings"]})) == (
            told["verdict"],
            told["codes"],
        ), (name, report)
        assert codes_of(report["findings"]) == codes_of(ours["findings"]), name
        assert report["unable"] is None, name
        for part in ("subject", "checks", "counts"):
            assert report[part] == ours[part], (name, part)
    assert len(reports) > 490


def choose(page: Page, name: str) -> None:
    """Choose the files of a case by the real file chooser; a case of a trust file alone gets an honest bundle."""
    folder = FOLDER / name
    bundle = folder / "bundle.evb"
    for label, path in (
        ("Bundle", bundle if bundle.exists() else FOLDER / "bundle" / "honest" / "bundle.evb"),
        ("Trust file", folder / "trust.json"),
    ):
        with page.expect_file_chooser() as chooser:
            page.get_by_label(label).click()
        chooser.value.set_files(path)
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.locator("#answer")).to_be_focused()


@pytest.mark.parametrize("name", ANSWERS)
def test_chosen_files_are_answered_in_both_languages(opened: Callable[..., Page], name: str) -> None:
    told = json.loads(CORPUS[name]["case.json"])
    page = opened(at=told["at"])
    choose(page, name)
    zh, en = ANSWERS[name]
    expect(page.locator("#answer")).to_have_text(f"{page.locator('#answer .mark').inner_text()}{en}")
    expect(page.get_by_role("status")).to_contain_text(en)
    assert page.locator(".findings code").all_inner_texts() == told["codes"]
    for code in told["codes"]:
        expect(page.locator(".findings")).to_contain_text(CODE_WORDS[Code(code)][1])
    page.get_by_role("button", name="中文").click()
    expect(page.locator("#answer")).to_contain_text(zh)
    for code in told["codes"]:
        expect(page.locator(".findings")).to_contain_text(CODE_WORDS[Code(code)][0])
    assert page.evaluate("document.documentElement.lang") == "zh-CN"


def test_an_answer_shows_what_it_is_about_and_counts_its_checks(opened: Callable[..., Page]) -> None:
    page = opened(at="2026-04-05T00:00:00.000Z")
    choose(page, "bundle/honest")
    about = page.locator("dl").inner_text()
    for part in ("P-1", "2026-03", "approved", "bundle.evb", "2026-04-05T00:00:00.000Z"):
        assert part in about
    ours = report_of(CORPUS["bundle/honest"]).checks
    rows = [row.inner_text().split("\t") for row in page.locator("tbody tr").all()]
    assert [(int(passed), int(failed)) for _, passed, failed in rows] == [(one.passed, one.failed) for one in ours]
    expect(page.get_by_text("What this page does not tell")).to_be_visible()


def test_files_that_are_dropped_are_checked(opened: Callable[..., Page]) -> None:
    page = opened(at="2026-04-05T00:00:00.000Z")
    files = {name: base64.b64encode(CORPUS["bundle/honest"][name]).decode() for name in ("bundle.evb", "trust.json")}
    page.evaluate(
        """(files) => {
          const dropped = new DataTransfer();
          for (const [name, text] of Object.entries(files)) {
            dropped.items.add(new File([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))], name));
          }
          document.dispatchEvent(new DragEvent("drop", { dataTransfer: dropped, bubbles: true, cancelable: true }));
        }""",
        files,
    )
    expect(page.locator("#answer")).to_contain_text("Valid")


def test_a_missing_file_is_asked_for_by_name(opened: Callable[..., Page]) -> None:
    page = opened()
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.get_by_role("status")).to_have_text("Please choose first: Bundle (.evb), Trust file (trust.json)")
    expect(page.get_by_label("Bundle")).to_be_focused()


WITHOUT_ED25519 = """
const imported = crypto.subtle.importKey.bind(crypto.subtle);
crypto.subtle.importKey = async (form, key, way, ...rest) => {
  if (way.name === "Ed25519") throw new DOMException("Unrecognized name", "NotSupportedError");
  return imported(form, key, way, ...rest);
};
"""
WITHOUT_CRYPTO = 'Object.defineProperty(globalThis, "crypto", { value: undefined });'


@pytest.mark.parametrize(
    ("lacks", "words"), [(WITHOUT_ED25519, "lacks Ed25519"), (WITHOUT_CRYPTO, "offers no checking of signatures")]
)
def test_a_browser_that_cannot_check_says_so_and_never_valid(
    opened: Callable[..., Page], lacks: str, words: str
) -> None:
    page = opened(at="2026-04-05T00:00:00.000Z", script=lacks)
    (report,) = page.evaluate(JUDGE, [case_of("bundle/honest")])
    assert report["verdict"] == Verdict.INDETERMINATE
    choose(page, "bundle/honest")
    expect(page.locator("#answer")).to_contain_text("Cannot be told")
    expect(page.locator("#report .answer")).to_contain_text(words)


def test_a_browser_that_is_too_old_says_so(new_context: Callable[..., BrowserContext]) -> None:
    page = new_context().new_page()
    page.add_init_script("delete globalThis.DecompressionStream;")
    page.goto(PAGE.as_uri())
    expect(page.get_by_role("alert")).to_contain_text("too old to check anything")
    expect(page.get_by_role("alert")).to_contain_text("此浏览器太旧")
    expect(page.locator("#check")).to_be_hidden()


LOADED = "await new Promise((yes, no) => {{ Object.assign({element}, {{ onload: yes, onerror: no }}).src = '{url}'; }})"
ELSEWHERE = "https://example.com/x"
REACHES = {
    "fetch": f"await fetch('{ELSEWHERE}')",
    "fetch of data": "await fetch('data:text/plain,x')",
    "image": LOADED.format(element="new Image()", url=ELSEWHERE),
    "frame": "document.body.append(Object.assign(document.createElement('iframe'), { src: 'data:text/html,x' })); "
    "await new Promise((yes, no) => { document.onsecuritypolicyviolation = no; setTimeout(yes, 3000); })",
    "script": "const made = document.createElement('script'); document.head.append(made); "
    + LOADED.format(element="made", url=ELSEWHERE),
    "inline script": "const made = document.createElement('script'); made.textContent = 'globalThis.ran = 1'; "
    "document.head.append(made); if (!globalThis.ran) throw new Error('refused')",
    "request": "await new Promise((yes, no) => { const request = new XMLHttpRequest(); "
    f"Object.assign(request, {{ onload: yes, onerror: no }}).open('GET', '{ELSEWHERE}'); request.send(); }})",
    "style": "const made = document.createElement('style'); made.textContent = 'body { color: red }'; "
    "document.head.append(made); "
    "if (getComputedStyle(document.body).color !== 'rgb(255, 0, 0)') throw new Error('refused')",
    "worker": "new Worker(URL.createObjectURL(new Blob(['']))); "
    "await new Promise((yes, no) => { document.onsecuritypolicyviolation = no; setTimeout(yes, 3000); })",
}


@pytest.mark.parametrize("reach", REACHES)
def test_the_policy_lets_nothing_out_and_no_other_program_in(
    new_context: Callable[..., BrowserContext], reach: str
) -> None:
    context = new_context()
    sent: list[str] = []
    page = context.new_page()
    page.goto(PAGE.as_uri())
    context.on("requestfinished", lambda request: sent.append(request.url))
    assert (
        page.evaluate(f"async () => {{ try {{ {REACHES[reach]}; return 'done'; }} catch {{ return 'refused'; }} }}")
        == "refused"
    )
    assert sent == []


def test_a_program_that_was_changed_does_not_run(new_context: Callable[..., BrowserContext], tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    changed = tmp_path / "verifier.html"
    changed.write_text(
        text.replace("document.body.append(program)", "program.textContent+=' ';document.body.append(program)")
    )
    page = new_context().new_page()
    page.goto(changed.as_uri())
    page.wait_for_load_state()
    expect(page.locator("#check")).to_be_hidden()
    assert page.evaluate("typeof cunzhengVerifier") == "undefined"


def test_the_page_works_by_keyboard_alone(opened: Callable[..., Page]) -> None:
    page = opened(at="2026-04-05T00:00:00.000Z")
    order = []
    for _ in range(5):
        page.keyboard.press("Tab")
        order.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert order == ["中文", "English", "bundle", "trust", "check"]
    for field in ("bundle", "trust"):
        page.locator(f"#{field}").focus()
        with page.expect_file_chooser() as chooser:
            page.keyboard.press("Space")
        chooser.value.set_files(FOLDER / "bundle" / "honest" / {"bundle": "bundle.evb", "trust": "trust.json"}[field])
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#answer")).to_be_focused()
    expect(page.locator("#answer")).to_contain_text("Valid")


CONTRASTS = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const linear = (part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => [r, g, b].map((part) => linear(part / 255))
    .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const hasText = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!hasText || !element.checkVisibility() || element.tagName === "SCRIPT") continue;
    const [one, other] = [light(parse(getComputedStyle(element).color)), light(ground(element))].sort((a, b) => b - a);
    found.push([(one + 0.05) / (other + 0.05), element.tagName, element.textContent.trim().slice(0, 30)]);
  }
  return found.sort((a, b) => a[0] - b[0]);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["bundle/honest", "bundle/trust-expired", "bundle/segment-dropped"])
def test_every_text_has_a_contrast_of_seven_to_one(opened: Callable[..., Page], scheme: str, name: str) -> None:
    page = opened(at=json.loads(CORPUS[name]["case.json"])["at"], color_scheme=scheme)
    choose(page, name)
    for summary in page.locator("summary").all():
        summary.click()
    found = page.evaluate(CONTRASTS)
    assert found[0][0] >= 7, found[:3]
    assert len(found) > 40


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("language", ["zh-CN", "en-GB"])
def test_the_page_fits_and_its_targets_are_large(opened: Callable[..., Page], size: str, language: str) -> None:
    page = opened(*SIZES[size], at="2026-04-05T00:00:00.000Z", locale="en-GB")
    choose(page, "bundle/segment-dropped")
    page.get_by_role("button", name={"zh-CN": "中文", "en-GB": "English"}[language]).click()
    for summary in page.locator("summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for target in page.locator("button, input, summary").all():
        box = target.bounding_box()
        assert box is not None
        assert box["height"] >= 48, target.inner_text()
    empty = page.evaluate("[...document.querySelectorAll('[data-word]')].filter((part) => !part.textContent).length")
    assert empty == 0


def test_a_reader_hears_names_of_everything(opened: Callable[..., Page]) -> None:
    page = opened(at="2026-04-05T00:00:00.000Z")
    choose(page, "bundle/segment-dropped")
    tree = page.locator("body").aria_snapshot()
    for part in (
        'button "Choose File"' if 'button "Choose File"' in tree else 'button "Bundle (.evb)"',
        "status:",
        'heading "Invalid" [level=2]',
        'rowheader "signatures"',
        'columnheader "Passed"',
        'group "语言 Language"',
    ):
        assert part in tree, tree
