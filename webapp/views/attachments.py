"""Uploaded originals: which kinds are taken, told by their content and not by their name."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flask_babel import gettext as _

from webapp.content_types import CSV, JPEG, PDF, PNG, XLSX, told_by

MAX_BYTES = 10 * 1024 * 1024
_SUFFIXES = {PDF: "pdf", JPEG: "jpg", PNG: "png", XLSX: "xlsx", CSV: "csv"}
"""The kinds that are taken, and the ending that fits."""
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
    type_ = told_by(data)
    if type_ is None or type_ not in _SUFFIXES:
        raise AttachmentError(
            _("The file is none of PDF, JPG, PNG, XLSX, CSV, whatever its name says. Choose another one.")
        )
    return Attachment(_clean(name, type_), type_, data)


def _clean(name: str, type_: str) -> str:
    """Keep the name readable but harmless, with the ending that fits the content."""
    leaf = _BAD_NAME.sub("_", name.replace("\\", "/").rsplit("/", 1)[-1]).strip(" .")
    stem = leaf.rsplit(".", 1)[0] if "." in leaf else leaf
    return f"{(stem or 'file')[:MAX_NAME]}.{_SUFFIXES[type_]}"
