"""`cunzheng trust import` and `show`: what this machine trusts, where it came from, and until when.

The first import needs a person's word: the fingerprint of the root that the authority has published, or the root file
itself. After that the keys decide; a bundle that is older, expired, signed too little, of another root or put together
from different exports is refused by name.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from cunzheng.errors import CommandError, ExitCode
from cunzheng.lang import say
from cunzheng.trust_choice import FOLDER_VARIABLE, age_words, trust_folder
from evidence.encoding import time_text
from gateway.clock import RealClock
from gateway.trust_client import (
    HeldTrust,
    Place,
    find_root,
    fingerprint_of,
    folder_place,
    has_trust,
    newest_root,
    read_trust,
    take_trust,
)
from gateway.trust_store import uplink_place
from gateway.uplink import Uplink

TIMEOUT_S = 30.0
_STALE_DAYS = 30
_OF_CENTRE = frozenset({"v", "registry", "size", "issued", "expires"})


@click.group(
    help=say(
        f"信任包：从网络或 U 盘导入、查看。保存位置可用环境变量 {FOLDER_VARIABLE} 指定。",
        f"The trust bundle: import it from the network or a USB stick, show it. ${FOLDER_VARIABLE} names its place.",
    )
)
def trust() -> None:
    """Group of trust commands."""


@trust.command(
    name="import",
    help=say(
        "导入信任包：PLACE 为目录（U 盘）或中心端网址。首次须用 --fingerprint 或 --root 指明可信的根。",
        "Import a trust bundle from PLACE, a folder (USB stick) or the centre's address. The first time name the root"
        " with --fingerprint or --root.",
    ),
)
@click.argument("place")
@click.option("--fingerprint", help=say("主管部门公布的根指纹。", "Fingerprint of the root, as published."))
@click.option("--root", "root_file", type=click.Path(path_type=Path), help=say("根文件。", "Root file."))
@click.option("--ca", "ca_file", type=click.Path(path_type=Path), help=say("网址的 CA 证书。", "CA of the address."))
@click.option("--json", "as_json", is_flag=True, help=say("输出 JSON。", "Print JSON."))
def import_(place: str, fingerprint: str | None, root_file: Path | None, ca_file: Path | None, as_json: bool) -> None:
    """Take a bundle in and say what is trusted now."""
    state = trust_folder()
    state.parent.mkdir(parents=True, exist_ok=True)
    if urlsplit(place).scheme in ("http", "https"):
        address = place.rstrip("/").removesuffix("/trust")
        with Uplink(address, None, RealClock(), timeout_s=TIMEOUT_S, ca_file=ca_file) as uplink:
            held = _taken(state, uplink_place(uplink), place, fingerprint, root_file)
    else:
        folder = Path(place)
        if not folder.is_dir():
            raise CommandError(
                f"{place} 不是目录，也不是网址；请检查路径。",
                f"{place} is neither a folder nor an address; check the path.",
                exit_code=ExitCode.MISUSE,
            )
        held = _taken(state, folder_place(folder), str(folder.resolve()), fingerprint, root_file)
    _tell(held, as_json=as_json)


@trust.command(
    help=say("说明本机信任什么、自何时、到何时、依据哪一版根。", "Say what is trusted here, since and until when.")
)
@click.option("--json", "as_json", is_flag=True, help=say("输出 JSON。", "Print JSON."))
def show(as_json: bool) -> int:
    """Show what is held; exit 1 where it has expired, 2 where nothing is held."""
    state = trust_folder()
    if not has_trust(state):
        raise CommandError(
            f"尚未导入信任包（{state}）；请运行 cunzheng trust import",
            f"no trust bundle was imported ({state}); run cunzheng trust import",
            exit_code=ExitCode.COULD_NOT_TELL,
        )
    held = read_trust(state)
    _tell(held, as_json=as_json)
    return ExitCode.DONE if datetime.now(UTC) <= held.trust.expires else ExitCode.NOT_SO


def _taken(state: Path, place: Place, source: str, fingerprint: str | None, root_file: Path | None) -> HeldTrust:
    now = datetime.now(UTC)
    if has_trust(state):
        return take_trust(state, place, now, source)
    if root_file is not None:
        return take_trust(state, place, now, source, root_file.read_bytes())
    if fingerprint is not None:
        return take_trust(state, place, now, source, find_root(place, fingerprint))
    root = newest_root(place)
    shown = fingerprint_of(root)
    if not sys.stdin.isatty():
        raise CommandError(
            f"首次导入须指明可信的根：--fingerprint 或 --root（此处的根为 {shown}，未经核对）。",
            f"the first import must say which root is trusted: --fingerprint or --root (the one here is {shown},"
            " which nobody has compared).",
            exit_code=ExitCode.MISUSE,
        )
    click.echo(say(f"根的指纹：{shown}", f"fingerprint of the root: {shown}"), err=True)
    question = say("与主管部门公布的指纹逐字相同吗？", "Is it, letter by letter, the one that the authority published?")
    click.confirm(question, abort=True, err=True)
    return take_trust(state, place, now, source, root)


def _tell(held: HeldTrust, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(facts_of(held), ensure_ascii=False, indent=2))
        return
    for line in person_lines(held, datetime.now(UTC)):
        click.echo(line)


def facts_of(held: HeldTrust) -> dict[str, object]:
    """State what is held in plain values."""
    trust_ = held.trust
    return {
        "origin": trust_.origin,
        **_anchors(held),
        "log_size": trust_.size,
        "keys": len(trust_.registry.keys),
        "plants": len(trust_.registry.plants),
        "issued": time_text(trust_.issued),
        "expires": time_text(trust_.expires),
        "expires_by_role": {role: time_text(end) for role, end in held.expires.items()},
        "imported": time_text(held.imported),
        "from": held.source,
        "root": {
            "version": held.root_version,
            "threshold": held.threshold,
            "keys": held.root_keys,
            "fingerprint": held.fingerprint,
        },
    }


def _anchors(held: HeldTrust) -> dict[str, Any]:
    """What the offline keys vouch for: the log, and whose cosignatures it needs."""
    return {name: value for name, value in held.trust.to_json().items() if name not in _OF_CENTRE}


def person_lines(held: HeldTrust, now: datetime) -> list[str]:
    """Say what is held in words."""
    trust_ = held.trust
    lines = [say("由离线密钥担保：", "on the word of the offline keys:")]
    for name, value in _anchors(held).items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        lines += [f"  {name}: {line}" for line in text.splitlines()]
    lines += [
        say(
            f"密钥 {len(trust_.registry.keys)} 个，企业 {len(trust_.registry.plants)} 家，截至日志第 {trust_.size} 条",
            f"keys {len(trust_.registry.keys)}, plants {len(trust_.registry.plants)}, as of log size {trust_.size}",
        ),
        say(
            f"自 {trust_.issued:%Y-%m-%d %H:%M} UTC 起；{age_words(held)}",
            f"since {trust_.issued:%Y-%m-%d %H:%M} UTC; {age_words(held)}",
        ),
        say(
            f"依据的根：第 {held.root_version} 版（{held.root_keys} 个离线密钥中 {held.threshold} 个签名），"
            f"指纹 {held.fingerprint}",
            f"by root version {held.root_version} ({held.threshold} of {held.root_keys} offline keys),"
            f" fingerprint {held.fingerprint}",
        ),
        say(
            f"{held.imported:%Y-%m-%d %H:%M} UTC 导入自 {held.source}",
            f"imported {held.imported:%Y-%m-%d %H:%M} UTC from {held.source}",
        ),
    ]
    late = (now - trust_.expires).days
    if now > trust_.expires and late < _STALE_DAYS:
        lines.append(
            say(
                "已过期：核验结果会带提示；请导入新的信任包", "expired: verdicts carry a warning; import a newer bundle"
            )
        )
    elif now > trust_.expires:
        lines.append(
            say(
                "已过期超过 30 天：核验结果为无法判定；请导入新的信任包",
                "expired for more than 30 days: verdicts are indeterminate; import a newer bundle",
            )
        )
    return lines
