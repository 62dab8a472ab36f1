"""`cunzheng compose` and `cunzheng calc`: recompute a month's body, or a single figure.

Both are thin: the arithmetic is `accounting`, the container is `evidence.bundle`. Neither judges a
signature; that is `cunzheng verify`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import click

from accounting.calculation import calculate
from accounting.declared import as_declared
from accounting.errors import AccountingError, CoverError
from accounting.month import BODY, PARAMETERS, PLAN
from accounting.month import compose as compose_month
from cunzheng.errors import CommandError, ExitCode
from cunzheng.lang import say
from evidence.bundle import Bundle, read_bundle
from evidence.encoding import sha256_hex, strict_json
from evidence.errors import EvidenceError
from evidence.receipt import Receipt
from evidence.statement import Statement, parse


@dataclass(frozen=True)
class Comparison:
    """A month's body as declared and as recomputed."""

    month: Statement
    declared: bytes
    recomputed: bytes

    @property
    def is_same(self) -> bool:
        """Whether both are the same bytes."""
        return self.declared == self.recomputed

    def differing_members(self) -> list[str]:
        """Return the members of the body that differ, or none where the bytes alone do."""
        try:
            old = strict_json(self.declared)
        except EvidenceError:
            return []
        new = strict_json(self.recomputed)
        if not isinstance(old, dict):
            return []
        return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))

    def to_json(self) -> dict[str, Any]:
        """The facts for `--json`."""
        payload = self.month.payload
        body = strict_json(self.recomputed)
        return {
            "result": "same" if self.is_same else "differs",
            "plant": self.month.plant,
            "period": payload["period"],
            "rev": payload["rev"],
            "month": self.month.sid,
            "declared_sha256": sha256_hex(self.declared),
            "recomputed_sha256": sha256_hex(self.recomputed),
            "differs_in": [] if self.is_same else self.differing_members(),
            "totals": [
                {name: result[name] for name in ("subject", "name", "total", "unit")} for result in body["results"]
            ],
            "issues": len(body["issues"]),
        }


@click.command()
@click.argument("bundle", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--out",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="重算的月度数据写入此文件 / write the recomputed body here.",
)
@click.option("--json", "as_json", is_flag=True, help="输出 JSON / print JSON.")
def compose(bundle: Path, out: Path | None, as_json: bool) -> int:
    """由证据包内的存证重算月度数据并逐字节比较。

    Recompute the month's body from the statements in an .evb BUNDLE and compare the bytes.
    Exit code: 0 same, 1 differs, 2 could not tell, 3 misuse. Signatures are checked by `cunzheng verify`.
    """
    with bundle.open("rb") as source:
        unpacked = read_bundle(source)
    comparison = _compare(unpacked)
    if out is not None:
        out.write_bytes(comparison.recomputed)
    facts = comparison.to_json()
    click.echo(json.dumps(facts, ensure_ascii=False, indent=2) if as_json else _line(facts))
    return ExitCode.DONE if comparison.is_same else ExitCode.NOT_SO


@click.command()
@click.argument("input", type=click.File("rb"))
@click.option(
    "--parameters",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="参数集文件，缺省用随附的参数集 / a parameter set file instead of the packaged one.",
)
def calc(input: BinaryIO, parameters: Path | None) -> None:
    """按 INPUT 给定的数量核算，JSON 输入、JSON 输出（“-”为标准输入）。

    Compute accounting formulas on the quantities of INPUT: JSON in, JSON out, with derivation
    ("-" reads standard input). One example of each formula is in docs/calc.md.
    """
    try:
        result = calculate(input.read(), parameters.read_bytes() if parameters is not None else None)
    except AccountingError as error:
        raise CommandError(error.zh, error.en, exit_code=ExitCode.MISUSE) from error
    click.echo(json.dumps(result, ensure_ascii=False, indent=2))


