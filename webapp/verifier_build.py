"""Make the offline verifier, one HTML file, from the modules in ``webapp/verifier``.

``python -m webapp.verifier_build`` writes it anew.
The modules are joined, each in a scope of its own, without comments and white space; the words of codes and checks
come from the evidence package. Program and style are deflated into the page, whose policy names their digests, so that
a browser runs this program or none. What the page checks is the modules' business.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

from evidence.check_words import CHECK_WORDS
from evidence.code_words import CODE_WORDS
from webapp.verifier_text import shorter_program, shorter_style

SOURCE = Path(__file__).parent / "verifier"
PAGE = SOURCE / "verifier.html"
FIRST = SOURCE / "page.js"
WORDS, STYLE = SOURCE / "words.js", SOURCE / "style.js"
"""No files: their text is made from the evidence package and from the style sheet."""
_FOR_LESS = "."
"""Stands for the one sign of base85 that means something in HTML."""
_IMPORT = re.compile(r'^import \{([^}]*)\} from "([^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const) (\w+))", re.MULTILINE)


def program() -> str:
    """Join the modules, those that are needed first before those that need them.

    Raises:
        ValueError: modules import each other in a circle, or one imports what is not exported.
    """
    parts: dict[Path, str] = {}
    exported: dict[Path, list[str]] = {}

    def take(module: Path, above: tuple[Path, ...]) -> None:
        if module in above:
            raise ValueError(f"{module.name} imports itself through {', '.join(path.name for path in above)}")
        if module in parts:
            return
        text = _MADE[module]() if module in _MADE else module.read_text(encoding="utf-8")
        for names, place in _IMPORT.findall(text):
            other = (module.parent / place).resolve()
            take(other, (*above, module))
            missing = set(_split(names)) - set(exported[other])
            if missing:
                raise ValueError(f"{module.name} imports {missing} of {other.name}, which has no such export")
        exported[module] = _EXPORT.findall(text)
        body = _IMPORT.sub(lambda found: _use(module, found[1], found[2]), _EXPORT.sub("", text))
        given = f"return {{ {', '.join(exported[module])} }};\n" if exported[module] else ""
        parts[module] = f"const {_scope(module)} = (() => {{\n{body}{given}}})();\n"

    take(FIRST, ())
    return shorter_program("".join(parts.values()))


def build() -> str:
    """Return the page."""
    code = program()
    packing = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL + 1)
    deflated = packing.compress(code.encode()) + packing.flush()
    return _page(code, base64.b85encode(deflated).decode("ascii").replace("<", _FOR_LESS))


def is_built_from(page: str, code: str) -> bool:
    """Tell whether a page is what the modules make; another zlib may deflate them to other bytes."""
    packed = packed_in(page)
    return unpacked(packed) == code and page == _page(code, packed)


def packed_in(page: str) -> str:
    """Return the packed program of a page."""
    found = re.search(r'<script id="packed" type="text/plain">([^<]*)</script>', page)
    return found[1] if found else ""


def unpacked(packed: str) -> str:
    """Unpack a program."""
    return zlib.decompress(base64.b85decode(packed.replace(_FOR_LESS, "<")), -zlib.MAX_WBITS).decode()


def _page(code: str, packed: str) -> str:
    loader = shorter_program((SOURCE / "loader.js").read_text(encoding="utf-8"))
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_digest(loader)}' '{_digest(code)}'",
            f"style-src '{_digest(style())}'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    page = (SOURCE / "page.html").read_text(encoding="utf-8")
    for name, text in (("POLICY", policy), ("PACKED", packed), ("LOADER", loader)):
        page = page.replace(f"@{name}@", text)
    return page


def style() -> str:
    """Return the style sheet as the program puts it into the page."""
    return shorter_style((SOURCE / "page.css").read_text(encoding="utf-8"))


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"


def _words() -> str:
    tables = {"CHECK_WORDS": CHECK_WORDS, "CODE_WORDS": {code.value: words for code, words in CODE_WORDS.items()}}
    lines = [
        f"export const {name} = {json.dumps(dict(table), ensure_ascii=False)};\n" for name, table in tables.items()
    ]
    return "/* Words of evidence/code_words.py and evidence/check_words.py. */\n" + "".join(lines)


def _style_module() -> str:
    return f"export const STYLE = {json.dumps(style())};\n"


_MADE: Mapping[Path, Callable[[], str]] = {WORDS: _words, STYLE: _style_module}


def _split(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def _scope(module: Path) -> str:
    return "$" + re.sub(r"\W", "_", module.stem)


def _use(module: Path, names: str, place: str) -> str:
    return f"const {{ {', '.join(_split(names))} }} = {_scope((module.parent / place).resolve())};\n"


if __name__ == "__main__":
    PAGE.write_text(build(), encoding="utf-8")
    print(f"{PAGE}: {PAGE.stat().st_size} bytes")
