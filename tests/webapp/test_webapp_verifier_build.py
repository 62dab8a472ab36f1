"""The offline verifier is one small file that follows from its modules, and its policy names what runs in it."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest

from webapp import verifier_build
from webapp.verifier_build import PAGE, build, is_built_from, packed_in, program, style, unpacked
from webapp.verifier_text import shorter_program, shorter_style

MOST_BYTES = 60_000


def test_the_page_is_what_its_modules_make() -> None:
    assert is_built_from(PAGE.read_text(encoding="utf-8"), program()), "run python -m webapp.verifier_build"


def test_the_page_is_small() -> None:
    assert PAGE.stat().st_size <= MOST_BYTES


def test_the_policy_forbids_the_network_and_names_the_digest_of_all_that_runs() -> None:
    page = PAGE.read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    rules = dict(rule.split(" ", 1) for rule in policy[1].split("; "))
    assert rules["default-src"] == "'none'"
    assert set(rules) == {"default-src", "script-src", "style-src", "base-uri", "form-action"}
    (loader,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert "<style" not in page
    assert rules["style-src"] == digest(style())
    assert rules["script-src"] == f"{digest(loader)} {digest(unpacked(packed_in(page)))}"


def digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_the_page_names_no_address_and_holds_nothing_of_others() -> None:
    page, code = PAGE.read_text(encoding="utf-8"), program()
    assert re.findall(r"https?://[^\s\"']+", page + code) == []
    assert re.findall(r"\b(?:eval|Function|innerHTML|outerHTML|insertAdjacentHTML|document\.write)\b", code) == []
    assert not re.search(r"\b(?:src|href)=", page)


def test_a_page_that_was_changed_is_seen() -> None:
    page, code = build(), program()
    assert is_built_from(page, code)
    assert not is_built_from(page.replace("<main>", "<main hidden>", 1), code)
    assert not is_built_from(page, code + " ")


MODULES = {
    "page.js": 'import { one } from "./one.js";\none();\n',
    "one.js": "/* One. */\n\n// why\nexport function one() {}\n",
    "page.css": "b { }",
    "loader.js": "run();",
    "page.html": "@POLICY@ @STYLE@ @PACKED@ @LOADER@",
}


@pytest.mark.parametrize(
    ("module", "text", "words"),
    [
        ("one.js", 'import { two } from "./page.js";\nexport function one() {}\n', "imports itself"),
        ("one.js", "function one() {}\n", "has no such export"),
    ],
)
def test_modules_that_do_not_fit_together_are_not_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, module: str, text: str, words: str
) -> None:
    for name, source in {**MODULES, module: text}.items():
        (tmp_path / name).write_text(source)
    monkeypatch.setattr(verifier_build, "FIRST", tmp_path / "page.js")
    with pytest.raises(ValueError, match=words):
        program()


def test_modules_are_joined_in_the_order_of_need_without_their_comments(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, source in MODULES.items():
        (tmp_path / name).write_text(source)
    monkeypatch.setattr(verifier_build, "FIRST", tmp_path / "page.js")
    assert program() == (
        "const $one=(()=>{function one(){}return{one};})();const $page=(()=>{const{one}=$one;one();})();"
    )


@pytest.mark.parametrize(
    ("code", "shorter"),
    [
        ("const a = 1; // why\n/* and */ return  a;", "const a=1;return a;"),
        ('const text = "a  // b";', 'const text="a  // b";'),
        ("x + +y; x - -y; x++ + y;", "x+ +y;x- -y;x++ +y;"),
        ("const found = /[/ ]\\/ +/y.exec(text) / 2;", "const found=/[/ ]\\/ +/y.exec(text)/2;"),
        ('`a  b ${ one ( `c  ${ d }` ) + "}  " }  e`;', '`a  b ${one(`c  ${d}`)+"}  "}  e`;'),
        ("`\\`  ${ { a: 1 }.a }`", "`\\`  ${{a:1}.a}`"),
        ("for (const one of [ 1 ]) if (one in two) typeof  one;", "for(const one of[1])if(one in two)typeof one;"),
    ],
)
def test_white_space_and_comments_go_and_nothing_else(code: str, shorter: str) -> None:
    assert shorter_program(code) == shorter
    assert shorter_program(shorter) == shorter


def test_a_style_sheet_keeps_its_meaning() -> None:
    text = (
        "/* x */\na > b, c { margin: -1px auto 0; width: calc(1rem - 2px); }\n@media (hover: none) { p { top: 0; } }\n"
    )
    assert shorter_style(text) == "a>b,c{margin:-1px auto 0;width:calc(1rem - 2px)}@media (hover:none){p{top:0}}"
