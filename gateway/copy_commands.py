"""The command that copies a gateway: `cunzheng gateway export`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from gateway.clock import RealClock
from gateway.command_options import with_config, with_json
from gateway.damage import refuse_after_damage
from gateway.errors import MisuseError
from gateway.export import export_copy
from gateway.lang import say
from gateway.settings import load_settings

_WHAT = {"database": ("数据库", "database"), "tiles": ("原始数据块", "raw tiles"), "contents": ("内容", "contents")}


@click.command(
    help=say(
        "制作一份可在其他机器上打开的副本；网关可继续运行。",
        "Write a copy that another machine can open; the gateway may go on running.",
    )
)
@with_config
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--with-key",
    is_flag=True,
    help=say(
        "连同签名密钥；仅用于把网关迁到另一台机器，两台绝不可同时运行。",
        "With the signing key: only to move the gateway to another machine; never run both.",
    ),
)
@with_json
def export(config: Path, target: Path, with_key: bool, as_json: bool) -> None:
    """Write a copy."""
    settings = load_settings(config)
    refuse_after_damage(settings)
    if not settings.database.exists():
        raise MisuseError(
            f"没有数据库 {settings.database}；请先运行 cunzheng gateway enrol",
            f"there is no database {settings.database}; run cunzheng gateway enrol first",
        )
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bars = {what: progress.add_task(say(*names), total=None) for what, names in _WHAT.items()}

        def show(what: str, done: int, total: int) -> None:
            progress.update(bars[what], completed=done, total=total)

        done = export_copy(config, settings, target, RealClock().now(), show, with_key=with_key)
    if as_json:
        facts = {name: value for name, value in asdict(done).items() if name != "files"}
        click.echo(json.dumps({**facts, "files": len(done.files), "size": done.size}, ensure_ascii=False, indent=2))
        return
    click.echo(
        say(
            f"副本 {done.folder}：{len(done.files)} 个文件，{done.size} 字节；读数 {done.readings} 个，"
            f"声明 {done.statements} 条；{'含' if done.with_key else '不含'}签名密钥",
            f"copy {done.folder}: {len(done.files)} files, {done.size} bytes; {done.readings} readings,"
            f" {done.statements} statements; {'with' if done.with_key else 'without'} the signing key",
        )
    )
    for name in done.missing:
        click.echo(say(f"  缺少: {name}", f"  missing: {name}"))
