"""`cunzheng compose` and `cunzheng calc`: recompute a month's body, or a single figure.

Both are thin: the arithmetic is `accounting`, the container is `evidence.bundle`. Neither judges a
signature; that is `cunzheng verify`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import click

from accounting.calculation import calculate
from accounting.errors import AccountingError
from accounting.recompute import Recomputed, newest_months, recompute_month, statements_of
from cunzheng.errors import CommandError, ExitCode
from cunzheng.lang import say
from cunzheng.progress import working
from evidence.bundle import Bundle, read_bundle
from evidence.encoding import sha256_hex, strict_json


@click.command(
    help=say(
        "由证据包内的存证重算月度数据，并与申报的数据逐字节比较（签名由 verify 核验）。\n\n"
        "退出码：0 一致，1 不一致，2 无法判定，3 用法错误。",
        "Recompute a month's body from the statements of a bundle and compare the bytes (verify checks signatures)."
        "\n\nExit codes: 0 same, 1 differs, 2 could not tell, 3 misuse.",
    )
)
@click.argument("bundle", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--out",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help=say("重算的月度数据写入此文件。", "Write the recomputed body here."),
)
@click.option("--json", "as_json", is_flag=True, help=say("输出 JSON。", "Print JSON."))
def compose(bundle: Path, out: Path | None, as_json: bool) -> int:
    """Recompute, compare, print one line or JSON, and return the exit code."""
    with working(say("重算 …", "recomputing …")), bundle.open("rb") as source:
        recomputed = _recompute(read_bundle(source))
    if recomputed.body is None:
        problem = recomputed.problem
        assert problem is not None  # a month without a body says why
        raise CommandError(problem.zh, problem.en)
    if out is not None:
        out.write_bytes(recomputed.body)
    facts = _facts(recomputed, recomputed.body)
    click.echo(json.dumps(facts, ensure_ascii=False, indent=2) if as_json else _line(facts))
    return int(ExitCode.DONE if recomputed.same else ExitCode.NOT_SO)


@click.command(
    help=say(
        "按 INPUT 给定的数量核算：JSON 输入、JSON 输出，附推导过程；“-”为标准输入。各公式示例见 docs/calc.md。",
        "Compute accounting formulas on the quantities of INPUT: JSON in, JSON out with derivation; "
        '"-" reads standard input. docs/calc.md has an example of each formula.',
    )
)
@click.argument("input", type=click.File("rb"))
@click.option(
    "--parameters",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=say("参数集文件（缺省用随附的参数集）。", "A parameter set file instead of a packaged set."),
)
@click.option("--json", "as_json", is_flag=True, help=say("JSON（默认即是）。", "JSON (always so)."))
def calc(input: BinaryIO, parameters: Path | None, as_json: bool) -> None:
    """Compute and print."""
    try:
        result = calculate(input.read(), parameters.read_bytes() if parameters is not None else None)
    except AccountingError as error:
        raise CommandError(error.zh, error.en, exit_code=ExitCode.MISUSE) from error
    click.echo(json.dumps(result, ensure_ascii=False, indent=2))


def _recompute(bundle: Bundle) -> Recomputed:
    statements = statements_of(bundle)
    months = newest_months(statements)
    if len(months) != 1:
        raise CommandError(
            f"证据包应含一个企业的一个月份，现有 {len(months)} 个",
            f"a bundle holds one month of one plant; this one holds {len(months)}",
            exit_code=ExitCode.COULD_NOT_TELL,
        )
    try:
        return recompute_month(months[0], statements, bundle)
    except AccountingError as error:
        raise CommandError(error.zh, error.en, exit_code=ExitCode.COULD_NOT_TELL) from error


def _facts(recomputed: Recomputed, body: bytes) -> dict[str, Any]:
    payload, computed = recomputed.month.payload, strict_json(body)
    return {
        "result": "same" if recomputed.same else "differs",
        "plant": recomputed.month.plant,
        "period": payload["period"],
        "rev": payload["rev"],
        "month": recomputed.sid,
        "declared_sha256": sha256_hex(recomputed.declared),
        "recomputed_sha256": sha256_hex(body),
        "differs_in": recomputed.differs_in,
        "channels": [
            {name: channel[name] for name in ("gw", "id", "unit", "sum", "use") if name in channel}
            for channel in computed["channels"]
        ],
        "totals": [
            {name: result[name] for name in ("subject", "name", "total", "unit")} for result in computed["results"]
        ],
        "issues": computed["issues"],
    }


def _line(facts: Mapping[str, Any]) -> str:
    totals = "; ".join(
        f"{say(result['name']['zh'], result['name']['en'])} {result['total']} {result['unit']}"
        for result in facts["totals"]
    )
    head = f"{facts['plant']} {facts['period']} rev {facts['rev']}"
    if facts["result"] == "same":
        return say(f"{head}：一致（{totals}）", f"{head}: same ({totals})")
    members = ", ".join(facts["differs_in"]) or say("字节", "bytes")
    return say(
        f"{head}：不一致，差异在 {members}；重算结果 {totals}",
        f"{head}: differs in {members}; recomputed {totals}",
    )
