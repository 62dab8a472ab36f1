"""`cunzheng center …`: what the administrator of a centre types.

Parses, calls `administration` and `serve`, prints. Errors are `CenterError`s, told by the caller.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from webapp import (
    accounts,
    administration,
    enrolment,
    export,
    log_restored,
    restored_mark,
    second_signatures,
    serve,
    settings,
    stamping,
)
from webapp.commands_backup import backup_, confirm, restore_
from webapp.commands_log import check, evidence_
from webapp.commands_trust import trust_bundle
from webapp.console import config_option as _config
from webapp.console import database_errors as _database_errors
from webapp.console import json_option as _json
from webapp.console import open_center as _open
from webapp.console import say as _say
from webapp.console import tell as _tell
from webapp.console import working as _working
from webapp.errors import CenterError


@click.group(help=_say("中心端：初始化、运行、用户、企业、网关。", "The centre: init, run, users, plants, gateways."))
def center() -> None:
    """Group of the centre's commands."""


for _command in (backup_, restore_, confirm, check, evidence_, trust_bundle):
    center.add_command(_command)


@center.command(
    help=_say("建立数据目录、密钥、数据库和空日志；可重复执行。", "Make data folder, keys, database and log.")
)
@_config
@_json
def init(config: Path, as_json: bool) -> None:
    """Initialise; safe to repeat."""
    chosen = settings.load(config)
    with _database_errors():
        is_new = administration.initialise(chosen)
    line = _say(
        f"中心已就绪：{chosen.data_dir}（日志 {chosen.log.origin}）",
        f"centre ready: {chosen.data_dir} (log {chosen.log.origin})",
    )
    _tell({"data_dir": str(chosen.data_dir), "origin": chosen.log.origin, "new": is_new}, line, as_json=as_json)


@center.command(help=_say("运行中心端。", "Run the centre."))
@_config
@click.option("--dev", is_flag=True, help=_say("单进程，供开发用。", "One process, for developers."))
def run(config: Path, dev: bool) -> None:
    """Serve until stopped."""
    from webapp import create_app

    chosen = settings.load(config)
    with _open(config, is_confirmed=False) as opened:
        if restored_mark.is_restored(opened.log.folder):
            log_restored.confirm_by_witnesses(opened)
    with _open(config) as opened:
        # Whatever must stop the centre stops it here, once, and not in every worker.
        if opened.log.cosigning is not None:
            opened.log.cosigning.require_agreement()
    serve.run(chosen, lambda: create_app(chosen), is_developing=dev)


@center.command(help=_say("输出信任文件 trust.json。", "Print the trust file, trust.json."))
@_config
@click.option("--json", "as_json", is_flag=True, help=_say("JSON（默认即是）。", "JSON (always so)."))
@click.option("--out", type=click.Path(path_type=Path), help=_say("写入文件。", "Write it to a file."))
def trust(config: Path, as_json: bool, out: Path | None) -> None:
    """Print or write the trust file."""
    with _open(config) as opened:
        made = export.trust(opened)
    text = json.dumps(made.to_json(), ensure_ascii=False, indent=1) + "\n"
    if out is None:
        click.echo(text, nl=False)
        return
    out.write_text(text, encoding="utf-8")
    line = _say(f"已写入 {out}（日志 {made.size} 条）", f"wrote {out} (log of {made.size} entries)")
    _tell({"file": str(out), "size": made.size}, line, as_json=as_json)


@center.command(
    help=_say(
        "请时间戳机构为最新检查点加盖时间戳（由定时器每小时运行）。",
        "Have the newest checkpoint time-stamped (from a timer, hourly).",
    )
)
@_config
@_json
def stamp(config: Path, as_json: bool) -> None:
    """Ask for one stamp."""
    with _open(config) as opened:
        stamped = stamping.stamp_newest(opened)
    if stamped is None:
        line = _say("日志为空，无需时间戳", "the log is empty, there is nothing to stamp")
    else:
        at = f"{stamped.at:%Y-%m-%d %H:%M:%S} UTC"
        line = _say(f"第 {stamped.size} 条的检查点已盖时间戳：{at}", f"checkpoint of {stamped.size} stamped: {at}")
    _tell(stamping.facts(stamped), line, as_json=as_json)


@center.command(name="export", help=_say("导出某月的证据包。", "Export the bundle of a month."))
@_config
@_json
@click.argument("plant")
@click.argument("period")
@click.option("--out", type=click.Path(path_type=Path), help=_say("输出文件。", "File to write."))
def export_month(config: Path, as_json: bool, plant: str, period: str, out: Path | None) -> None:
    """Write the bundle of a month."""
    target = out or Path(f"{plant}-{period}.evb")
    with _working("打包 …", "packing …"), _open(config) as opened:
        data = export.month_bundle(opened, plant, period)
    if data is None:
        raise CenterError(
            f"企业 {plant} 的 {period} 还没有签名的月度记录", f"plant {plant} has no signed month {period} yet"
        )
    target.write_bytes(data)
    line = _say(f"已写入 {target}（{len(data)} 字节）", f"wrote {target} ({len(data)} bytes)")
    _tell({"file": str(target), "size": len(data)}, line, as_json=as_json)


def _password(file: Any) -> str:
    if file is not None:
        return str(file.readline().rstrip("\r\n"))
    return str(click.prompt(_say("密码", "Password"), hide_input=True, confirmation_prompt=True))


_password_file = click.option(
    "--password-file", type=click.File("r"), help=_say("密码文件；- 为标准输入。", "File; - is standard input.")
)


@center.group(help=_say("用户。", "Users."))
def user() -> None:
    """Group of user commands."""


