"""Proofs of cheating for `cunzheng verify`: found in bundles that contradict each other, or given as a file to check.

Reads files and writes the proofs where asked; what they prove stands in `evidence.contradiction`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import click

from cunzheng.errors import ExitCode
from cunzheng.lang import say
from evidence.bundle import Bundle
from evidence.code_words import CODE_WORDS
from evidence.contradiction import Contradiction, Fork, Proven, contradiction_among, prove
from evidence.encoding import sha256_hex
from evidence.errors import Code, EvidenceError
from evidence.merkle import leaf_hash, verify_inclusion
from evidence.note import verify_checkpoint
from evidence.receipt import Receipt
from evidence.statement import Statement, parse
from evidence.trust import Trust

_BRACE = b"{"
_FACTS = {
    "gw": ("网关", "gateway"),
    "epoch": ("纪元", "epoch"),
    "seq": ("序号", "number"),
    "first": ("声明一", "one statement"),
    "second": ("声明二", "the other"),
    "size": ("大小", "size"),
    "other_size": ("另一大小", "other size"),
    "root": ("根", "root"),
    "other_root": ("另一根", "other root"),
    "index": ("位置", "index"),
    "leaf": ("条目哈希", "leaf hash"),
    "other_leaf": ("另一条目哈希", "other leaf hash"),
}


def is_contradiction(file: Path) -> bool:
    """Tell whether a file is a proof of cheating rather than a bundle: it begins as JSON does."""
    try:
        with file.open("rb") as stream:
            return stream.read(1) == _BRACE
    except OSError:
        return False


def check_contradiction(file: Path, trust: Trust | None, *, as_json: bool) -> int:
    """Say what the file proves, and return the exit code: it proves it, proves nothing, or cannot be told."""
    try:
        proven = prove(file.read_bytes(), trust)
    except EvidenceError as error:
        _tell_nothing(file, error, as_json=as_json)
        return int(ExitCode.COULD_NOT_TELL if error.code is Code.KEY_UNKNOWN else ExitCode.NOT_SO)
    if as_json:
        facts = {"code": proven.code.value, "signer": proven.signer, "known": proven.is_known, **proven.facts}
        click.echo(json.dumps({"file": str(file), "proven": True, **facts}, ensure_ascii=False, indent=2))
        return int(ExitCode.DONE)
    for line in _person_lines(proven):
        click.echo(line)
    return int(ExitCode.DONE)


def _tell_nothing(file: Path, error: EvidenceError, *, as_json: bool) -> None:
    if as_json:
        facts = {"file": str(file), "proven": False, "code": error.code.value, "detail": error.detail}
        click.echo(json.dumps(facts, ensure_ascii=False, indent=2))
        return
    click.echo(
        say(
            f"不成立：该文件不能证明作假（{error.detail}）", f"NOT PROVEN  the file proves no cheating ({error.detail})"
        )
    )


def _person_lines(proven: Proven) -> Iterator[str]:
    yield say("成立", "PROVEN") + f"  {proven.code}: {say(*CODE_WORDS[proven.code])}"
    who = say("签名者", "signed by") + f": {proven.signer}"
    if proven.is_known:
        yield who + say("（可信文件确认其身份）", " (the trust file says whose it is)")
    else:
        yield who + say("（没有可信文件，不知是谁）", " (without a trust file nobody can say whose it is)")
    for name, value in proven.facts.items():
        yield f"  {say(*_FACTS[name])}: {value}"


@dataclass(frozen=True)
class Found:
    """A proof that was made from what bundles show."""

    code: Code
    name: str
    data: bytes


def proofs_among(bundles: Sequence[Bundle], trust: Trust) -> list[Found]:
    """Find what the bundles, taken together, prove: two histories of the log, two statements with one number."""
    found = [*_forks(bundles, trust)]
    histories = contradiction_among((pair for bundle in bundles for pair in _proven_receipts(bundle, trust)), trust.log)
    if histories is not None:
        found.append(_proof(Code.LOG_EQUIVOCATION, histories))
    return found


def _proven_receipts(bundle: Bundle, trust: Trust) -> Iterator[tuple[Receipt, bytes]]:
    for sid in sorted(bundle.proofs):
        with suppress(EvidenceError, KeyError, UnicodeDecodeError):
            receipt = Receipt.from_text(bundle.proofs[sid].decode("utf-8"))
            leaf = leaf_hash(bundle.statements[sid])
            checkpoint = verify_checkpoint(receipt.checkpoint, trust.log)
            verify_inclusion(leaf, receipt.index, checkpoint.size, receipt.path, checkpoint.root)
            yield receipt, leaf


def _forks(bundles: Sequence[Bundle], trust: Trust) -> Iterator[Found]:
    taken: dict[tuple[str, int, int], Statement] = {}
    for bundle in bundles:
        for sid in sorted(bundle.statements):
            with suppress(EvidenceError, UnicodeDecodeError):
                statement = parse(bundle.statements[sid].decode("ascii"))
                payload = statement.payload
                if "gw" not in payload:
                    continue
                before = taken.setdefault((payload["gw"], payload["epoch"], payload["seq"]), statement)
                if before.sid != statement.sid:
                    yield _fork(before, statement, trust)


def _fork(one: Statement, other: Statement, trust: Trust) -> Found:
    keys = tuple(trust.registry.key(kid).jwk for kid in dict.fromkeys((one.kid, other.kid)))
    fork = Fork((one.jws, other.jws), keys)
    fork.prove(trust)
    return _proof(Code.FORK, fork)


def _proof(code: Code, contradiction: Contradiction) -> Found:
    data = contradiction.to_bytes()
    return Found(code, f"{code}-{sha256_hex(data)[:12]}.json", data)
