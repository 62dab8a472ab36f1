"""Makes the offline verifier's program and style shorter without changing what they mean: comments and white space go.

Reads JavaScript just far enough to know strings, templates and regular expressions from the rest. Names stay as they
are. That the result still does the same is shown by the tests that drive it over the conformance corpus.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""(?P<space>\s+|/\*(?:[^*]|\*(?!/))*\*/|//[^\n]*)|(?P<text>"(?:[^"\\\n]|\\.)*")|(?P<word>[\w$]+)|(?P<sign>\+\+|--|.)""",
    re.DOTALL,
)
_REGEX = re.compile(r"/(?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/[a-z]*")
_BEFORE_REGEX = frozenset("(,=:[!&|?{};>") | {"return", "typeof"}


def shorter_program(code: str) -> str:
    """Return a program of ES modules joined in functions, without comments and needless white space.

    Every statement must end in its semicolon: a line break says nothing any more.
    """
    parts: list[str] = []
    at = 0
    last = ""
    while at < len(code):
        piece, kind = _piece(code, at, last)
        at += len(piece)
        if kind == "space":
            continue
        if last and _would_join(last, piece):
            parts.append(" ")
        parts.append(_template(piece) if kind == "template" else piece)
        last = piece
    return "".join(parts)


def shorter_style(text: str) -> str:
    """Return a style sheet without comments and needless white space."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    text = re.sub(r"\s+", " ", text)
    return re.sub(r" ?([{};,>]) ?", r"\1", re.sub(r": ", ":", text)).replace(";}", "}").strip()


def _piece(code: str, at: int, last: str) -> tuple[str, str]:
    if code[at] == "`":
        return code[at : _end_of_template(code, at)], "template"
    if code[at] == "/" and code[at + 1] not in "/*" and (last in _BEFORE_REGEX or last[-1:] in _BEFORE_REGEX):
        found = _REGEX.match(code, at)
        assert found is not None, code[at : at + 40]
        return found[0], "regex"
    match = _TOKEN.match(code, at)
    assert match is not None  # any sign is a token
    return match[0], str(match.lastgroup)


def _end_of_template(code: str, at: int) -> int:
    """Return where a template literal ends; its expressions may hold braces and templates."""
    at += 1
    while code[at] != "`":
        if code.startswith("${", at):
            at = _end_of_expression(code, at + 2)
        else:
            at += 2 if code[at] == "\\" else 1
    return at + 1


def _end_of_expression(code: str, at: int) -> int:
    depth = 1
    while depth:
        if code[at] == "`":
            at = _end_of_template(code, at)
        elif code[at] == '"':
            found = _TOKEN.match(code, at)
            assert found is not None  # a text that ends
            at = found.end()
        else:
            depth += {"{": 1, "}": -1}.get(code[at], 0)
            at += 1
    return at


def _template(piece: str) -> str:
    """Shorten the expressions of a template; its text stays."""
    parts: list[str] = []
    at = 0
    while at < len(piece):
        if piece.startswith("${", at):
            end = _end_of_expression(piece, at + 2)
            parts.append("${" + shorter_program(piece[at + 2 : end - 1]) + "}")
        else:
            end = at + (2 if piece[at] == "\\" else 1)
            parts.append(piece[at:end])
        at = end
    return "".join(parts)


def _would_join(one: str, other: str) -> bool:
    """Tell whether two pieces side by side would become something else."""
    ends, begins = one[-1], other[0]
    return (bool(re.match(r"[\w$]", ends)) and bool(re.match(r"[\w$]", begins))) or (ends == begins and ends in "+-")
