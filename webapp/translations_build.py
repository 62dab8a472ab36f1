"""Compile the message catalogues before the first page needs them.

The repository carries ``.po`` only. The source language of the templates is English; ``zh`` is the catalogue. Choosing
the language of a request is left to ``views``.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

SOURCE = Path(__file__).parent / "translations"


def compiled_directory(source: Path = SOURCE) -> Path:
    """Return a directory with fresh ``.mo`` files: ``source`` itself, or a private copy where it is read-only."""
    try:
        _compile_all(source, source)
        return source
    except OSError:
        copy = Path(tempfile.mkdtemp(prefix="cunzheng-translations-"))
        _compile_all(source, copy)
        return copy


def _compile_all(source: Path, target: Path) -> None:
    for catalogue in sorted(source.glob("*/LC_MESSAGES/*.po")):
        compiled = (target / catalogue.relative_to(source)).with_suffix(".mo")
        if not compiled.exists() or compiled.stat().st_mtime_ns < catalogue.stat().st_mtime_ns:
            compiled.parent.mkdir(parents=True, exist_ok=True)
            _compile(catalogue, compiled)


def _compile(catalogue: Path, compiled: Path) -> None:
    with catalogue.open("rb") as file:
        messages = read_po(file, locale=catalogue.parent.parent.name)
    # Several workers may start at once: each writes its own file and renames it into place.
    handle, name = tempfile.mkstemp(dir=compiled.parent, suffix=".tmp")
    with os.fdopen(handle, "wb") as file:
        write_mo(file, messages)
    os.replace(name, compiled)
