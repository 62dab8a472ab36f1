"""`cunzheng demo`: the whole chain on this machine, to look at (default) or once through (`--once`)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from cunzheng.demo import plant as stage_plant
from cunzheng.demo.processes import Programs, free_port, is_free
from cunzheng.demo.stage import Months, Stage
from cunzheng.errors import CommandError, ExitCode
from cunzheng.lang import say
from cunzheng.simulator.broker import Kind

DEFAULT_PORT = 8080


@click.command(
    help=say(
        "在本机演示全流程：中心端、消息代理、模拟设备、网关和一家钢铁企业。Ctrl-C 结束。",
        "The whole chain on this machine: centre, broker, simulated devices, gateway, a steel plant. Ctrl-C ends.",
    )
)
@click.option(
    "--port", type=click.IntRange(0, 65535), help=say("网页端口，0 为任选。", "Port of the pages; 0 takes any.")
)
@click.option(
    "--once",
    is_flag=True,
    help=say(
        "走完全流程直到审定的月度存证，逐步打印一行后退出。", "Run to an approved month, a line a step, and exit."
    ),
)
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help=say("数据目录，保留以便再次使用；默认为临时目录。", "Folder to keep the data in; default: a temporary one."),
)
@click.option(
    "--broker",
    type=click.Choice(["mosquitto", "amqtt"]),
    help=say(
        "消息代理；默认用 mosquitto，未安装时用内置的 amqtt。",
        "MQTT broker; default: mosquitto where installed, else the embedded amqtt.",
    ),
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help=say("每步一行 JSON，最后一行为结果。", "A line of JSON a step, the result last."),
)
def demo(port: int | None, once: bool, folder: Path | None, broker: Kind | None, as_json: bool) -> int:
    """Set the stage, then show it or walk through it."""
    started = time.monotonic()
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, _stop_in_order)
    with _folder(folder) as place, Programs(place) as programs:
        stage = Stage(place, programs, _port(port, once=once), broker)
        if once and stage.is_set_up:
            raise CommandError(
                f"{place} 中已有演示数据；--once 需要空目录",
                f"{place} holds an earlier demonstration; --once wants an empty folder",
                exit_code=ExitCode.MISUSE,
            )
        try:
            months = Months.before(datetime.now(UTC))
            for line in _again(stage) if stage.is_set_up else _first(stage, months, once=once):
                click.echo(_json({"step": line}) if as_json else f"  ✓ {line}")
            if once:
                seconds = round(time.monotonic() - started)
                done = {"done": True, "month": months.open, "seconds": seconds}
                click.echo(_json(done) if as_json else say("完成", "done") + f"  {seconds} s")
                return ExitCode.DONE
            _show_until_interrupted(stage, months, programs, as_json=as_json)
        finally:
            programs.stop()
            if stage.broker is not None:
                stage.broker.stop()
    return ExitCode.DONE


def _first(stage: Stage, months: Months, *, once: bool) -> Iterator[str]:
    steps: list[Callable[[], str]] = [stage.set_up_centre, stage.start_devices, stage.enrol_gateway]
    for step in steps:
        yield step()
    for period in (months.open,) if once else (months.approved, months.open):
        yield stage.import_month(period)
    yield stage.sync()
    yield stage.start_gateway()
    people = stage.people()
    yield say(f"{len(people)} 人登记了签名密钥", f"{len(people)} people registered their signing keys")
    period = months.open if once else months.approved
    yield stage.capture(people, period)
    yield from stage.approve_month(people, period)
    yield stage.verify_month(people["city"], period)
    if not once:
        yield stage.capture(people, months.open)


def _again(stage: Stage) -> Iterator[str]:
    stage.start_centre()
    yield say(f"沿用 {stage.folder} 中的数据：{stage.url}", f"going on with the data in {stage.folder}: {stage.url}")
    yield stage.start_devices()
    yield stage.start_gateway()


def _explain(stage: Stage, months: Months) -> None:
    names = [one for one in stage_plant.ACCOUNTS if not one.is_scripted]
    logins = "\n".join(f"      {one.name:<8} {say(one.zh, one.en)}{_role(one)}" for one in names)
    by_program = [one.name for one in stage_plant.ACCOUNTS if one.is_scripted]
    listed = say("、", ", ").join(by_program)
    verify = f"{_command()} verify {stage_plant.PLANT}-{months.open}.evb --trust trust.json"
    click.echo(
        say(
            f"""
