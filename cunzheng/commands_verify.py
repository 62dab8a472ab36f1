"""`cunzheng verify`: check a bundle offline and say, in one line first, what a person may conclude.

Reads files, nothing else: no network, no centre. What is checked stands in `evidence.verify`, and that the body
follows from the statements by the accounting rules in `accounting.recompute`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click

from accounting.recompute import verify_recomputed
from cunzheng.contradictions import check_contradiction, is_contradiction, proofs_among
from cunzheng.errors import CommandError, ExitCode
from cunzheng.lang import say
from cunzheng.progress import working
from cunzheng.trust_choice import choose_trust
from cunzheng.verifier_page import write_page
from cunzheng.verify_report import person_lines
from evidence.bundle import read_bundle
from evidence.errors import BundleError, EvidenceError
from evidence.trust import Trust
from evidence.verdict import Finding, Report, Verdict

TRUST_VARIABLE = "CUNZHENG_TRUST"
_EXIT = {
    Verdict.VALID: ExitCode.DONE,
    Verdict.VALID_WITH_WARNINGS: ExitCode.DONE,
    Verdict.INDETERMINATE: ExitCode.COULD_NOT_TELL,
    Verdict.INVALID: ExitCode.NOT_SO,
}


@click.command(
    help=say(
        "离线核验证据包（.evb）或作假证据文件：先给结论，再列各项检查及通过数，最后说明未通过之处。\n\n"
        "退出码：0 有效（或证据成立），1 无效，2 无法判定，3 用法错误。",
        "Check a bundle (.evb), or a proof of cheating, offline: the answer, each check with how many things passed it,"
        " what did not pass.\n\nExit codes: 0 valid (or proven), 1 invalid, 2 indeterminate, 3 misuse.",
    )
)
@click.argument("file", type=click.Path(path_type=Path), required=False)
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
@click.option(
    "--against",
    "others",
    type=click.Path(path_type=Path),
    multiple=True,
    help=say(
        "与其他证据包比对，看日志是否对不同的人给出不同内容；可多次。",
        "Compare with another bundle: did the log tell both the same? May be repeated.",
    ),
)
@click.option(
    "--evidence",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help=say("把发现的作假证据写入此目录。", "Write proofs of cheating, if any are found, into this folder."),
)
@click.option(
    "--page",
    type=click.Path(path_type=Path),
    help=say(
        "不核验，而是把离线核验页（单个网页文件）写到此处，供没有本程序的人使用。",
        "Check nothing; write the offline verifier, one HTML file, to this place, for people without this program.",
    ),
)
@click.option("--json", "as_json", is_flag=True, help=say("输出 JSON。", "Print JSON."))
def verify(
    file: Path | None,
    trust_file: Path | None,
    others: tuple[Path, ...],
    folder: Path | None,
    page: Path | None,
    as_json: bool,
) -> int:
    """Read the files, check, print, and return the exit code of the verdict."""
    if page is not None:
        return write_page(page, as_json=as_json)
    if file is None:
        raise click.UsageError(say("请给出证据包文件", "name the bundle to check"))
    if is_contradiction(file):
        return check_contradiction(file, _trust_if_any(trust_file, file), as_json=as_json)
    chosen = choose_trust(trust_file, file.with_name("trust.json"))
    now = datetime.now(UTC)
    with working(say(f"核验 {file.name} …", f"checking {file.name} …")):
        report = _check(file, chosen.trust, now)
        if others or folder is not None:
            report = _compared(report, (file, *others), chosen.trust, folder)
    if as_json:
        facts = report.to_json()
        facts["trust"] = {**facts["trust"], **chosen.to_json()}
        click.echo(json.dumps({"file": str(file), **facts}, ensure_ascii=False, indent=2))
    else:
        for line in person_lines(report, chosen.words):
            click.echo(line)
    return int(_EXIT[report.verdict])


def _trust_if_any(trust_file: Path | None, file: Path) -> Trust | None:
    """A proof of cheating holds alone; a trust file only says who cheated."""
    try:
        return choose_trust(trust_file, file.with_name("trust.json")).trust
    except CommandError:
        if trust_file is not None:
            raise
        return None


def _compared(report: Report, files: Sequence[Path], trust: Trust, folder: Path | None) -> Report:
    """Add what the bundles prove together, and keep the proofs."""
    with ExitStack() as stack:
        bundles = []
        for file in files:
            try:
                bundles.append(read_bundle(stack.enter_context(file.open("rb"))))
            except BundleError as error:
                report = replace(report, findings=(*report.findings, Finding.of(error)))
            except OSError as error:
                raise _unreadable(file, error) from error
        proofs = proofs_among(bundles, trust)
    for proof in proofs:
        detail = f"proof {proof.name}"
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / proof.name).write_bytes(proof.data)
            detail = f"the proof is {folder / proof.name}"
        finding = Finding.of(EvidenceError(proof.code, detail))
        report = replace(report, findings=(*report.findings, finding))
    return report


def _check(file: Path, trust: Trust, now: datetime) -> Report:
    try:
        with file.open("rb") as stream:
            return verify_recomputed(read_bundle(stream), trust, now)
    except BundleError as error:
        return Report((Finding.of(error),), {}, trust.issued, trust.size)
    except OSError as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: OSError) -> CommandError:
    return CommandError(
        f"无法读取证据包 {file}：{os.strerror(error.errno or 0)}；请检查路径。",
        f"cannot read the bundle {file}: {os.strerror(error.errno or 0)}; check the path.",
        exit_code=ExitCode.MISUSE,
    )
