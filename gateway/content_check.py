"""Check the files that the centre gave against their digests, and that everything declared is known.

A content that is not fetched yet is no fault: the next sync fetches it.
"""

from __future__ import annotations

from pathlib import Path

from evidence.encoding import sha256_hex
from evidence.statement import parse
from gateway.errors import Words
from gateway.integrity import CheckReport
from gateway.lang import say
from gateway.pulled_store import content_lost, content_path, named_contents, want_content
from gateway.row_forms import UNREADABLE, is_digest
from gateway.store import Store


def check_contents(store: Store, folder: Path, report: CheckReport, *, repair: bool) -> None:
    """Hash every stored content; with `repair`, have what is gone or damaged fetched again by the next sync.

    Raises:
        DamagedError: SQLite cannot read on.
    """
    with store.any_text():
        rows = store.rows("SELECT sha256, size, stored FROM content ORDER BY sha256")
        named = _named(store)
    known = {row["sha256"]: row for row in rows if is_digest(row["sha256"])}  # others are named as rows
    for sha256, row in known.items():
        if not row["stored"]:
            continue
        report.contents += 1
        wrong = _fault(content_path(folder, sha256), sha256, row["size"])
        if wrong is not None:
            report.faults.append(_told(sha256, wrong, repair=repair))
            if repair:
                content_lost(store, sha256)
    for sha256 in sorted(named.keys() - known.keys()):
        wrong = ("已申报，但数据库中没有记录", "was declared and is not in the database")
        report.faults.append(_told(sha256, wrong, repair=repair))
        if repair:
            want_content(store, sha256, named[sha256])


def _named(store: Store) -> dict[str, int]:
    """Return what the declarations name, by digest; a statement that does not read is named as a row."""
    found: dict[str, int] = {}
    for row in store.rows("SELECT jws FROM pulled WHERE kind = 'declare'"):
        try:
            found.update(named_contents(parse(row["jws"])))
        except UNREADABLE:
            continue
    return found


def _fault(path: Path, sha256: str, size: int) -> Words | None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return (f"的文件 {path} 不存在", f"has no file {path}")
    except OSError as error:
        return (f"的文件 {path} 无法读取（{error.strerror}）", f"cannot be read from {path} ({error.strerror})")
    if sha256_hex(data) != sha256:
        return (f"的文件 {path} 与其摘要不符", f"is not what its digest says in {path}")
    if len(data) != size:
        return (f"的大小应为 {size}，文件为 {len(data)} 字节", f"should have {size} bytes, its file has {len(data)}")
    return None


def _told(sha256: str, wrong: Words, *, repair: bool) -> str:
    then = (
        ("下次同步将重新获取", "the next sync fetches it again")
        if repair
        else (
            "请运行 cunzheng gateway check --repair，再运行 cunzheng gateway sync 重新获取",
            "cunzheng gateway check --repair, then cunzheng gateway sync fetches it again",
        )
    )
    return say(f"内容 {sha256[:12]} {wrong[0]}；{then[0]}", f"content {sha256[:12]} {wrong[1]}; {then[1]}")
