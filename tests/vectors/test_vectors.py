"""The conformance corpus: it follows from its source, our verifier answers it, and it names the codes it leaves out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from make_vectors import committed, stale
from vector_verifier import judged

from evidence.errors import Code
from evidence.verdict import Verdict

MOST_BYTES = 2_500_000
CORPUS = committed()
NO_CASE_YET = {
    Code.KEY_SUSPECT,
}
"""Codes that no case reaches. Take one out with the case that does; never put one in."""


def told(name: str) -> tuple[str, list[str]]:
    case = json.loads(CORPUS[name]["case.json"])
    return case["verdict"], case["codes"]


@pytest.mark.no_cover
def test_every_folder_follows_from_the_source() -> None:
    assert stale() == [], "run tests/vectors/make_vectors.py and look at what changed"


@pytest.mark.parametrize("name", CORPUS)
def test_our_verifier_gives_the_verdict_and_the_codes(name: str) -> None:
    assert judged(CORPUS[name]) == told(name)


def test_every_code_has_a_case_or_is_listed_here() -> None:
    reached = {Code(code) for name in CORPUS for code in told(name)[1]}
    assert set(Code) - reached == NO_CASE_YET


def test_every_verdict_has_a_case() -> None:
    assert {told(name)[0] for name in CORPUS} == {verdict.value for verdict in Verdict}


def test_the_corpus_is_small() -> None:
    assert sum(len(data) for files in CORPUS.values() for data in files.values()) < MOST_BYTES


def test_the_readme_names_every_area_and_every_kind_of_file(root: Path) -> None:
    text = (root / "tests" / "vectors" / "README.md").read_text(encoding="utf-8")
    named = {name.partition("/")[0] + "/" for name in CORPUS} | {file for files in CORPUS.values() for file in files}
    assert [name for name in sorted(named) if f"`{name}`" not in text] == []
