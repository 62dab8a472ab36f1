"""Media types told by content, not by name; everything else is not taken."""

from __future__ import annotations

import io
import json
import zipfile

JSON, PDF, JPEG, PNG, ZIP, TEXT, CSV = (
    "application/json",
    "application/pdf",
    "image/jpeg",
    "image/png",
    "application/zip",
    "text/plain",
    "text/csv",
)
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
MAX_UNPACKED = 200 * 1024 * 1024
"""Bytes a workbook may unpack to."""
_ALSO = {XLSX: frozenset({XLSX, ZIP}), CSV: frozenset({CSV, TEXT}), TEXT: frozenset({TEXT, CSV})}


def told_by(data: bytes) -> str | None:
    """Tell the type of a content; None when it is none that is taken."""
    if data.startswith(b"%PDF-"):
        return PDF if b"%%EOF" in data[-2048:] else None
    if data.startswith(b"\xff\xd8\xff"):
        return JPEG if data.rstrip(b"\0").endswith(b"\xff\xd9") else None
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return PNG if b"IEND" in data[-12:] else None
    if data.startswith(b"PK\x03\x04"):
        return _archive_type(data)
    return _text_type(data)


def is_claim_right(claimed: str, data: bytes) -> bool:
    """Tell whether a content is of the type that somebody says it is."""
    told = told_by(data)
    return told is not None and claimed in _ALSO.get(told, {told})


def _archive_type(data: bytes) -> str | None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return None
    names = {entry.filename for entry in entries}
    is_workbook = {"[Content_Types].xml", "xl/workbook.xml"} <= names
    has_macros = any(name.endswith("vbaProject.bin") for name in names)
    if sum(entry.file_size for entry in entries) > MAX_UNPACKED or (is_workbook and has_macros):
        return None
    return XLSX if is_workbook else ZIP


def _text_type(data: bytes) -> str | None:
    text = _decoded(data)
    if text is None or text.lstrip().startswith("<"):
        return None
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        start, first_line = text.lstrip()[:1], text.lstrip().split("\n", 1)[0]
        has_columns = start not in ("{", "%") and any(mark in first_line for mark in ",;\t")
        return CSV if has_columns else TEXT
    return JSON


def _decoded(data: bytes) -> str | None:
    """Read plain text, as UTF-8 or as Chinese office programs write it."""
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return text if all(character >= " " or character in "\r\n\t" for character in text) else None
    return None
