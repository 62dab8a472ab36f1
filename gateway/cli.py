"""The commands of a plant's gateway: enrol, run, probe, status, import, close, sync, check, export and records.

Each command opens what it needs, prints facts (`--json` for programs) and closes. Errors end the command with one line
and an exit code; they are shown by the command's front end.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import click
import uvloop
from rich.console import Console

from gateway.assembly import open_gateway, open_uplink
from gateway.clock import RealClock
from gateway.command_options import with_config, with_json
from gateway.content_check import check_contents
from gateway.copy_commands import export
from gateway.damage import damaged, finish_putting_aside, is_malformed, last_epoch, put_aside, refuse_after_damage
from gateway.disk import require_room, reusable_bytes
from gateway.enrol import enrol as enrol_gateway
from gateway.errors import DamagedError, MisuseError, RefusedError
from gateway.export import manifest_faults
from gateway.importer import import_file
from gateway.integrity import CheckReport, check_store
from gateway.lang import say
from gateway.probe_command import probe
from gateway.prove_command import prove
from gateway.rawtile import RawFolder
from gateway.reading_store import open_hours
from gateway.record_commands import calibration, mark
from gateway.reload_command import outcome_json, reload_running
from gateway.row_check import naming_rows, naming_rows_of
from gateway.runlock import running_alone
from gateway.service import Service
from gateway.settings import Settings, load_settings
from gateway.status import device_lines, disk_line, retention_line, status_of
from gateway.store import Store
from gateway.syncing import RoundResult
from gateway.writer import Writer

R = TypeVar("R")

log = logging.getLogger("cunzheng.gateway")


@click.group(
    name="gateway", help=say("企业网关：登记、采集、导入、同步。", "A plant's gateway: enrol, run, import, sync.")
)
def gateway() -> None:
    """Hold the commands."""


gateway.add_command(probe)
gateway.add_command(mark)
gateway.add_command(calibration)
gateway.add_command(export)
gateway.add_command(prove)


@gateway.command(help=say("用一次性登记码登记本网关。", "Enrol this gateway with a one-time code."))
@with_config
@click.argument("code", envvar="CUNZHENG_ENROL_CODE")
@click.option("--again", is_flag=True, help=say("换新密钥，开始新一期。", "Make a new key and begin a new epoch."))
@click.option(
    "--abandon",
    is_flag=True,
    help=say(
        "与 --again 同用：放弃尚未被中心端接受的声明。", "With --again: give up statements the centre has not taken."
    ),
)
@with_json
def enrol(config: Path, code: str, again: bool, abandon: bool, as_json: bool) -> None:
    """Enrol with the centre."""
    settings = load_settings(config)
    clock = RealClock()
    finish_putting_aside(settings.database)
    after = last_epoch(settings)
    with _writer(settings) as writer, open_uplink(settings, None, clock) as up:
        identity = enrol_gateway(
            writer, up, clock, settings.key_file, code, again=again, abandon=abandon, after_epoch=after
        )
    if as_json:
        _print_json({"gateway": identity.gw, "plant": identity.plant, "epoch": identity.epoch, "kid": identity.kid})
        return
    click.echo(
        say(
            f"已登记：网关 {identity.gw}，企业 {identity.plant}，第 {identity.epoch} 期，密钥 {identity.kid}",
            f"enrolled: gateway {identity.gw}, plant {identity.plant}, epoch {identity.epoch}, key {identity.kid}",
        )
    )


@gateway.command(help=say("运行：采集、封存、同步，直到收到停止信号。", "Poll, seal and sync until told to stop."))
@with_config
@click.option("-v", "--verbose", is_flag=True, help=say("输出更多日志。", "Log more."))
def run(config: Path, verbose: bool) -> None:
    """Run the service."""
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        stream=sys.stderr,
    )
    for noisy in ("httpx", "httpcore", "asyncio", "http_message_signatures"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the service can read its site file again
    if os.geteuid() == 0:
        log.warning(
            say(
                "网关正以 root 身份运行；请用专用用户运行，见 docs/deployment.md",
                "the gateway runs as root; give it a user of its own, see docs/deployment.md",
            )
        )
    settings = load_settings(config)
    with running_alone(settings.database.parent, takes_signals=True):
        if settings.start.check == "whole" and settings.database.exists() and is_malformed(settings.database):
            raise damaged(settings, put_aside(settings, RealClock().now()))
        try:
            with open_gateway(settings) as opened:
                # What is loaded by now stays for good: the collector need not walk through it again and again.
                gc.freeze()
                uvloop.run(Service(opened).run())
        except DamagedError as error:
            if not settings.database.exists() or not is_malformed(settings.database):
                raise
            raise damaged(settings, put_aside(settings, RealClock().now())) from error


@gateway.command(
    help=say("让运行中的网关重新读取站点文件。", "Make the running gateway read its site file again."), name="reload"
)
@with_config
@with_json
def reload_(config: Path, as_json: bool) -> None:
    """Reload the site file."""
    outcome = reload_running(load_settings(config))
    if as_json:
        _print_json(outcome_json(outcome))
        return
    click.echo(say(outcome.zh, outcome.en))


@gateway.command(help=say("显示网关状态。", "Show what the gateway is doing."))
@with_config
@with_json
def status(config: Path, as_json: bool) -> None:
    """Show the status."""
    settings = load_settings(config)
    facts = _with_store(settings, lambda store: status_of(store, settings))
    if as_json:
        _print_json(facts)
        return
    click.echo(
        say(
            f"网关 {facts['gateway']}，企业 {facts['plant']}，第 {facts['epoch']} 期；声明 {facts['statements']} 条，"
            f"待上传 {facts['waiting']}，放弃 {facts['refused']}，回执 {facts['receipts']}；"
            f"读数 {facts['readings']} 个，未封存 {facts['open_readings']}",
            f"gateway {facts['gateway']}, plant {facts['plant']}, epoch {facts['epoch']};"
            f" statements {facts['statements']},"
            f" waiting {facts['waiting']}, given up {facts['refused']}, receipts {facts['receipts']};"
            f" readings {facts['readings']}, not sealed {facts['open_readings']}",
        )
    )
    click.echo(f"  {disk_line(facts['disk'])}")
    click.echo(f"  {retention_line(facts['retention'])}")
    for channel in facts["channels"]:
        if "time" in channel:
            reason = f" {channel['reason']}" if channel["reason"] else ""
            value = "-" if channel["value"] is None else channel["value"]
            click.echo(
                f"  {channel['channel']}  {channel['time']}  {value} {channel['unit']}  {channel['flag']}{reason}"
            )
    for line in device_lines(facts["devices"]):
        click.echo(f"  {line}")
    if facts["quality"]:
        counts = ", ".join(f"{rule} {n}" for rule, n in facts["quality"].items())
        click.echo(say(f"  质量检查（规则 次数）: {counts}", f"  quality checks (rule, times): {counts}"))
    for problem in facts["problems"]:
        click.echo(
            say(
                f"  问题（{problem['since']} 起）: {problem['zh']}",
                f"  problem since {problem['since']}: {problem['en']}",
            )
        )


@gateway.command(name="import", help=say("导入历史库导出的 CSV 文件。", "Import a historian's CSV export."))
@with_config
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--map",
    "map_path",
    type=click.Path(path_type=Path),
    required=True,
    help=say("映射文件。", "The map of the columns."),
)
@with_json
def import_(config: Path, file: Path, map_path: Path, as_json: bool) -> None:
    """Import a file."""
    with (
        open_gateway(config) as opened,
        Console(stderr=True).status(say(f"导入 {file.name} …", f"importing {file.name} …")),
    ):
        require_room(opened.settings, opened.writer.call(reusable_bytes))
        result = import_file(opened.pipeline, opened.catalogue.channels, file, map_path)
    if as_json:
        _print_json(asdict(result))
        return
    click.echo(
        say(
            f"{result.file}: {result.rows} 行，新读数 {result.stored}，已有 {result.already}，"
            f"封存 {result.segments} 段",
            f"{result.file}: {result.rows} rows, {result.stored} new readings, {result.already} known already,"
            f" {result.segments} segments sealed",
        )
    )


@gateway.command(help=say("立即封存已结束的小时。", "Seal every hour that is over, without waiting for late readings."))
@with_config
@with_json
def close(config: Path, as_json: bool) -> None:
    """Seal what is due now."""
    with open_gateway(config) as opened, Console(stderr=True).status(say("封存 …", "sealing …")):
        with naming_rows_of(opened.writer):
            sealed = opened.pipeline.seal_due(timedelta(0))
        left = opened.writer.call(open_hours)
    if as_json:
        _print_json({"segments": sealed.segments, "readings": sealed.readings, "open_hours": len(left)})
        return
    click.echo(
        say(
            f"封存 {sealed.segments} 段，{sealed.readings} 个读数；未结束的小时 {len(left)} 个",
            f"sealed {sealed.segments} segments with {sealed.readings} readings; {len(left)} hours are not over",
        )
    )


@gateway.command(help=say("与中心端同步一次，直到没有待传内容。", "Sync with the centre until nothing waits."))
@with_config
@with_json
def sync(config: Path, as_json: bool) -> None:
    """Sync once."""
    total = RoundResult()
    with open_gateway(config) as opened, opened.uplink() as uplink:
        syncing = opened.syncing(uplink)
        with Console(stderr=True).status(say("同步 …", "syncing …")):
            while True:
                done = syncing.round()
                total = _added(total, done)
                if not done.has_moved:
                    break
    if as_json:
        _print_json(asdict(total))
    else:
        click.echo(
            say(
                f"入日志 {total.logged} 条，拉取 {total.pulled} 条，出示数据块 {total.tiles} 个、未能出示"
                f" {total.refused_tiles} 个，签发月报 {total.months} 份，待传 {total.waiting}",
                f"logged {total.logged}, pulled {total.pulled}, tiles shown {total.tiles}, not shown"
                f" {total.refused_tiles}, months signed {total.months}, waiting {total.waiting}",
            )
        )
    if total.waiting:
        raise RefusedError(
            f"仍有 {total.waiting} 条声明未被中心端接受；详见 status",
            f"{total.waiting} statements were not accepted by the centre; see status",
        )


@gateway.command(help=say("核对数据库、读数树和声明链。", "Check database, reading tree and chain of statements."))
@with_config
@click.option(
    "--repair", is_flag=True, help=say("用数据库重建损坏的原始数据块。", "Rebuild damaged raw tiles from the database.")
)
@with_json
def check(config: Path, repair: bool, as_json: bool) -> None:
    """Check everything."""
    settings = load_settings(config)
    raw = RawFolder(settings.raw_folder)

    def look(store: Store) -> CheckReport:
        report = check_store(store, raw, repair=repair)
        check_contents(store, settings.content_folder, report, repair=repair)
        return report

    with Console(stderr=True).status(say("核对 …", "checking …")):
        unlisted = [say(zh, en) for zh, en in manifest_faults(config.resolve().parent)]
        report = _with_store(settings, look)
        report.faults += unlisted
    if as_json:
        _print_json({**asdict(report), "ok": not report.faults})
    else:
        click.echo(
            say(
                f"核对了 {report.readings} 个读数、{report.tiles} 个数据块、{report.segments} 段、"
                f"{report.statements} 条声明、{report.contents} 个内容文件；"
                f"修复 {report.repaired}，发现问题 {len(report.faults)}",
                f"checked {report.readings} readings, {report.tiles} tiles, {report.segments} segments,"
                f" {report.statements} statements, {report.contents} contents;"
                f" repaired {report.repaired}, faults {len(report.faults)}",
            )
        )
        if report.no_longer_kept:
            gone = report.no_longer_kept
            click.echo(say(f"  已超过保存期限的数据块 {gone} 个", f"  {gone} tiles are older than the retention"))
        for fault in report.faults:
            click.echo(f"  {fault}")
    if report.faults:
        raise RefusedError(
            f"发现 {len(report.faults)} 处问题；请用 cunzheng gateway export 保存副本，再按 docs/recovery.md 处理",
            f"{len(report.faults)} faults were found; keep a copy with cunzheng gateway export, then do as"
            " docs/recovery.md says",
        )


class _writer:
    """A writer for one command."""

    def __init__(self, settings: Settings) -> None:
        self._writer = Writer(settings.database)

    def __enter__(self) -> Writer:
        return self._writer

    def __exit__(self, *_: object) -> None:
        self._writer.close()


def _with_store(settings: Settings, work: Callable[[Store], R]) -> R:
    refuse_after_damage(settings)
    if not settings.database.exists():
        raise MisuseError(
            f"没有数据库 {settings.database}；请先运行 cunzheng gateway enrol",
            f"there is no database {settings.database}; run cunzheng gateway enrol first",
        )

    def named(store: Store) -> R:
        with naming_rows(store):
            return work(store)

    with _writer(settings) as writer:
        return writer.call(named)


def _added(total: RoundResult, done: RoundResult) -> RoundResult:
    return RoundResult(
        sent=total.sent + done.sent,
        logged=total.logged + done.logged,
        refused=total.refused + done.refused,
        pulled=total.pulled + done.pulled,
        tiles=total.tiles + done.tiles,
        refused_tiles=total.refused_tiles + done.refused_tiles,
        months=total.months + done.months,
        waiting=done.waiting,
    )


def _print_json(value: object) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))
