"""The contents of a bundle: each has the bytes it is named by, and some statement lists it."""

from collections.abc import Mapping

from evidence.bundle import facts_of
from evidence.case import Case
from evidence.errors import Code
from evidence.verify_month import Signed


def check_content_files(case: Case) -> None:
    """Each file has the digest it is named by and is listed; files are hashed piece by piece, however large."""
    listed = {subject["sha256"] for one in case.signed for subject in _subjects(one)}
    listed |= {one.payload["report"] for one in case.of_kind("review")}
    for name in sorted(case.bundle.content):
        case.counts["contents"] += 1
        with case.examining("content"):
            if facts_of(case.bundle.content, name).sha256 != name:
                case.findings.add(Code.CONTENT_HASH, f"content {name[:12]} has other bytes than its name says")
            elif name not in listed:
                case.findings.add(Code.CONTENT_EXTRA, f"content {name[:12]} is listed by no statement")


def _subjects(signed: Signed) -> list[Mapping[str, str]]:
    subjects = signed.payload.get("subjects", [])
    return [subject for subject in subjects if isinstance(subject, dict)]
