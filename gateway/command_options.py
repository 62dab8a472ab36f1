"""Options that the gateway's commands share."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.lang import say

with_config = click.option(
    "-c",
    "--config",
    "config",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("gateway.toml"),
    show_default=True,
    help=say("设置文件。", "Settings file."),
)
with_json = click.option("--json", "as_json", is_flag=True, help=say("以 JSON 输出。", "Print JSON."))
