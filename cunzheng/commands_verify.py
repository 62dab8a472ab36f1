"""`cunzheng verify`: check a bundle offline and say, in one line first, what a person may conclude.

Reads files, nothing else: no network, no centre. What is checked stands in `evidence.verify`, and that the body
follows from the statements by the accounting rules in `accounting.recompute`.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import click

from accounting.recompute import verify_recomputed
from cunzheng.errors import CommandError, ExitCode
from cunzheng.lang import say
from cunzheng.progress import working
from cunzheng.trust_choice import choose_trust
from evidence.bundle import read_bundle
from evidence.code_words import CODE_WORDS
from evidence.encoding import time_text
from evidence.errors import BundleError
from evidence.trust import Trust
from evidence.verdict import Finding, Report, Verdict

TRUST_VARIABLE = "CUNZHENG_TRUST"
_SHOWN = 20
"""Findings printed to a person; `--json` has all."""
_EXIT = {
    Verdict.VALID: ExitCode.DONE,
    Verdict.VALID_WITH_WARNINGS: ExitCode.DONE,
    Verdict.INDETERMINATE: ExitCode.COULD_NOT_TELL,
    Verdict.INVALID: ExitCode.NOT_SO,
}


@click.command(
    help=say(
        "离线核验证据包（.evb）。\n\n退出码：0 有效，1 无效，2 无法判定，3 用法错误。",
        "Check a bundle (.evb) offline.\n\nExit codes: 0 valid, 1 invalid, 2 indeterminate, 3 misuse.",
    )
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--trust",
    "trust_file",
    type=click.Path(path_type=Path),
    envvar=TRUST_VARIABLE,
    help=say(
        f"中心端的 trust.json，来源未经证明（默认：环境变量 {TRUST_VARIABLE}，"
        "或已导入的信任包，或证据包旁的 trust.json）。",
        f"trust.json of the centre, whose origin is unproven (default: ${TRUST_VARIABLE}, else the imported trust"
        " bundle, else trust.json beside the bundle).",
    ),
)
@click.option("--json", "as_json", is_flag=True, help=say("输出 JSON。", "Print JSON."))
def verify(file: Path, trust_file: Path | None, as_json: bool) -> int:
    """Read both files, check, print, and return the exit code of the verdict."""
    chosen = choose_trust(trust_file, file.with_name("trust.json"))
    now = datetime.now(UTC)
    with working(say(f"核验 {file.name} …", f"checking {file.name} …")):
        report = _check(file, chosen.trust, now)
    if as_json:
        facts = report.to_json()
        facts["trust"] = {**facts["trust"], **chosen.to_json()}
        click.echo(json.dumps({"file": str(file), **facts}, ensure_ascii=False, indent=2))
    else:
        for line in person_lines(report, chosen.words):
            click.echo(line)
    return int(_EXIT[report.verdict])


def _check(file: Path, trust: Trust, now: datetime) -> Report:
    try:
        with file.open("rb") as stream:
            return verify_recomputed(read_bundle(stream), trust, now)
    except BundleError as error:
        return Report((Finding.of(error),), {}, trust.issued, trust.size)
    except OSError as error:
        raise CommandError(
            f"无法读取证据包 {file}：{os.strerror(error.errno or 0)}；请检查路径。",
            f"cannot read the bundle {file}: {os.strerror(error.errno or 0)}; check the path.",
            exit_code=ExitCode.MISUSE,
        ) from error


def person_lines(report: Report, origin: str) -> list[str]:
    """Write the report for a person: the answer, then what it rests on, then what did not pass."""
    subject = report.subject
    about = say(
        f"企业 {subject.get('plant', '?')} {subject.get('period', '?')} 第 {subject.get('rev', '?')} 版",
        f"plant {subject.get('plant', '?')}, month {subject.get('period', '?')}, revision {subject.get('rev', '?')}",
    )
    answer = {
        Verdict.VALID: say(
            "有效：证据完整，签名与回执全部通过", "evidence complete, every signature and receipt checks"
        ),
        Verdict.VALID_WITH_WARNINGS: say("有效，但有提示", "it holds, with warnings below"),
        Verdict.INDETERMINATE: say("无法判定：缺少所需的内容", "something needed is missing or too old"),
        Verdict.INVALID: say("无效：至少一项检查不通过", "at least one check failed"),
    }[report.verdict]
    lines = [f"{report.verdict}  {answer}" + (f" ({about})" if subject else "")]
    names = {
        "statements": say("声明", "statements"),
        "receipts": say("回执", "receipts"),
        "months": say("月度存证", "months"),
        "contents": say("附件", "contents"),
        "readings": say("公开读数", "disclosed readings"),
        "hours": say("由读数重算的时段", "segments recomputed from readings"),
    }
    counted = "  ".join(f"{names.get(name, name)} {count}" for name, count in report.counts.items())
    if counted:
        lines.append(say("已核对：", "checked: ") + counted)
    lines.append(
        say("信任依据：日志 ", "trust as of: log size ") + f"{report.trust_size}, {time_text(report.trust_issued)}"
    )
    lines.append(origin)
    for finding in report.findings[:_SHOWN]:
        sid = f" [{finding.sid[:12]}]" if finding.sid else ""
        lines.append(f"  {finding.grade}  {finding.code}: {say(*CODE_WORDS[finding.code])}  ({finding.detail}){sid}")
    if len(report.findings) > _SHOWN:
        rest = len(report.findings) - _SHOWN
        lines.append(say(f"  ……另有 {rest} 项，见 --json", f"  … and {rest} more, see --json"))
    return lines
