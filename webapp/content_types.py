"""Media types told by content, not by name; everything else is not taken."""

from __future__ import annotations

import json

JSON, PDF, JPEG, PNG, ZIP, TEXT = (
    "application/json",
    "application/pdf",
    "image/jpeg",
    "image/png",
    "application/zip",
    "text/plain",
)
_STARTS = ((b"%PDF-", PDF), (b"\xff\xd8\xff", JPEG), (b"\x89PNG\r\n\x1a\n", PNG), (b"PK\x03\x04", ZIP))
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_ALSO = {ZIP: frozenset({ZIP, XLSX}), TEXT: frozenset({TEXT, "text/csv"})}


def told_by(data: bytes) -> str | None:
    """Tell the type of a content; None when it is none that is taken."""
    for start, type_ in _STARTS:
        if data.startswith(start):
            return type_
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        is_plain = all(character >= " " or character in "\r\n\t" for character in text)
        return TEXT if is_plain and not text.lstrip().startswith("<") else None
    return JSON


def is_claim_right(claimed: str, data: bytes) -> bool:
    """Tell whether a content is of the type that somebody says it is."""
    told = told_by(data)
    return told is not None and claimed in _ALSO.get(told, {told})