def _compare(bundle: Bundle) -> Comparison:
    statements = [_statement(sid, data) for sid, data in sorted(bundle.statements.items())]
    by_sid = {statement.sid: statement for statement in statements}
    month = _month(statements)
    payload = month.payload
    contents = _contents(payload["subjects"], bundle.content)
    technician = by_sid.get(payload["declared"][0])
    if technician is None:
        raise CommandError(
            "证据包中没有化验/计量人员的声明，无法判断哪些采集值属于本月",
            "the technician's declaration is not in the bundle, so it is unknown which captured values count",
            exit_code=ExitCode.COULD_NOT_TELL,
        )
    try:
        recomputed = compose_month(
            plant=month.plant,
            period=payload["period"],
            statements=as_declared(statements, technician, _log_index(bundle.proofs)),
            plan=contents[PLAN],
            parameters=contents[PARAMETERS],
            cover=payload["cover"],
        )
    except CoverError as error:
        raise CommandError(error.zh, error.en, exit_code=ExitCode.COULD_NOT_TELL) from error
    return Comparison(month, contents[BODY], recomputed)


def _statement(sid: str, data: bytes) -> Statement:
    try:
        statement = parse(data.decode("ascii").strip())
    except UnicodeDecodeError:
        raise CommandError(f"存证 {sid[:12]} 不是 ASCII 文本", f"statement {sid[:12]} is not ASCII text") from None
    if statement.sid != sid:
        raise CommandError(
            f"文件名为 {sid[:12]} 的存证实为 {statement.sid[:12]}",
            f"the file named {sid[:12]} holds statement {statement.sid[:12]}",
        )
    return statement


def _month(statements: Sequence[Statement]) -> Statement:
    months = [statement for statement in statements if statement.kind == "month"]
    scopes = {(statement.plant, statement.payload["period"]) for statement in months}
    if len(scopes) != 1:
        raise CommandError(
            f"证据包应只含一个企业的一个月份，现有 {len(scopes)} 个",
            f"a bundle holds one month of one plant; this one holds {len(scopes)}",
            exit_code=ExitCode.COULD_NOT_TELL,
        )
    return max(months, key=lambda statement: (statement.payload["rev"], statement.sid))


def _contents(subjects: Sequence[Mapping[str, Any]], content: Mapping[str, bytes]) -> dict[str, bytes]:
    digests: dict[str, str] = {}
    for subject in subjects:
        digests.setdefault(subject["name"], subject["sha256"])
    found = {}
    for name in (BODY, PLAN, PARAMETERS):
        data = content.get(digests.get(name, ""))
        if data is None:
            raise CommandError(
                f"证据包中没有 {name}", f"{name} is not in the bundle", exit_code=ExitCode.COULD_NOT_TELL
            )
        if sha256_hex(data) != digests[name]:
            raise CommandError(f"{name} 的摘要不符", f"{name} does not have the digest it is named by")
        found[name] = data
    return found


def _log_index(proofs: Mapping[str, bytes]) -> dict[str, int]:
    found = {}
    for sid, data in proofs.items():
        try:
            found[sid] = Receipt.from_text(data.decode("utf-8")).index
        except (EvidenceError, UnicodeDecodeError):
            continue  # a bad receipt is for `cunzheng verify` to report; here the statement's clock stands in
    return found


def _line(facts: Mapping[str, Any]) -> str:
    totals = "; ".join(
        f"{say(result['name']['zh'], result['name']['en'])} {result['total']} {result['unit']}"
        for result in facts["totals"]
    )
    head = f"{facts['plant']} {facts['period']} rev {facts['rev']}"
    if facts["result"] == "same":
        return say(f"{head}：一致（{totals}）", f"{head}: same ({totals})")
    members = ", ".join(facts["differs_in"]) or "bytes"
    return say(
        f"{head}：不一致，差异在 {members}；重算结果 {totals}",
        f"{head}: differs in {members}; recomputed {totals}",
    )
