"""Asks a time-stamping authority for a stamp over the newest checkpoint, checks it, and keeps it.

Runs by itself, from a timer, never while anybody waits: an authority that is slow or away delays nothing. What is
stamped is the checkpoint's text without signatures (`evidence/stamp.py`).
"""

from __future__ import annotations

import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPException

from evidence.encoding import time_text
from evidence.errors import EvidenceError
from evidence.stamp import MAX_BYTES, StampLibraryMissingError, check_authority, stamp_request, stamped_at
from webapp import store_log, store_stamps
from webapp.center import Center
from webapp.errors import CenterError
from webapp.settings import TsaSettings

_REQUEST_TYPE, _REPLY_TYPE = "application/timestamp-query", "application/timestamp-reply"


@dataclass(frozen=True)
class Stamped:
    """The checkpoint that bears a stamp, and when it was given; `is_new` tells whether it came just now."""

    size: int
    at: datetime
    is_new: bool


def authorities(settings: TsaSettings) -> tuple[str, ...]:
    """The certificates that a verifier is to rely on for stamps; none where none are named.

    Raises:
        CenterError: the file cannot be read or holds no certificate.
    """
    if settings.ca_file is None:
        return ()
    try:
        return (check_authority(settings.ca_file.read_text(encoding="ascii")),)
    except (OSError, UnicodeDecodeError, EvidenceError) as error:
        raise CenterError(
            f"无法使用 tsa.ca_file {settings.ca_file}：{error}；应为 PEM 证书",
            f"tsa.ca_file {settings.ca_file} cannot be used: {error}; it must hold PEM certificates",
            exit_code=3,
        ) from error


def stamp_newest(center: Center) -> Stamped | None:
    """Have the newest checkpoint stamped, unless it is; None while the log is empty.

    Raises:
        CenterError: nothing is set up, the authority does not answer, or its stamp does not hold.
    """
    settings = center.settings.tsa
    trusted = authorities(settings)
    if not settings.url or not trusted:
        raise CenterError(
            "未设置时间戳机构；请在 center.toml 的 [tsa] 中填写 url 和 ca_file",
            "no time-stamping authority is set up; give [tsa] url and ca_file in center.toml",
            exit_code=3,
        )
    with center.database.reading() as session:
        row = store_log.last_checkpoint(session)
        known = None if row is None else store_stamps.find(session, row.size)
        if row is None:
            return None
        size, note = row.size, row.text
        if known is not None:
            return Stamped(size, known.at, is_new=False)
    text = note[: note.rindex("\n\n") + 1]
    try:
        data = _asked(settings, stamp_request(text))
        at = stamped_at(data, text, trusted)
    except StampLibraryMissingError as error:
        raise CenterError(
            "时间戳功能未安装；请安装 cunzheng[tsa]", "time-stamps need an extra; install cunzheng[tsa]", exit_code=3
        ) from error
    except EvidenceError as error:
        raise CenterError(
            f"{settings.url} 的时间戳无效：{error.detail}；请核对 tsa.ca_file",
            f"the stamp of {settings.url} does not hold: {error.detail}; check tsa.ca_file",
        ) from error
    with center.database.writing() as session:
        store_stamps.add(session, size, at, data)
    return Stamped(size, at, is_new=True)


def _asked(settings: TsaSettings, request: bytes) -> bytes:
    headers = {"Content-Type": _REQUEST_TYPE, "Accept": _REPLY_TYPE}
    # The address is the administrator's, http or https by the settings; proxies of the environment are not asked.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        question = urllib.request.Request(settings.url, data=request, headers=headers, method="POST")
        with opener.open(question, timeout=settings.timeout_s) as answer:
            data: bytes = answer.read(MAX_BYTES + 1)
    except urllib.error.HTTPError as error:
        with error:  # it holds the answer's connection open
            raise _away(settings, str(error)) from error
    except (OSError, HTTPException, ValueError) as error:
        raise _away(settings, str(error) or type(error).__name__) from error
    if len(data) > MAX_BYTES:
        raise _away(settings, f"more than {MAX_BYTES} bytes")
    return data


def _away(settings: TsaSettings, what: str) -> CenterError:
    return CenterError(
        f"时间戳机构 {settings.url} 没有给出时间戳：{what}；稍后再试",
        f"the time-stamping authority {settings.url} gave no stamp: {what}; try again later",
        exit_code=2,
    )


def facts(stamped: Stamped | None) -> dict[str, object]:
    """State a stamp in plain values."""
    if stamped is None:
        return {"size": 0, "at": None, "new": False}
    return {"size": stamped.size, "at": time_text(stamped.at), "new": stamped.is_new}
