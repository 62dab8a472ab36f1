"""`cunzheng gateway probe`: show what a device says, and with `--accept` sign that its channels are taken into use.

Without `--accept` nothing is stored and nothing but the site file is needed; the device may still be set up.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import click

from evidence.commissioning import USUAL_PERCENT, Commissioned, Display
from gateway.assembly import Gateway, open_gateway
from gateway.catalogue import Instrument, instrument_to_probe
from gateway.command_options import with_config, with_json
from gateway.commissioning import LONGEST_SHOWN, Seen, commission, displays_of
from gateway.errors import MisuseError, RefusedError
from gateway.lang import say
from gateway.modbus import ModbusLine
from gateway.poller import Poller
from gateway.probe import ProbeRow, probe_device
from gateway.probe_table import print_rows
from gateway.runlock import is_running, running_alone
from gateway.settings import Settings, load_settings

Ask = Callable[[str], str]
LONGEST_NAME, LONGEST_REASON = 200, 2000
"""Characters that a statement takes."""


@click.command(
    help=say(
        "读一次设备：原始字、各种字序、数值和质量。--accept 用显示值核对后签名确认投用。",
        "Read a device once: raw words, every word order, value, quality. --accept signs what its display confirms.",
    )
)
@with_config
@click.argument("device")
@click.argument("points", nargs=-1)
@click.option(
    "--neighbours/--no-neighbours",
    default=True,
    help=say("同时读前后相邻地址。", "Also read one address before and after."),
)
@click.option("--accept", is_flag=True, help=say("确认投用，写入签名的 config 事件。", "Sign a config event."))
@click.option("--by", default="", help=say("确认人（与 --accept 同用）。", "Who accepts; with --accept."))
@click.option(
    "--display",
    "displays",
    multiple=True,
    metavar="POINT=VALUE@TIME",
    help=say(
        "仪表显示值及读取时间；每个测点两次。不给则在终端逐一询问。",
        "What the device's display showed and when; twice for each point. Without it the terminal asks.",
    ),
)
@click.option(
    "--reason", default="", help=say("显示值不符仍确认的原因。", "Why to accept what the display contradicts.")
)
@click.option(
    "--tolerance",
    default=str(USUAL_PERCENT),
    show_default=True,
    metavar="PERCENT",
    help=say(
        "瞬时量允许的变化（显示值的百分数）。", "How far an instantaneous value may have moved, in % of the display."
    ),
)
@with_json
def probe(
    config: Path,
    device: str,
    points: tuple[str, ...],
    neighbours: bool,
    accept: bool,
    by: str,
    displays: tuple[str, ...],
    reason: str,
    tolerance: str,
    as_json: bool,
) -> None:
    """Probe a device."""
    settings = load_settings(config)
    if accept:
        if not 0 < len(by) <= LONGEST_NAME:
            raise MisuseError("--accept 需要 --by 给出确认人", "--accept needs --by with the person's name")
        if len(reason) > LONGEST_REASON:
            raise MisuseError(
                f"--reason 不得超过 {LONGEST_REASON} 字", f"--reason is longer than {LONGEST_REASON} characters"
            )
        percent = _percent(tolerance)
        with running_alone(settings.database.parent), open_gateway(settings) as opened:
            _accept(opened, device, points, by, displays, reason, percent, neighbours=neighbours, as_json=as_json)
        return
    if by or displays or reason:
        raise MisuseError(
            "--by、--display、--reason 只与 --accept 同用", "--by, --display and --reason go with --accept only"
        )
    instrument = instrument_to_probe(settings.site, device)
    if is_running(settings.database.parent):
        click.echo(
            say(
                "注意：网关正在运行，也在读此设备；串口线路请先停止网关",
                "note: the gateway is running and reads this device too; stop it first if the line is serial",
            ),
            err=True,
        )
    rows = asyncio.run(_read(instrument, settings, points, neighbours=neighbours))
    if as_json:
        _print_json([_row(one) for one in rows])
        return
    print_rows(instrument, rows)


def _accept(
    opened: Gateway,
    device: str,
    points: tuple[str, ...],
    by: str,
    texts: tuple[str, ...],
    reason: str,
    percent: Decimal,
    *,
    neighbours: bool,
    as_json: bool,
) -> None:
    found = [one for one in opened.catalogue.modbus if one.site.id == device]
    if not found:
        instrument_to_probe(opened.settings.site, device)  # says which devices there are
    instrument, zone = found[0], opened.signer.identity.zone_info
    if texts:
        given = displays_of(texts, instrument, zone, opened.clock.now())
        rows = asyncio.run(_read_known(instrument, opened, tuple(given), neighbours=neighbours))
        seen = {point: _pair(pair, _of(rows, point), _of(rows, point)) for point, pair in given.items()}
    elif sys.stdin.isatty():
        ask: Ask = lambda text: str(click.prompt(text, default="", show_default=False, err=True))  # noqa: E731
        seen = asyncio.run(ask_displays(instrument, opened, points, ask, neighbours=neighbours))
        rows = [row for pair in seen.values() for row in pair[-1].rows]
    else:
        raise MisuseError(
            "--accept 需要每个测点两次 --display，或在终端中运行以便询问",
            "--accept needs --display twice for each point, or a terminal to ask at",
        )
    if not seen:
        raise MisuseError("没有给出显示值；未确认任何通道", "no display was read; nothing was accepted")
    if not as_json:
        print_rows(instrument, rows)
    records = commission(
        instrument, opened.catalogue.channels, seen, now=opened.clock.now(), by=by, reason=reason, percent=percent
    )
    sids = opened.pipeline.commission(records)
    accepted = {record.channel.id for record in records}
    left = [channel for ids in instrument.channels.values() for channel in ids if channel not in accepted]
    if as_json:
        signed = [{"sid": sid, **record.event_data()} for sid, record in zip(sids, records, strict=True)]
        _print_json({"rows": [_row(one) for one in rows], "accepted": signed, "left": left})
        return
    for record, sid in zip(records, sids, strict=True):
        click.echo(_accepted(record, sid))
    if left:
        names = ", ".join(left)
        click.echo(say(f"尚未确认的通道：{names}", f"channels of this device not accepted yet: {names}"))


async def ask_displays(
    instrument: Instrument, opened: Gateway, points: Sequence[str], ask: Ask, *, neighbours: bool
) -> dict[str, tuple[Seen, Seen]]:
    """Ask for each point's display, read the device at once, and go round a second time; an empty answer passes.

    Raises:
        MisuseError: no such point.
        DeviceError: the device does not answer.
    """
    rounds: dict[str, list[Seen]] = {name: [] for name in points or sorted(instrument.channels)}
    for which in (1, 2):
        for point in [name for name, seen in rounds.items() if len(seen) == which - 1]:
            described = instrument.profile.points.get(point)
            unit = f" [{described.unit}]" if described is not None and described.unit else ""
            shown = ask(say(f"第 {which} 次显示值 {point}{unit}", f"display {which} of 2, {point}{unit}")).strip()
            if not 0 < len(shown) <= LONGEST_SHOWN:
                continue
            at = opened.clock.now()
            rows = await _read_known(instrument, opened, (point,), neighbours=neighbours)
            rounds[point].append(Seen(Display(shown, at), tuple(rows)))
    return {point: (seen[0], seen[1]) for point, seen in rounds.items() if len(seen) == 2}


async def _read_known(
    instrument: Instrument, opened: Gateway, points: Sequence[str], *, neighbours: bool
) -> list[ProbeRow]:
    """Read points of a device once it has shown that it is the described one."""
    line = _line(instrument, opened.settings)
    try:
        if instrument.profile.match:
            poller = Poller(instrument, line, opened.clock, opened.settings.poll)
            await poller.poll()
            if poller.state.is_wrong_device:
                said = "; ".join(f"{one.point}: {one.came!r} ≠ {one.wanted}" for one in poller.state.mismatches)
                raise RefusedError(
                    f"{instrument.site.id} 不是描述 {instrument.profile.id} 所述的设备：{said}",
                    f"{instrument.site.id} is not the device that profile {instrument.profile.id} describes: {said}",
                )
        return await probe_device(instrument, line, points, neighbours=neighbours, clock=opened.clock)
    finally:
        line.close()


async def _read(
    instrument: Instrument, settings: Settings, points: Sequence[str], *, neighbours: bool
) -> list[ProbeRow]:
    line = _line(instrument, settings)
    try:
        return await probe_device(instrument, line, points, neighbours=neighbours)
    finally:
        line.close()


def _line(instrument: Instrument, settings: Settings) -> ModbusLine:
    if instrument.line is None:
        raise ValueError(f"{instrument.site.id} has no line")
    return ModbusLine(instrument.line, timeout_s=settings.poll.timeout_s)


def _pair(displays: tuple[Display, Display], *rows: tuple[ProbeRow, ...]) -> tuple[Seen, Seen]:
    return Seen(displays[0], rows[0]), Seen(displays[1], rows[1])


def _of(rows: Sequence[ProbeRow], point: str) -> tuple[ProbeRow, ...]:
    return tuple(row for row in rows if row.point == point)


def _percent(text: str) -> Decimal:
    try:
        percent = Decimal(text)
    except InvalidOperation:
        percent = Decimal(-1)
    if not 0 <= percent <= 50:
        raise MisuseError(
            f"--tolerance {text} 应为 0 至 50 的百分数", f"--tolerance {text}: give a percentage of 0 to 50"
        )
    return percent


def _accepted(record: Commissioned, sid: str) -> str:
    value, unit = record.compared[-1].read.value, record.channel.unit
    doubt = say("（与显示不符，已说明原因）", " (against the display, with a reason)") if record.reason else ""
    return say(
        f"已确认投用{doubt}：{record.channel.id} = {value} {unit}，声明 {sid[:16]}…",
        f"accepted{doubt}: {record.channel.id} = {value} {unit}, statement {sid[:16]}…",
    )


def _row(row: ProbeRow) -> Mapping[str, Any]:
    return {**asdict(row), "order": row.order}


def _print_json(value: object) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))
