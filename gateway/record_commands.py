"""Commands that record what people know of the plant: marks of operation, and how calibrations went.

Each signs one event and changes nothing that is stored. A running gateway learns of it within seconds.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from evidence.encoding import FIRST_YEAR, LAST_YEAR, sha256_hex, time_text
from evidence.marks import CalibrationRecord, Mark, MarkKind
from gateway.assembly import Gateway, open_gateway
from gateway.command_options import with_config, with_json
from gateway.errors import MisuseError
from gateway.lang import say

CHECKS = ("zero", "span", "zero-span", "whole-path", "comparison")

_by = click.option("--by", required=True, help=say("记录人。", "Who says so."))


@click.command(
    help=say("标记一段工况：停运、启炉、烘炉、故障等。", "Mark a time: stop, start-up, drying, fault and others.")
)
@with_config
@click.argument("kind", type=click.Choice([kind.value for kind in MarkKind]))
@click.option(
    "--from", "start", required=True, help=say("开始时间。", "When it began; local unless an offset is given.")
)
@click.option("--to", "end", required=True, help=say("结束时间。", "When it ended or will end."))
@_by
@click.option("--reason", required=True, help=say("原因。", "Why."))
@click.option("--subject", default="", help=say("核算单元。", "Accounting subject it concerns."))
@click.option(
    "--channel", "channels", multiple=True, help=say("通道，可多次给出。", "Channel it concerns; repeatable.")
)
@click.option(
    "--evidence",
    "files",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    help=say("证明文件，只记录其摘要。", "File that proves it; its digest is recorded."),
)
@with_json
def mark(
    config: Path,
    kind: str,
    start: str,
    end: str,
    by: str,
    reason: str,
    subject: str,
    channels: tuple[str, ...],
    files: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Record a mark."""
    if bool(subject) == bool(channels):
        raise MisuseError("请给出 --subject 或 --channel，二者取一", "give either --subject or --channel, and not both")
    with open_gateway(config) as opened:
        for channel in channels:
            _require_channel(opened, channel)
        zone = opened.signer.identity.zone_info
        made = Mark(
            MarkKind(kind),
            given_time(start, zone, "--from"),
            given_time(end, zone, "--to"),
            opened.clock.now(),
            by,
            reason,
            subject,
            channels,
            tuple(sha256_hex(file.read_bytes()) for file in files),
        )
        if made.end <= made.start:
            raise MisuseError("--to 应晚于 --from", "--to must lie after --from")
        opened.pipeline.mark(made)
    late = say("（补记）", " (late)") if made.is_late else ""
    _tell(made.event_data(), as_json, say(f"已标记{late}：{kind}", f"marked{late}: {kind}"))


@click.command(help=say("记录一次校准的结果。", "Record how a calibration went."))
@with_config
@click.argument("channel")
@click.option(
    "--check",
    "check",
    type=click.Choice(CHECKS),
    default="zero-span",
    show_default=True,
    help=say("校准内容。", "What was checked."),
)
@click.option("--at", "at", required=True, help=say("校准时间。", "When; local unless an offset is given."))
@_by
@click.option("--passed/--failed", "passed", required=True, help=say("是否通过。", "Whether it passed."))
@click.option("--note", default="", help=say("说明。", "Remark."))
@with_json
def calibration(
    config: Path, channel: str, check: str, at: str, by: str, passed: bool, note: str, as_json: bool
) -> None:
    """Record a calibration."""
    with open_gateway(config) as opened:
        _require_channel(opened, channel)
        moment, now = given_time(at, opened.signer.identity.zone_info, "--at"), opened.clock.now()
        if moment > now:
            raise MisuseError("--at 不能晚于现在", "--at must not lie in the future")
        record = CalibrationRecord(channel, check, moment, now, by, passed, note)
        opened.pipeline.calibration(record)
    said = say("通过", "passed") if passed else say("未通过", "failed")
    _tell(
        record.event_data(), as_json, say(f"已记录：{channel} 校准{said}", f"recorded: calibration of {channel} {said}")
    )


def given_time(text: str, zone: ZoneInfo, option: str) -> datetime:
    """Read a time that a person gave with an option; local unless it has an offset.

    Raises:
        MisuseError: it is none, or cannot be.
    """
    try:
        moment = datetime.fromisoformat(text)
        # Whether it can be written down decides, not whether it can be read.
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
        time_text(moment)
    except (ValueError, OverflowError) as error:
        raise MisuseError(
            f"{option} 的时间 {text!r} 无效；示例：2026-03-01T08:00",
            f"{option}: {text!r} is no time; write it like 2026-03-01T08:00",
        ) from error
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise MisuseError(f"{option} 的年份 {moment.year} 不可能", f"{option}: the year {moment.year} cannot be")
    return moment


def _require_channel(opened: Gateway, channel: str) -> None:
    if channel not in opened.catalogue.channels:
        there = ", ".join(sorted(opened.catalogue.channels))
        raise MisuseError(f"没有通道 {channel}；现有：{there}", f"there is no channel {channel}; there are: {there}")


def _tell(data: dict[str, object], as_json: bool, text: str) -> None:
    click.echo(json.dumps(data, ensure_ascii=False, indent=2) if as_json else text)
