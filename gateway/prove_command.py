"""The command that discloses one reading: `cunzheng gateway prove`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from evidence.encoding import decimal_text, time_text
from gateway.command_options import with_config, with_json
from gateway.damage import refuse_after_damage
from gateway.errors import MisuseError, RefusedError
from gateway.identity import required_identity
from gateway.lang import say
from gateway.prove import Proof, ProvenReading, prove_reading
from gateway.rawtile import RawFolder
from gateway.record_commands import given_time
from gateway.settings import load_settings
from gateway.store import Store


@click.command(
    help=say(
        "出示一个读数及其证明：写成一个可单独核验的小文件，无需网络，网关可继续运行。",
        "Show one reading with its proof, in a small file that verifies alone; offline, and the gateway may go on.",
    )
)
@with_config
@click.argument("channel")
@click.argument("time")
@click.option(
    "-o",
    "--output",
    "output",
    type=click.Path(path_type=Path, dir_okay=False),
    help=say("写入的文件（默认 <通道>-<时间>.evb）。", "File to write (default CHANNEL-TIME.evb)."),
)
@with_json
def prove(config: Path, channel: str, time: str, output: Path | None, as_json: bool) -> None:
    """Disclose a reading."""
    settings = load_settings(config)
    refuse_after_damage(settings)
    if not settings.database.exists():
        raise MisuseError(
            f"没有数据库 {settings.database}；请先运行 cunzheng gateway enrol",
            f"there is no database {settings.database}; run cunzheng gateway enrol first",
        )
    store = Store(settings.database)
    try:
        moment = given_time(time, required_identity(store).zone_info, "TIME")
        proof = prove_reading(store, RawFolder(settings.raw_folder), channel, moment)
    finally:
        store.close()
    file = output or Path(_name_of(proof))
    _write(file, proof.bundle)
    facts = [_facts(one) for one in proof.readings]
    if as_json:
        click.echo(
            json.dumps({"file": str(file), "size": len(proof.bundle), "readings": facts}, ensure_ascii=False, indent=2)
        )
        return
    for one in facts:
        click.echo(
            say(
                f"{one['channel']} {one['time']}: {one['value']} {one['unit']} {one['flag']}，"
                f"第 {one['epoch']} 期读数 {one['index']}，日志第 {one['log_index']} 条",
                f"{one['channel']} {one['time']}: {one['value']} {one['unit']} {one['flag']},"
                f" reading {one['index']} of epoch {one['epoch']}, log entry {one['log_index']}",
            )
        )
    click.echo(
        say(
            f"已写入 {file}（{len(proof.bundle)} 字节）；核验：cunzheng verify {file} --trust trust.json",
            f"written to {file} ({len(proof.bundle)} bytes); check it: cunzheng verify {file} --trust trust.json",
        )
    )


def _facts(one: ProvenReading) -> dict[str, Any]:
    leaf = one.leaf
    return {
        "channel": leaf.channel,
        "time": time_text(leaf.time),
        "value": None if leaf.value is None else decimal_text(leaf.value),
        "unit": leaf.unit,
        "flag": leaf.flag.value,
        "epoch": one.epoch,
        "index": leaf.index,
        "segment": one.segment,
        "log_index": one.log_index,
    }


def _name_of(proof: Proof) -> str:
    leaf = proof.readings[0].leaf
    safe = "".join(character if character.isalnum() or character in "._-" else "_" for character in leaf.channel)
    return f"{safe}-{leaf.time:%Y%m%dT%H%M%S}Z.evb"


def _write(file: Path, data: bytes) -> None:
    try:
        with file.open("xb") as out:
            out.write(data)
    except FileExistsError as error:
        raise RefusedError(
            f"{file} 已存在，不会覆盖；请用 -o 换一个名称",
            f"{file} exists and is never written over; name another with -o",
        ) from error
    except OSError as error:
        raise RefusedError(f"无法写入 {file}: {error.strerror}", f"cannot write {file}: {error.strerror}") from error
