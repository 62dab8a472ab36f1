"""`cunzheng witness …`: what the operator of a witness types."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from pathlib import Path
from types import FrameType

import click

from evidence.keys import SigningKey
from witness import keyfile, settings
from witness.errors import WitnessError
from witness.founding import found, vkey_of, write_settings
from witness.judging import Witness
from witness.memory import Memory
from witness.server import WitnessServer
from witness.settings import Settings

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
logger = logging.getLogger("cunzheng.witness")


def _say(zh: str, en: str) -> str:
    """Return the text in the language of the person at the screen."""
    chosen = next(
        (value for name in ("CUNZHENG_LANG", "LC_ALL", "LC_MESSAGES", "LANG") if (value := os.environ.get(name))), ""
    )
    return zh if chosen.lower().startswith("zh") else en


_config = click.option(
    "-c",
    "--config",
    "config",
    type=click.Path(path_type=Path),
    default=Path("witness.toml"),
    show_default=True,
    help="witness.toml",
)


@click.group(
    help=_say(
        "日志见证：为中心日志的检查点联署，应由他人在另一台机器上运行。",
        "A witness: cosigns checkpoints of the centre's log; others should run it, on another machine.",
    )
)
def witness() -> None:
    """Group of the witness's commands."""


@witness.command(
    help=_say(
        "生成见证的密钥与状态；设置文件不存在时由 --name 和 --log 写出。显示写入策略文件的一行。",
        "Make key and memory; writes the settings from --name and --log where there are none. Shows the policy line.",
    )
)
@_config
@click.option("--name", help=_say("见证名称，如 witness.example/city。", "Name, such as witness.example/city."))
@click.option(
    "--log", "logs", multiple=True, help=_say("日志公钥（vkey），可多次。", "A log's key (vkey); may be repeated.")
)
@click.option("--host", default="127.0.0.1", help=_say("监听地址。", "Address to listen on."))
@click.option("--port", type=click.IntRange(0, 65535), default=8090, help=_say("监听端口。", "Port to listen on."))
@click.option("--json", "as_json", is_flag=True, help=_say("输出 JSON。", "Print JSON."))
def init(config: Path, name: str | None, logs: tuple[str, ...], host: str, port: int, as_json: bool) -> None:
    """Make a witness; safe to repeat."""
    if name is not None and not config.exists():
        write_settings(config, name, logs, host, port)
    made = found(config)
    if as_json:
        facts = {"name": made.settings.name, "vkey": made.vkey, "policy_line": made.policy_line, "new": made.is_new}
        click.echo(json.dumps(facts))
        return
    click.echo(_say(f"见证已就绪：{made.vkey}", f"witness ready: {made.vkey}"))
    click.echo(_say("写入中心的策略文件：", "for the policy file of the centre:"))
    click.echo(f"  {made.policy_line}")


@witness.command(help=_say("运行见证。", "Run the witness."))
@_config
def run(config: Path) -> None:
    """Serve until stopped."""
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    chosen = settings.load(config)
    key = keyfile.read(chosen.key_file)
    memory = Memory.open(chosen.memory_file, vkey_of(chosen, key))
    try:
        server = WitnessServer(chosen, _witness(chosen, key, memory))
    except OSError as error:
        raise WitnessError(
            f"无法在 {chosen.host}:{chosen.port} 监听：{error.strerror}",
            f"cannot listen on {chosen.host}:{chosen.port}: {error.strerror}",
            exit_code=2,
        ) from error

    def stop(_signal: int, _frame: FrameType | None) -> None:
        # From another thread: shutdown waits for the loop that this signal interrupted.
        threading.Thread(target=server.shutdown).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    logger.info("listening host=%s port=%d logs=%d", chosen.host, server.server_port, len(chosen.logs))
    with server:
        server.serve_forever(poll_interval=0.2)
    memory.close()


def _witness(chosen: Settings, key: SigningKey, memory: Memory) -> Witness:
    """Make the witness; contradictions go to files beside its memory."""

    def keep(name: str, data: bytes) -> None:
        file = chosen.data / f"{name}.json"
        if not file.exists():
            logger.critical("log shows two histories file=%s", file)
            file.write_bytes(data)

    return Witness(chosen.name, key, memory, chosen.log_keys, lambda: int(time.time()), keep)
