"""Uploaded originals: which kinds are taken, told by their content and not by their name."""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import dataclass

from flask_babel import gettext as _

MAX_BYTES = 10 * 1024 * 1024
MAX_UNPACKED = 200 * 1024 * 1024
"""Bytes a workbook may unpack to."""
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_SUFFIXES = {"application/pdf": "pdf", "image/jpeg": "jpg", "image/png": "png", XLSX: "xlsx", "text/csv": "csv"}
_BAD_NAME = re.compile(r"[/\\\x00-\x1f\x7f]")
MAX_NAME = 120


class AttachmentError(ValueError):
    """The file is not taken; the message says what to do, in the reader's language."""


@dataclass(frozen=True)
class Attachment:
    """A file that is taken: cleaned name, media type by content, bytes."""

    name: str
    type: str
    data: bytes


def accept(name: str, data: bytes) -> Attachment:
    """Check an upload.

    Raises:
        AttachmentError: it is empty, too large, or of another kind.
    """
    if not data:
        raise AttachmentError(_("The file is empty. Choose another one."))
    if len(data) > MAX_BYTES:
        raise AttachmentError(_("The file is larger than %(mb)s MB. Make it smaller.", mb=MAX_BYTES // 2**20))
    type_ = media_type(data)
    if type_ is None:
        raise AttachmentError(
            _("The file is none of PDF, JPG, PNG, XLSX, CSV, whatever its name says. Choose another one.")
        )
    return Attachment(_clean(name, type_), type_, data)


def media_type(data: bytes) -> str | None:
    """Tell the kind of a file by its content; None for a kind that is not taken."""
    if data.startswith(b"%PDF-") and b"%%EOF" in data[-2048:]:
        return "application/pdf"
    if data.startswith(b"\xff\xd8\xff") and data.rstrip(b"\0").endswith(b"\xff\xd9"):
        return "image/jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n") and b"IEND" in data[-12:]:
        return "image/png"
    if data.startswith(b"PK\x03\x04"):
        return XLSX if _is_workbook(data) else None
    return "text/csv" if _is_table_text(data) else None


def _is_workbook(data: bytes) -> bool:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return False
    names = {entry.filename for entry in entries}
    if sum(entry.file_size for entry in entries) > MAX_UNPACKED:
        return False
    has_macros = any(name.endswith("vbaProject.bin") for name in names)
    return {"[Content_Types].xml", "xl/workbook.xml"} <= names and not has_macros


def _is_table_text(data: bytes) -> bool:
    if b"\0" in data:
        return False
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        start = text.lstrip()[:1]
        first_line = text.lstrip().split("\n", 1)[0]
        return start not in ("<", "{", "%") and any(mark in first_line for mark in ",;\t")
    return False


def _clean(name: str, type_: str) -> str:
    """Keep the name readable but harmless, with the ending that fits the content."""
    leaf = _BAD_NAME.sub("_", name.replace("\\", "/").rsplit("/", 1)[-1]).strip(" .")
    stem = leaf.rsplit(".", 1)[0] if "." in leaf else leaf
    return f"{(stem or 'file')[:MAX_NAME]}.{_SUFFIXES[type_]}"
