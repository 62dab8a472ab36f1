"""`cunzheng center backup`, `restore` and `confirm`: a copy of everything, and the way back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from webapp import backup, log_restored, settings
from webapp import restore as restoring
from webapp.backup_manifest import Manifest
from webapp.console import config_option, database_errors, json_option, open_center, say, tell, working
from webapp.errors import CenterError


@click.command(
    name="backup",
    help=say(
        "备份运行中的中心到新目录 TARGET：数据库与检查点；密钥仅在 --with-keys 时包含。",
        "Back up a running centre to a new folder TARGET: database and checkpoint; keys only with --with-keys.",
    ),
)
@config_option
@json_option
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--with-keys",
    is_flag=True,
    help=say(
        "也备份 log.key、registrar.key、secret.key：持有者可以中心之名签名。",
        "Also log.key, registrar.key, secret.key: whoever has them can sign as this centre.",
    ),
)
def backup_(config: Path, as_json: bool, target: Path, with_keys: bool) -> None:
    """Back up."""
    with working("备份 …", "backing up …"), open_center(config) as opened:
        manifest = backup.back_up(opened, target, with_keys=with_keys)
    held = ", ".join(sorted(manifest.files))
    line = say(
        f"已备份日志 {manifest.size} 条到 {target}：{held}；"
        + ("含密钥，请妥善保管" if with_keys else "不含密钥：log.key 和 registrar.key 请另行保存"),
        f"backed up a log of {manifest.size} entries to {target}: {held}; "
        + ("the keys are in it, keep it safe" if with_keys else "no keys: keep log.key and registrar.key elsewhere"),
    )
    tell({"target": str(target), **_backup_facts(manifest)}, line, as_json=as_json)


@click.command(
    name="restore",
    help=say(
        "把备份 SOURCE 恢复到空的数据目录和空的数据库；之后须运行 confirm 才能签名。",
        "Restore the backup SOURCE into an empty data folder and database; it signs nothing before confirm.",
    ),
)
@config_option
@json_option
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--keys",
    type=click.Path(path_type=Path, file_okay=False),
    help=say("备份不含密钥时：存有密钥文件的目录。", "Folder of the key files, where the backup has none."),
)
def restore_(config: Path, as_json: bool, source: Path, keys: Path | None) -> None:
    """Restore."""
    chosen = settings.load(config)
    with working("恢复 …", "restoring …"), database_errors():
        manifest = restoring.restore(source, chosen, keys)
    line = say(
        f"已恢复日志 {manifest.size} 条（备份于 {manifest.made}）；确认之前不签名："
        "请找到已公布的最新检查点，运行 cunzheng center confirm",
        f"restored a log of {manifest.size} entries (backup of {manifest.made}); it signs nothing yet: "
        "find the newest checkpoint that was published and run cunzheng center confirm",
    )
    tell({"data_dir": str(chosen.data_dir), **_backup_facts(manifest)}, line, as_json=as_json)


def _backup_facts(manifest: Manifest) -> dict[str, Any]:
    return {
        "made": manifest.made,
        "origin": manifest.origin,
        "size": manifest.size,
        "root": manifest.root,
        "database": manifest.database,
        "keys": manifest.has_keys,
        "files": {name: facts.size for name, facts in manifest.files.items()},
    }


@click.command(
    help=say(
        "恢复之后：以已公布的最新检查点确认，之后中心才签名；两者都不给时询问见证。",
        "After a restore: confirm it with the newest checkpoint that was published; only then the centre signs. "
        "Without either, the witnesses are asked for it.",
    )
)
@config_option
@json_option
@click.option(
    "--newest",
    type=click.Path(path_type=Path, dir_okay=False),
    help=say("检查点、回执或证据包文件。", "A checkpoint, receipt or bundle file."),
)
@click.option(
    "--accept-size",
    type=click.IntRange(min=0),
    help=say(
        "操作员保证：没有公布过超过这一条数的检查点。",
        "The operator's word: nothing beyond so many entries was published.",
    ),
)
def confirm(config: Path, as_json: bool, newest: Path | None, accept_size: int | None) -> None:
    """Confirm a restore."""
    one_of = click.UsageError(say("请给出 --newest 或 --accept-size 之一。", "Give either --newest or --accept-size."))
    if newest is not None and accept_size is not None:
        raise one_of
    found = None
    with open_center(config, is_confirmed=False) as opened:
        if newest is None and accept_size is None:
            if not opened.policy.needs_witnesses:
                raise one_of
            by_witnesses = log_restored.confirm_by_witnesses(opened)
            if by_witnesses is None:
                raise CenterError(
                    "应答的见证不足以确认；请待其恢复，或给出 --newest",
                    "too few witnesses answered to confirm it; wait for them, or give --newest",
                    exit_code=2,
                )
            size = by_witnesses
        else:
            found = None if newest is None else log_restored.newest_of(newest, opened.log.vkey)
            size = log_restored.confirm(opened, newest=found, accepted_size=accept_size)
    line = say(f"已确认：日志自第 {size} 条起继续", f"confirmed: the log goes on from {size} entries")
    tell({"size": size, "newest": None if found is None else found.size}, line, as_json=as_json)
