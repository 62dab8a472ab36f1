"""`cunzheng simulate PLANT.toml`: device simulators only, until interrupted.

The file is described in `simulator.plant_file`; `--example` prints one.
"""

from __future__ import annotations

import asyncio
import json
import signal
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import click

from cunzheng.commands_profile import find_profile
from cunzheng.errors import CommandError, ExitCode
from cunzheng.lang import say
from cunzheng.simulator.broker import start_broker
from cunzheng.simulator.dials import Dials, Values
from cunzheng.simulator.mill import EnergySource, LiveMill, demo_mill, electricity_values, gas_values
from cunzheng.simulator.modbus_device import ModbusDeviceSimulator, ModbusSimulatorServer
from cunzheng.simulator.mqtt_device import MqttDeviceSimulator
from cunzheng.simulator.plant_file import SAMPLE, DeviceSettings, PlantSettings, SimulatedClock, read_plant
from device_profiles import Profile, settings_of


def _show_example(ctx: click.Context, option: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(SAMPLE, nl=False)
        ctx.exit()


@click.command(
    help=say(
        "只运行模拟设备：Modbus 服务器与 MQTT 发布端，按 Ctrl-C 结束。",
        "Run simulated devices only: Modbus servers and MQTT publishers. Ctrl-C ends.",
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
@click.option("--seconds", type=float, help=say("运行这么久后结束", "end after so long"))
@click.option("--json", "as_json", is_flag=True, help="JSON")
def simulate(plant: Path, folder: Path | None, seconds: float | None, as_json: bool) -> int:
    """Start everything, print the ports, run."""
    settings = read_plant(plant)
    with tempfile.TemporaryDirectory(prefix="cunzheng-broker-") as temporary:
        asyncio.run(_run(settings, folder or Path(temporary), seconds, as_json=as_json))
    return ExitCode.DONE


async def _run(settings: PlantSettings, folder: Path, seconds: float | None, *, as_json: bool) -> None:
    real = datetime.now(UTC)
    simulated = SimulatedClock(settings.start or real, real, settings.speed)
    mill = demo_mill()
    source: EnergySource = mill if settings.source == "recording" else LiveMill(mill)

    def clock() -> datetime:
        return simulated.at(datetime.now(UTC))

    async with AsyncExitStack() as stack:
        facts: list[dict[str, Any]] = []
        for listener in settings.modbus:
            devices = [
                ModbusDeviceSimulator(
                    profile := _of_protocol(one, "modbus"),
                    one.unit,
                    _values(profile, one, source),
                    _dials(one),
                    clock,
                )
                for one in listener.device
            ]
            server = await stack.enter_async_context(ModbusSimulatorServer(devices, listener.host, listener.port))
            facts += [
                {"modbus": f"{listener.host}:{server.port}", "unit": one.unit_id, "profile": one.profile.id}
                for one in devices
            ]
        host, port = ("", 0)
        if settings.broker is not None:
            host, port = settings.broker.host, settings.broker.port
        elif settings.mqtt:
            broker = await asyncio.to_thread(start_broker, folder)
            stack.callback(broker.stop)
            host, port = broker.host, broker.port
        publishers = []
        for publisher in settings.mqtt:
            profile = _of_protocol(publisher, "mqtt")
            publishers.append(
                MqttDeviceSimulator(
                    profile,
                    publisher.device,
                    host=host,
                    port=port,
                    client_id=publisher.client_id or f"simulated-{publisher.device}",
                    values=_values(profile, publisher, source),
                    interval_s=publisher.interval_s,
                    dials=_dials(publisher),
                    clock=clock,
                )
            )
            facts.append({"mqtt": f"{host}:{port}", "topic": publishers[-1].topic, "profile": profile.id})
        _print(facts, as_json=as_json)
        await _until_told(publishers, seconds)


async def _until_told(publishers: list[MqttDeviceSimulator], seconds: float | None) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(name, stop.set)
    running = [asyncio.create_task(publisher.run()) for publisher in publishers]
    waiting = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait([*running, waiting], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()  # a publisher ends by itself only with an error
    finally:
        for task in (*running, waiting):
            task.cancel()
        await asyncio.gather(*running, waiting, return_exceptions=True)


def _of_protocol(settings: DeviceSettings, protocol: str) -> Profile:
    profile = find_profile(settings.profile)
    if profile.protocol != protocol:
        raise CommandError(
            f"{profile.id} 不是 {protocol} 设备",
            f"{profile.id} is no {protocol} device",
            exit_code=ExitCode.MISUSE,
        )
    try:
        given = {name: str(value) for name, value in settings.parameters.items()}
        return profile.configured(settings_of(profile, given))
    except ValueError as error:
        raise CommandError(f"{profile.id}：{error}", f"{profile.id}: {error}", exit_code=ExitCode.MISUSE) from error


def _values(profile: Profile, settings: DeviceSettings, source: EnergySource) -> Callable[[datetime], Values]:
    """Let the device follow the mill's load, with fixed values over it."""
    fixed: dict[str, Decimal | str] = {}
    for name, text in settings.values.items():
        point = profile.points.get(name)
        if point is None:
            raise CommandError(
                f"{profile.id} 没有测点 {name}",
                f"{profile.id} has no point {name}",
                exit_code=ExitCode.MISUSE,
            )
        try:
            fixed[name] = text if point.is_text else Decimal(text)
        except InvalidOperation as error:
            raise CommandError(
                f"{name}：{text} 不是数", f"{name}: {text} is no number", exit_code=ExitCode.MISUSE
            ) from error

    def values(now: datetime) -> Values:
        moving = gas_values(source, now) if profile.mqtt is not None else electricity_values(profile, source, now)
        known = {name: value for name, value in moving.items() if name in profile.points}
        return {**known, **fixed}

    return values


def _dials(settings: DeviceSettings) -> Dials:
    given = settings.dials.model_dump()
    return Dials(**{**given, "no_value": frozenset(given["no_value"])})


def _print(facts: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(facts, ensure_ascii=False))
        return
    for fact in facts:
        click.echo("  ".join(f"{key}={value}" for key, value in fact.items()))
