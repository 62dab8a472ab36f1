"""`cunzheng center trust-bundle …`: the trust bundle and its offline keys.

The offline keys stand in files that only their owner may read, on machines of their own; `key` and `sign` need no
centre. `init`, `renew`, `publish` and `export` are for the centre's machine.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from evidence.encoding import sha256_hex
from evidence.keys import PublicKey, SigningKey
from webapp import api_trust, export, keyfile, trust_ceremony, trust_metadata
from webapp.center import Center
from webapp.console import config_option, json_option, open_center, say, tell
from webapp.errors import CenterError
from webapp.trust_ceremony import Staged
from webapp.trust_metadata import OFFLINE_KEYS, THRESHOLD

_folder = click.Path(path_type=Path)


@click.group(
    name="trust-bundle",
    help=say(
        "信任包：用离线密钥签署、发布、导出到 U 盘。",
        "The trust bundle: signed by offline keys, published, exported to a USB stick.",
    ),
)
def trust_bundle() -> None:
    """Group of the bundle's commands."""


@trust_bundle.command(
    name="key", help=say("生成一个离线密钥文件并显示公钥。", "Make an offline key file; show its public half.")
)
@click.argument("file", type=_folder)
@json_option
def key_(file: Path, as_json: bool) -> None:
    """Make an offline key; an existing one is shown, never replaced."""
    is_new = keyfile.make(file)
    public = trust_metadata.public_text(keyfile.read(file).public)
    said = say("新密钥", "new key") if is_new else say("已有的密钥", "key that was there")
    tell({"file": str(file), "public": public, "new": is_new}, f"{said} {file}: {public}", as_json=as_json)


@trust_bundle.command(
    help=say(
        "首次建立信任包：三个离线公钥，或用 --make-keys 在一个目录中生成三个（仅供小型或试用环境）。",
        "Begin the trust bundle: three offline public keys, or --make-keys to make three in one folder (for trials).",
    )
)
@config_option
@json_option
@click.option("--public", "public", multiple=True, help=say("离线公钥，三次。", "Offline public key, three times."))
@click.option("--make-keys", type=_folder, help=say("生成三个密钥、签名并发布。", "Make three keys, sign, publish."))
def init(config: Path, as_json: bool, public: Sequence[str], make_keys: Path | None) -> None:
    """Stage the first root and targets; with keys of its own, sign and publish them too."""
    if bool(public) == (make_keys is not None):
        raise CenterError(
            "--public（三次）与 --make-keys 二选一", "give either --public three times or --make-keys", exit_code=3
        )
    with open_center(config) as opened:
        repository = api_trust.repository_of(opened)
        if repository.root_version():
            raise CenterError(
                "信任包已建立；更新请用 center trust-bundle renew",
                "the trust bundle was begun before; use center trust-bundle renew",
            )
        keyfile.make(opened.settings.trust_key_file)
        holders = [] if make_keys is None else _holders(make_keys)
        offline = [key.public for key in holders] or [trust_metadata.read_public(text) for text in public]
        staged = _stage(opened, offline)
        for key in holders:
            staged = trust_ceremony.sign_staged(repository.staged, key)
        if holders:
            _publish(opened, as_json=as_json)
        else:
            _tell_staged(staged, repository.staged, as_json=as_json)


@trust_bundle.command(
    help=say(
        "准备新的待签文件（每 90 天；或更换离线密钥、日志设置改变时）。",
        "Stage new files for signing (every 90 days, or when keys or the log's settings change).",
    )
)
@config_option
@json_option
@click.option(
    "--public", "public", multiple=True, help=say("全部三个公钥，更换时才需要。", "All three keys, where one changes.")
)
def renew(config: Path, as_json: bool, public: Sequence[str]) -> None:
    """Stage new targets, and a new root where it is needed."""
    with open_center(config) as opened:
        repository = api_trust.repository_of(opened)
        repository.root_file()
        keyfile.make(opened.settings.trust_key_file)
        staged = _stage(opened, [trust_metadata.read_public(text) for text in public])
        _tell_staged(staged, repository.staged, as_json=as_json)


