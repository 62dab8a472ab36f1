"""The report of a verification in a person's words: the answer, what it rests on, each check, then what did not pass.

Knows no file and no verdict of its own: it words what `evidence.verdict.Report` holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.cells import cell_len

from cunzheng.lang import say
from evidence.check_words import CHECK_WORDS
from evidence.code_words import CODE_WORDS
from evidence.encoding import time_text
from evidence.errors import Code
from evidence.verdict import CheckCount, Finding, Report, Verdict

DETAILS_SHOWN = 3
"""Details shown of each code; `--json` has all."""
MAY_BE_ABSENT = ("reading", "tile", "recount", "body")
"""Checks that a bundle may give nothing to look at for, of which a person should know it."""


def person_lines(report: Report, origin: str) -> list[str]:
    """Write the report for a person; the first line is the answer, the third on whose word the trust file is taken."""
    return [_answer(report), _trust(report), origin, *_checks(report), *_findings(report)]


def _answer(report: Report) -> str:
    answer = {
        Verdict.VALID: say("有效：全部检查通过", "valid: every check passed"),
        Verdict.VALID_WITH_WARNINGS: say("有效，但有下列提示", "valid, with the warnings below"),
        Verdict.INDETERMINATE: say(
            "无法判定：缺少所需的内容，或可信文件太旧", "cannot be told: something needed is missing or too old"
        ),
        Verdict.INVALID: say("无效：至少一项检查不通过", "not valid: at least one check failed"),
    }[report.verdict]
    subject = report.subject
    if not subject:
        return f"{report.verdict}  {answer}"
    return f"{report.verdict}  {_about(subject)}{say('——', ' - ')}{answer}"


def _about(subject: Mapping[str, str]) -> str:
    """Say what a bundle is about: a month, or readings that were disclosed by themselves."""
    if "channel" in subject:
        said = " ".join(subject[name] for name in ("channel", "time", "value", "unit", "flag"))
        return say(
            f"仅就读数 {said}，企业 {subject['plant']} 网关 {subject['gw']}；不涉及任何月度存证",
            f"of the reading {said}, plant {subject['plant']}, gateway {subject['gw']}; no month is judged",
        )
    plant, period, rev = (subject.get(name, "?") for name in ("plant", "period", "rev"))
    return say(f"企业 {plant}，{period}，第 {rev} 版", f"plant {plant}, month {period}, revision {rev}")


def _trust(report: Report) -> str:
    time, size = time_text(report.trust_issued), report.trust_size
    return say(f"信任依据截至：{time}，日志 {size} 条", f"trust as of: {time}, log of {size} entries")


def _checks(report: Report) -> Iterator[str]:
    if not report.checks:
        return
    yield say("检查（通过/全部）：", "checks (passed/all):")
    names = {check.name: say(*CHECK_WORDS[check.name]) for check in report.checks}
    width = max(map(cell_len, names.values()))
    for check in report.checks:
        name = names[check.name]
        yield f"  {_mark(check)} {name}{' ' * (width - cell_len(name))}  {check.passed}/{check.passed + check.failed}"
    absent = [say(*CHECK_WORDS[name]) for name in MAY_BE_ABSENT if name not in names]
    if absent:
        yield say("  – 包内没有可供检查的：", "  – nothing in the bundle to check: ") + say("；", "; ").join(absent)


def _mark(check: CheckCount) -> str:
    return "✗" if check.failed else "✓"


def _findings(report: Report) -> Iterator[str]:
    by_code: dict[tuple[Verdict, Code], list[Finding]] = {}
    for finding in report.findings:
        by_code.setdefault((finding.grade, finding.code), []).append(finding)
    if by_code:
        yield say("未通过或需注意：", "what did not pass, or needs attention:")
    worst_first = sorted(by_code.items(), key=lambda item: -list(Verdict).index(item[0][0]))
    for (grade, code), found in worst_first:
        times = f" ×{len(found)}" if len(found) > 1 else ""
        yield f"  {grade}  {code}{times}{say('：', ': ')}{say(*CODE_WORDS[code])}"
        for finding in found[:DETAILS_SHOWN]:
            sid = f" [{finding.sid[:12]}]" if finding.sid else ""
            yield f"      {finding.detail}{sid}"
        if len(found) > DETAILS_SHOWN:
            rest = len(found) - DETAILS_SHOWN
            yield say(f"      ……另有 {rest} 处，见 --json", f"      … and {rest} more, see --json")
