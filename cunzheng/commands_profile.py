"""`cunzheng profile`: check device profiles, decode raw words by hand, list and export.

Exit codes: 0 every profile is good or everything was decoded, 1 not so, 3 misuse (no such file, no such profile).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from cunzheng.errors import CommandError, ExitCode
from cunzheng.lang import language, say
from device_profiles import (
    Decoded,
    PayloadError,
    Profile,
    ProfileError,
    Table,
    decode,
    decode_payload,
    hex_words,
    load,
    load_text,
    schema,
    shipped,
    shipped_texts,
    shown_value,
    topic_for,
)


@click.group(help=say("设备描述文件。", "Device profiles."))
def profile() -> None:
    """Hold the sub-commands."""


@dataclass(frozen=True)
class Checked:
    """One file and what is wrong with it."""

    source: str
    profile: Profile | None
    error: ProfileError | None

    def to_json(self) -> dict[str, Any]:
        if self.profile is not None:
            return {"file": self.source, "valid": True, **_facts(self.profile)}
        faults = self.error.faults if self.error else ()
        return {
            "file": self.source,
            "valid": False,
            "faults": [{"line": one.line, "key": one.key, "zh": one.zh, "en": one.en} for one in faults],
        }


@profile.command(help=say("检查描述文件及其测试向量。", "Check profile files and their test vectors."))
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="PATH...")
@click.option("--shipped", "with_shipped", is_flag=True, help=say("也检查随附的文件", "check the shipped ones"))
@click.option("--json", "as_json", is_flag=True, help="JSON")
def check(paths: tuple[Path, ...], with_shipped: bool, as_json: bool) -> int:
    """Check each file; print one line a profile or a fault."""
    if not paths and not with_shipped:
        raise click.UsageError(say("请给出文件或 --shipped。", "Name a file or --shipped."))
    results = [_check_text(text, name) for name, text in shipped_texts().items()] if with_shipped else []
    results += [_check_text(_read(path), str(path)) for path in _files(paths)]
    if as_json:
        click.echo(_json([one.to_json() for one in results]))
    else:
        for one in results:
            _print_checked(one)
    return ExitCode.DONE if all(one.profile for one in results) else ExitCode.NOT_SO


@profile.command(
    "decode",
    help=say(
        "把原始数据解码为数值。WORDS.json：地址（线上地址或 表:地址）→ 十六进制字或整数；"
        "MQTT 设备则为消息本身。- 表示标准输入。",
        "Decode raw words to values. WORDS.json maps wire address (or table:address) to hex words or integers; for an "
        "MQTT device it is the message itself. - reads standard input.",
    ),
)
@click.argument("name", metavar="PROFILE")
@click.argument("words", type=click.File("rb"), metavar="WORDS.json")
@click.option("--topic", default="", help=say("MQTT 主题", "MQTT topic"))
@click.option("--retained", is_flag=True, help=say("按保留消息解码", "decode as a retained message"))
@click.option("--json", "as_json", is_flag=True, help=say("JSON（默认即是）", "JSON (always so)"))
def decode_command(name: str, words: Any, topic: str, retained: bool, as_json: bool) -> int:
    """Print the decoded values as JSON."""
    chosen = find_profile(name)
    data = words.read()
    head: dict[str, Any] = {"profile": chosen.id, "version": chosen.version, "hash": chosen.hash}
    if chosen.mqtt is not None:
        try:
            readings = decode_payload(chosen, topic or topic_for(chosen, "device"), data, retained)
        except PayloadError as error:
            raise CommandError(f"消息无法解码（{error.code}）：{error.detail}", f"cannot decode: {error}") from error
        head["device_time_text"] = readings.device_time_text
        head["device_time"] = readings.device_time.isoformat() if readings.device_time else None
        head["sequence"] = readings.sequence
        head["dedup"] = readings.dedup
        values = readings.values
    else:
        values = decode(chosen, _words(chosen, data))
    if not values:
        raise CommandError(
            f"其中没有 {chosen.id} 任何测点的数据；地址须为线上地址",
            f"these words belong to no point of {chosen.id}; addresses must be those on the wire",
        )
    head["values"] = {point: _decoded(one) for point, one in values.items()}
    click.echo(_json(head))
    return ExitCode.DONE


@profile.command("schema", help=say("输出描述文件的 JSON Schema。", "Print the JSON Schema of profiles."))
def schema_command() -> None:
    """Print the schema."""
    click.echo(_json(schema()))


@profile.command("list", help=say("列出随附的设备描述。", "List the shipped profiles."))
@click.option("--json", "as_json", is_flag=True, help="JSON")
def list_command(as_json: bool) -> None:
    """Print one line a profile."""
    profiles = shipped().values()
    if as_json:
        click.echo(_json([_facts(one) for one in profiles]))
        return
    for one in profiles:
        click.echo(f"{one.id}  v{one.version}  {one.protocol}  {one.name[language()]}")


def find_profile(name: str) -> Profile:
    """Find a profile by shipped id or by path.

    Raises: CommandError (misuse) where there is none, ProfileError where it is not good.
    """
    known = shipped()
    if name in known:
        return known[name]
    if not Path(name).is_file():
        listed = ", ".join(known)
        raise CommandError(
            f"没有设备描述 {name}；随附的有：{listed}",
            f"no profile {name}; shipped are: {listed}",
            exit_code=ExitCode.MISUSE,
        )
    return load(Path(name))


def _files(paths: tuple[Path, ...]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        inside = sorted([*path.glob("*.yaml"), *path.glob("*.yml")]) if path.is_dir() else [path]
        if not inside:
            raise CommandError(f"{path} 中没有 *.yaml", f"there is no *.yaml in {path}", exit_code=ExitCode.MISUSE)
        found += inside
    return found


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        return None


def _check_text(text: str | None, source: str) -> Checked:
    if text is None:
        raise CommandError(f"{source} 不是 UTF-8 文本", f"{source} is not UTF-8 text")
    try:
        return Checked(source, load_text(text, source), None)
    except ProfileError as error:
        return Checked(source, None, error)


def _print_checked(one: Checked) -> None:
    if one.profile is not None:
        facts = _facts(one.profile)
        says = say(
            f"合格：{facts['points']} 个测点，{facts['vectors']} 组向量",
            f"good: {facts['points']} points, {facts['vectors']} vectors",
        )
        click.echo(f"{one.source}: {one.profile.id} v{one.profile.version} {says}")
    elif one.error is not None:
        for fault in one.error.faults:
            click.echo(fault.text(language()))


def _words(chosen: Profile, data: bytes) -> dict[tuple[Table, int], int]:
    """Read WORDS.json: {"72": "42F6 E979", "input:52": [17856, 58368], "discrete:1004": 1}."""
    try:
        given = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _misuse(f"不是 JSON：{error}", f"not JSON: {error}") from error
    if not isinstance(given, dict):
        raise _misuse("须为 JSON 对象：地址 → 字", "a JSON object is needed: address to words")
    tables = [point.table for point in chosen.points.values()]
    usual = max(set(tables), key=tables.count)
    found: dict[tuple[Table, int], int] = {}
    for key, value in given.items():
        named, _, number = str(key).rpartition(":")
        try:
            table = Table(named) if named else usual
            first = int(number, 0)
            words = hex_words(value) if isinstance(value, str) else _integers(value)
        except ValueError as error:
            raise _misuse(f"{key}: {error}", f"{key}: {error}") from error
        for offset, word in enumerate(words):
            found[(table, first + offset)] = word
    return found


def _integers(value: object) -> tuple[int, ...]:
    listed = value if isinstance(value, list) else [value]
    for word in listed:
        if isinstance(word, bool) or not isinstance(word, int) or not 0 <= word <= 0xFFFF:
            raise ValueError(f"{word!r} is no word (0 to 65535, or hex text)")
    return tuple(listed)


def _misuse(zh: str, en: str) -> CommandError:
    return CommandError(f"WORDS.json：{zh}", f"WORDS.json: {en}", exit_code=ExitCode.MISUSE)


def _decoded(one: Decoded) -> dict[str, str | None]:
    return {
        "value": shown_value(one.value),
        "unit": one.unit,
        "state": one.quality.value,
        "hj212": one.flag,
        "reason": str(one.reason),
        "raw": one.raw_hex,
    }


def _facts(one: Profile) -> Mapping[str, Any]:
    return {
        "id": one.id,
        "version": one.version,
        "hash": one.hash,
        "protocol": one.protocol,
        "name": dict(one.name),
        "trust": one.trust,
        "points": len(one.points),
        "vectors": len(one.vectors),
    }


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)
