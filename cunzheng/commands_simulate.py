"""`cunzheng simulate PLANT.toml`: device simulators only, until interrupted.

The file is described in `simulator.plant_file`; `--example` prints one.
"""

from __future__ import annotations

import asyncio
import json
import signal
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from cunzheng.commands_profile import find_profile
from cunzheng.errors import ExitCode
from cunzheng.lang import say
from cunzheng.simulator.plant import Plant
from cunzheng.simulator.plant_file import SAMPLE, PlantSettings, read_plant


def _show_example(ctx: click.Context, option: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(SAMPLE, nl=False)
        ctx.exit()


@click.command(
    help=say(
        "只运行模拟设备：Modbus 服务器、MQTT 发布端与 HJ 212 数采仪，按 Ctrl-C 结束。",
        "Run simulated devices only: Modbus servers, MQTT publishers, HJ 212 data loggers. Ctrl-C ends.",
    )
)
@click.argument("plant", type=click.Path(path_type=Path), metavar="PLANT.toml")
@click.option("--dir", "folder", type=click.Path(path_type=Path), help=say("代理的数据目录", "the broker's folder"))
@click.option(
    "--example",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_example,
    help=say("输出一份带说明的 PLANT.toml 示例", "print a commented PLANT.toml"),
)
@click.option(
    "--journal",
    type=click.Path(path_type=Path),
    help=say("把所供读数与故障记为 JSON 行", "write what was served, and every fault, as JSON lines"),
)
@click.option("--seconds", type=float, help=say("运行这么久后结束", "end after so long"))
@click.option("--json", "as_json", is_flag=True, help="JSON")
def simulate(plant: Path, folder: Path | None, journal: Path | None, seconds: float | None, as_json: bool) -> int:
    """Start everything, print the ports, run."""
    settings = read_plant(plant)
    if journal is not None:
        settings = settings.model_copy(update={"journal": journal})
    with tempfile.TemporaryDirectory(prefix="cunzheng-broker-") as temporary:
        asyncio.run(_run(settings, folder or Path(temporary), seconds, as_json=as_json))
    return ExitCode.DONE


async def _run(settings: PlantSettings, folder: Path, seconds: float | None, *, as_json: bool) -> None:
    async with Plant(settings, find_profile, folder) as plant:
        _print(plant.facts, as_json=as_json)
        stop = asyncio.Event()
        for name in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError):
                asyncio.get_running_loop().add_signal_handler(name, stop.set)
        running, waiting = asyncio.create_task(plant.run()), asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait([running, waiting], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # a plant ends by itself only with an error
        finally:
            for task in (running, waiting):
                task.cancel()
            await asyncio.gather(running, waiting, return_exceptions=True)


def _print(facts: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(facts, ensure_ascii=False))
        return
    for fact in facts:
        click.echo("  ".join(f"{key}={value}" for key, value in fact.items()))
