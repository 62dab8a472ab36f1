"""Chinese texts keep Chinese punctuation and one word for one thing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

CJK = r"[\u4e00-\u9fff]"
HALF_WIDTH = re.compile(rf"{CJK}[,;:()?!]|[,;:()?!]{CJK}")
OTHER_WORDS = {"工厂": "企业", "注册": "登记"}
ADDRESS_FORM = "表:地址"
"""A form of address as it is typed at the command line."""


def chinese_texts(root: Path) -> Iterator[tuple[str, str]]:
    """Give the Chinese string constants of the programs, and the lines of the Chinese pages."""
    for folder in ("cunzheng", "webapp"):
        for path in sorted((root / folder).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            docs = {node.body[0].value for node in ast.walk(tree) if _has_docstring(node)}  # type: ignore[attr-defined]
            for node in ast.walk(tree):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docs:
                    yield f"{path.name}:{node.lineno}", node.value
    for name in ("README.zh-CN.md",):
        for number, line in enumerate((root / name).read_text(encoding="utf-8").splitlines(), start=1):
            yield f"{name}:{number}", re.sub(r"`[^`]*`|\]\([^)]*\)", "", line)
    catalogue = root / "webapp" / "translations" / "zh" / "LC_MESSAGES" / "messages.po"
    for number, line in enumerate(catalogue.read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith("msgstr"):
            yield f"messages.po:{number}", line


def _has_docstring(node: ast.AST) -> bool:
    is_holder = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
    return is_holder and bool(node.body) and isinstance(node.body[0], ast.Expr)  # type: ignore[attr-defined]


def test_chinese_sentences_have_full_width_punctuation(root: Path) -> None:
    wrong = [
        (where, found[0])
        for where, text in chinese_texts(root)
        if (found := HALF_WIDTH.search(text.replace(ADDRESS_FORM, ""))) is not None
    ]
    assert wrong == []


@pytest.mark.parametrize("word", sorted(OTHER_WORDS))
def test_one_thing_has_one_chinese_word(root: Path, word: str) -> None:
    assert [where for where, text in chinese_texts(root) if word in text] == [], f"write {OTHER_WORDS[word]}"