存证演示已就绪：  {stage.url}/     （页面右上角可切换 English）

  登录（密码都是 {stage_plant.PASSWORD}）：
{logins}

  可以这样看：
    1. 以 li 登录 → “我的签名密钥” → 生成；打开 {months.open} → “核对并申报”。
    2. 以 wang 登录（另一浏览器或无痕窗口），生成密钥，申报；几秒后网关复算并签署。
    3. 以 zhou（市）、zheng（省）登录，生成密钥，在“待审”中审核通过。
    4. 任一月份：点开数字 → 小时 → 读数与原始字；在月份页下载证据包和 trust.json，再离线核验：
         {verify}
    密钥随无痕窗口关闭而丢失：以 admin 登录，在“人员”页允许登记新密钥。
    {months.approved} 由另外 {len(by_program)} 个程序用户（{listed}）走完全程，可直接查看。
    电量为真实钢厂 2018 年数据改写日期（UCI 851，CC BY 4.0），燃气与台账值为模拟。

  数据与日志：{stage.folder}      Ctrl-C 结束。
""",
            f"""
The demonstration is ready:  {stage.url}/     (language: top right)

  Logins (the password of all is {stage_plant.PASSWORD}):
{logins}

  What to click:
    1. Log in as li → "My signing key" → make one; open {months.open} → "Declare".
    2. Log in as wang (another browser or a private window), make a key, declare; the gateway then recomputes and signs.
    3. Log in as zhou (city) and zheng (province), make keys, approve from the review queue.
    4. In any month: open a figure → hour → readings and raw words; download the bundle and trust.json, both
       from the month page, and check them offline:
         {verify}
    A key is lost with its private window: log in as admin and allow a new one on the page "People".
    {months.approved} was signed by {len(by_program)} further users, run by program ({listed}); look at it now.
    Electricity is a real mill's of 2018, re-dated (UCI 851, CC BY 4.0); gas and ledger values are simulated.

  Data and logs: {stage.folder}      Ctrl-C ends.
""",
        )
    )


def _json(facts: dict[str, Any]) -> str:
    return json.dumps(facts, ensure_ascii=False)


_ROLES = {
    "technician": ("，化验/计量人员", ", technician"),
    "responsible": ("，负责人", ", responsible person"),
    "city": ("，市级审核", ", city reviewer"),
    "province": ("，省级审核", ", province reviewer"),
    "nation": ("，国家级审核", ", national reviewer"),
}


def _role(one: stage_plant.DemoAccount) -> str:
    return say(*_ROLES.get(one.role, ("", "")))


def _command() -> str:
    """Return this program as it can be typed here."""
    program = Path(sys.executable).with_name("cunzheng")
    # make puts the virtual environment on the path of what it starts, not on that of whoever called it.
    if "MAKELEVEL" not in os.environ and shutil.which("cunzheng") == str(program):
        return "cunzheng"
    here = Path.cwd()
    return str(program.relative_to(here) if program.is_relative_to(here) else program)


def _stop_in_order(number: int, frame: object) -> None:
    # As Ctrl-C: the programs must not outlive the demonstration.
    raise KeyboardInterrupt


def _show_until_interrupted(stage: Stage, months: Months, programs: Programs, *, as_json: bool) -> None:
    try:
        if as_json:
            click.echo(_json({"ready": True, "url": stage.url, "folder": str(stage.folder), "month": months.open}))
        else:
            _explain(stage, months)
        while (name := programs.ended()) is None:
            time.sleep(0.5)
        programs.require(name)
    except KeyboardInterrupt:
        click.echo(say("正在停止 …", "stopping …"), err=as_json)


def _port(port: int | None, *, once: bool) -> int:
    if port == 0 or (port is None and (once or not is_free(DEFAULT_PORT))):
        return free_port()
    chosen = DEFAULT_PORT if port is None else port
    if not is_free(chosen):
        raise CommandError(
            f"端口 {chosen} 已被占用；用 --port 另选一个",
            f"port {chosen} is taken; choose another with --port",
            exit_code=ExitCode.COULD_NOT_TELL,
        )
    return chosen


@contextmanager
def _folder(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="cunzheng-demo-") as temporary:
        yield Path(temporary)