@user.command(name="add", help=_say("添加用户。", "Add a user."))
@_config
@_json
@click.argument("name")
@click.option("--role", type=click.Choice(accounts.ROLES), required=True, help=_say("角色。", "Role."))
@click.option("--plant", "plants", multiple=True, help=_say("所属企业，可多次。", "Plant; may be repeated."))
@click.option("--region", default="", help=_say("行政区划代码前缀。", "GB/T 2260 prefix."))
@click.option("--zh", "name_zh", default="", help=_say("中文姓名。", "Name in Chinese."))
@click.option("--en", "name_en", default="", help=_say("英文姓名。", "Name in English."))
@_password_file
def user_add(
    config: Path,
    as_json: bool,
    name: str,
    role: str,
    plants: tuple[str, ...],
    region: str,
    name_zh: str,
    name_en: str,
    password_file: Any,
) -> None:
    """Add a user; the password comes from a file or is asked for, never from the command line."""
    with _open(config) as opened:
        administration.add_user(
            opened,
            name=name,
            role=role,
            password=_password(password_file),
            name_zh=name_zh,
            name_en=name_en,
            plants=plants,
            region=region,
        )
    facts = {"name": name, "role": role, "plants": list(plants), "region": region}
    _tell(facts, _say(f"已添加用户 {name}（{role}）", f"user {name} added ({role})"), as_json=as_json)


@user.command(name="password", help=_say("重设密码并结束其所有会话。", "Set a new password and end all sessions."))
@_config
@_json
@click.argument("name")
@_password_file
def user_password(config: Path, as_json: bool, name: str, password_file: Any) -> None:
    """Give a user a new password."""
    with _open(config) as opened:
        administration.change_password(opened, name, _password(password_file))
    _tell({"name": name}, _say(f"用户 {name} 的密码已更改", f"password of {name} changed"), as_json=as_json)


@user.command(name="allow-key", help=_say("允许再登记一个浏览器密钥。", "Let the user register one more browser key."))
@_config
@_json
@click.argument("name")
def user_allow_key(config: Path, as_json: bool, name: str) -> None:
    """Let a person whose browser is lost register another."""
    with _open(config) as opened:
        administration.allow_key(opened, name)
    _tell({"name": name}, _say(f"用户 {name} 可再登记一个密钥", f"{name} may register one more key"), as_json=as_json)


@center.group(help=_say("密钥。", "Keys."))
def key() -> None:
    """Group of key commands."""


@key.command(
    name="revoke", help=_say("吊销密钥；自此之后的签名无效。", "End a key; what it signs from now on is refused.")
)
@_config
@_json
@click.argument("kid")
@click.option(
    "--reason",
    type=click.Choice(["superseded", "lost", "compromised", "ceased"]),
    required=True,
    help=_say("吊销原因。", "Why it ends."),
)
def key_revoke(config: Path, as_json: bool, kid: str, reason: str) -> None:
    """Revoke a key."""
    with _open(config) as opened:
        administration.revoke_key(opened, kid, reason)
    line = _say(f"密钥 {kid} 已吊销", f"key {kid} revoked")
    _tell({"kid": kid, "reason": reason}, line, as_json=as_json)


@center.group(help=_say("企业。", "Plants."))
def plant() -> None:
    """Group of plant commands."""


@plant.command(
    name="add", help=_say("按方案文件添加或更新企业。", "Add or update a plant from its plan (TOML or JSON).")
)
@_config
@_json
@click.argument("plan", type=click.Path(path_type=Path))
def plant_add(config: Path, as_json: bool, plan: Path) -> None:
    """Add a plant from its plan."""
    data = administration.read_plan_file(plan)
    with _open(config) as opened:
        name = administration.add_plant(opened, data)
    _tell({"plant": name}, _say(f"企业 {name} 已就绪", f"plant {name} is ready"), as_json=as_json)


@plant.command(
    name="second-signature",
    help=_say(
        "要求（或不再要求）企业网关以国密 SM2 第二签名。",
        "Ask a plant's gateways to sign twice, with SM2 too, or no more.",
    ),
)
@_config
@_json
@click.argument("name")
@click.option(
    "--on/--off",
    "is_wanted",
    required=True,
    help=_say("自下一条日志起要求，或不再要求。", "From the next entry on, or no more."),
)
def second_signature(config: Path, as_json: bool, name: str, is_wanted: bool) -> None:
    """Set the plant's policy."""
    with _open(config) as opened:
        since = second_signatures.ask(opened, name, is_wanted=is_wanted)
    if since is None:
        line = _say(f"企业 {name} 不再要求第二签名", f"plant {name} signs once")
    else:
        line = _say(
            f"企业 {name} 自日志第 {since} 条起须有第二签名", f"plant {name} signs twice from log entry {since} on"
        )
    _tell({"plant": name, "sm2_from": since}, line, as_json=as_json)


@center.group(help=_say("网关。", "Gateways."))
def gateway() -> None:
    """Group of gateway commands."""


@gateway.command(name="invite", help=_say("为网关生成一次性登记码。", "Make a one-time code for a gateway."))
@_config
@_json
@click.argument("plant")
@click.argument("gw")
def gateway_invite(config: Path, as_json: bool, plant: str, gw: str) -> None:
    """Invite a gateway."""
    with _open(config) as opened:
        code = enrolment.invite_gateway(opened, plant, gw)
    line = _say(
        f"网关 {gw} 的登记码（7 天内有效，仅显示一次）：{code}",
        f"code for gateway {gw} (good for 7 days, shown once): {code}",
    )
    _tell({"gw": gw, "plant": plant, "code": code}, line, as_json=as_json)
