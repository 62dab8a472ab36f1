"""The verifier of this project on one case of the corpus: what a verifier of another make has to do too.

What is to be judged follows from the files that are there.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from datetime import datetime

from evidence.bundle import read_bundle
from evidence.disclosure import Disclosure
from evidence.encoding import strict_json, unb64
from evidence.errors import Code, EvidenceError
from evidence.merkle import verify_consistency
from evidence.note import verify_checkpoint
from evidence.receipt import Receipt
from evidence.statement import Statement
from evidence.tile_file import TileFile
from evidence.trust import Trust
from evidence.verdict import Finding, Report
from evidence.verify import verify_bundle
from evidence.verify_statement import verify_logged, verify_statement


def judged(files: Mapping[str, bytes]) -> tuple[str, list[str]]:
    """Return the verdict and the codes of a case."""
    report = report_of(files)
    return report.verdict.value, sorted({finding.code.value for finding in report.findings})


def report_of(files: Mapping[str, bytes]) -> Report:
    """Judge a case: a refusal becomes its one finding."""
    at = datetime.fromisoformat(json.loads(files["case.json"])["at"])
    try:
        trust = Trust.from_json(strict_json(files["trust.json"]))
        bundle = read_bundle(io.BytesIO(files["bundle.evb"])) if "bundle.evb" in files else None
        if "statement.jws" in files:
            _statement(files, trust, at)
        if "checkpoint" in files:
            verify_checkpoint(_utf8(files["checkpoint"]), trust.log, trust.policy)
        if "consistency" in files:
            _consistency(files, trust)
    except EvidenceError as error:
        return Report((Finding.of(error),), {}, at, 0)
    return Report((), {}, at, 0) if bundle is None else verify_bundle(bundle, trust, at)


def _statement(files: Mapping[str, bytes], trust: Trust, at: datetime) -> None:
    try:
        text = files["statement.jws"].decode("ascii")
    except UnicodeDecodeError as error:
        raise EvidenceError(Code.ENCODING, "a statement is ASCII") from error
    statement, entry = verify_statement(text, trust.registry)
    if "reading.json" in files:
        disclosure = Disclosure.from_bytes(files["reading.json"])
        _belongs(disclosure.segment, statement)
        disclosure.verify(statement.payload)
    if "tile.json" in files:
        tile = TileFile.from_bytes(files["tile.json"])
        _belongs(tile.segment, statement)
        tile.verify(statement.payload)
    if "receipt.tlog-proof" in files:
        receipt = Receipt.from_text(_utf8(files["receipt.tlog-proof"]))
        verify_logged(statement, entry, receipt, trust, at)


def _belongs(segment: str, statement: Statement) -> None:
    if segment != statement.sid:
        raise EvidenceError(Code.LEAF_MISMATCH, "of another segment")


def _consistency(files: Mapping[str, bytes], trust: Trust) -> None:
    old, new = (verify_checkpoint(_utf8(files[f"{name}.checkpoint"]), trust.log) for name in ("old", "new"))
    path = [unb64(line) for line in _utf8(files["consistency"]).splitlines()]
    verify_consistency(old.size, new.size, path, old.root, new.root)


def _utf8(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise EvidenceError(Code.CHECKPOINT_FORMAT, "not UTF-8") from error