@trust_bundle.command(
    help=say(
        "用一个离线密钥签署 FOLDER 中的待签文件（可在另一台机器上）。",
        "Sign the staged files in FOLDER with one offline key (on another machine, if you like).",
    )
)
@click.argument("folder", type=_folder)
@click.option("--key", "key_file", type=_folder, required=True, help=say("离线密钥文件。", "Offline key file."))
@click.option("--yes", is_flag=True, help=say("不询问。", "Do not ask."))
@json_option
def sign(folder: Path, key_file: Path, yes: bool, as_json: bool) -> None:
    """Show what is to be signed, ask, and sign."""
    key = keyfile.read(key_file)
    staged = trust_ceremony.read_staged(folder)
    facts = trust_ceremony.words(staged)
    if not yes:
        click.echo("\n".join(_words(facts)), err=True)
        click.confirm(say("签署以上内容？", "Sign this?"), abort=True, err=True)
    signed = trust_ceremony.words(trust_ceremony.sign_staged(folder, key))
    count = min(file["signatures"] for file in signed["files"])
    line = say(
        f"已签署 {folder}：{count} 个签名，需要 {THRESHOLD} 个", f"signed {folder}: {count} signatures of {THRESHOLD}"
    )
    tell({"folder": str(folder), **signed}, line, as_json=as_json)


@trust_bundle.command(
    help=say(
        "发布已签署的文件，并用中心的在线密钥签署目录与时间戳。",
        "Publish what was signed; sign registry, snapshot and timestamp with the centre's key.",
    )
)
@config_option
@json_option
def publish(config: Path, as_json: bool) -> None:
    """Publish staged files where there are any, then refresh what the centre itself signs."""
    with open_center(config) as opened:
        _publish(opened, as_json=as_json)


@trust_bundle.command(
    name="export",
    help=say("把信任包写入目录（如 U 盘），供离线导入。", "Write the bundle to a folder (a USB stick) for import."),
)
@config_option
@json_option
@click.argument("folder", type=_folder)
def export_(config: Path, as_json: bool, folder: Path) -> None:
    """Export the newest state."""
    with open_center(config) as opened:
        api_trust.refresh(opened)
        repository = api_trust.repository_of(opened)
        with repository.locked():
            count = repository.export(folder)
        fingerprint = sha256_hex(repository.root_file())
    line = say(f"已写入 {folder}：{count} 个文件", f"wrote {folder}: {count} files")
    line += say(f"；根的指纹 {fingerprint}", f"; fingerprint of the root {fingerprint}")
    tell({"folder": str(folder), "files": count, "fingerprint": fingerprint}, line, as_json=as_json)


def _holders(folder: Path) -> list[SigningKey]:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    files = [folder / f"root-{number}.key" for number in range(1, OFFLINE_KEYS + 1)]
    for file in files:
        keyfile.make(file)
    return [keyfile.read(file) for file in files]


def _stage(center: Center, offline: Sequence[PublicKey]) -> Staged:
    repository = api_trust.repository_of(center)
    online = keyfile.read(center.settings.trust_key_file).public
    with repository.locked():
        return trust_ceremony.stage(repository, export.trust(center), online, center.now(), offline)


def _publish(center: Center, *, as_json: bool) -> None:
    repository = api_trust.repository_of(center)
    with repository.locked():
        staged = trust_ceremony.publish_staged(repository) if repository.staged.is_dir() else None
    is_new = api_trust.refresh(center)
    fingerprint = sha256_hex(repository.root_file())
    facts = {
        "root_version": repository.root_version(),
        "fingerprint": fingerprint,
        "published": is_new or staged is not None,
    }
    line = say(
        f"信任包已发布：根第 {facts['root_version']} 版，指纹 {fingerprint}",
        f"trust bundle published: root version {facts['root_version']}, fingerprint {fingerprint}",
    )
    tell(facts, line, as_json=as_json)


def _tell_staged(staged: Staged, folder: Path, *, as_json: bool) -> None:
    facts = {"folder": str(folder), **trust_ceremony.words(staged)}
    wait = say(
        f"待签：{folder}；请由 {THRESHOLD} 位密钥持有人运行 center trust-bundle sign，再运行 publish",
        f"to be signed: {folder}; {THRESHOLD} key holders run center trust-bundle sign, then run publish",
    )
    tell(facts, "\n".join([*_words(facts), wait]), as_json=as_json)


def _words(facts: dict[str, Any]) -> list[str]:
    lines = [
        say(
            f"{file['role']} 第 {file['version']} 版，有效至 {file['expires'][:10]}，已有 {file['signatures']} 个签名",
            f"{file['role']} version {file['version']}, until {file['expires'][:10]}, {file['signatures']} signatures",
        )
        for file in facts["files"]
    ]
    for name, value in facts["anchors"].items():
        lines.append(f"  {name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")
    return lines
