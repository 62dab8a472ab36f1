"""`cunzheng profile`: check device profiles, decode raw words by hand, draft from a spreadsheet, list and export.

Exit codes: 0 every profile is good or everything was decoded, 1 not so, 3 misuse (no such file, no such profile).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from cunzheng.errors import CommandError, ExitCode
from cunzheng.lang import language, say
from cunzheng.point_table import read_table
from device_profiles import (
    Decoded,
    Memory,
    PayloadError,
    Profile,
    ProfileError,
    Table,
    decode,
    decode_messages,
    hex_words,
    load,
    load_text,
    mismatches,
    schema,
    settings_of,
    shipped,
    shipped_texts,
    shown_value,
    topic_for,
)
from device_profiles.draft import DraftError, draft_of_rows


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
@click.option(
    "--parameter",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help=say("现场参数，可重复", "a commissioning parameter; repeatable"),
)
@click.option("--json", "as_json", is_flag=True, help=say("JSON（默认即是）", "JSON (always so)"))
def decode_command(
    name: str, words: Any, topic: str, retained: bool, parameters: tuple[str, ...], as_json: bool
) -> int:
    """Print the decoded values as JSON."""
    chosen = _configured(find_profile(name), parameters)
    data = words.read()
    head: dict[str, Any] = {"profile": chosen.id, "version": chosen.version, "hash": chosen.hash}
    values: dict[str, Decoded] = {}
    if chosen.mqtt is not None:
        values = _message_values(chosen, data, topic, head, retained=retained)
    else:
        values = decode(chosen, _words(chosen, data))
    if not values:
        raise CommandError(
            f"其中没有 {chosen.id} 任何测点的数据；地址须为线上地址",
            f"these words belong to no point of {chosen.id}; addresses must be those on the wire",
        )
    head["values"] = {point: _decoded(one) for point, one in values.items()}
    asked = {test.point for test in chosen.match}
    failed = [one for one in mismatches(chosen, values) if one.point in asked & set(values)]
    if failed:
        head["mismatch"] = [
            {"point": one.point, "wanted": one.wanted, "came": one.came, "refuses": one.refuses} for one in failed
        ]
    click.echo(_json(head))
    return ExitCode.DONE


def _configured(chosen: Profile, given: tuple[str, ...]) -> Profile:
    pairs = dict(one.partition("=")[::2] for one in given)
    try:
        return chosen.configured(settings_of(chosen, pairs))
    except ValueError as error:
        raise CommandError(f"--parameter：{error}", f"--parameter: {error}", exit_code=ExitCode.MISUSE) from error


def _message_values(
    chosen: Profile, data: bytes, topic: str, head: dict[str, Any], *, retained: bool
) -> dict[str, Decoded]:
    """Decode one message, or the conversation of a Sparkplug node: a JSON list of {topic, hex}."""
    is_sparkplug = chosen.mqtt is not None and chosen.mqtt.format == "sparkplug"
    messages = _conversation(data) if is_sparkplug else [(topic or topic_for(chosen, "device"), data)]
    values: dict[str, Decoded] = {}
    state: Memory | None = None
    try:
        for where, payload in messages:
            device = _edge_of(where) if is_sparkplug else "device"
            said = decode_messages(chosen, device, where, payload, retained, state=state)
            state = said.state
            for one in said.readings:
                head["device_time_text"] = one.device_time_text
                head["device_time"] = one.device_time.isoformat() if one.device_time else None
                head["sequence"] = one.sequence
                head["dedup"] = one.dedup
                values.update(one.values)
    except PayloadError as error:
        raise CommandError(f"消息无法解码（{error.code}）：{error.detail}", f"cannot decode: {error}") from error
    return values


def _conversation(data: bytes) -> list[tuple[str, bytes]]:
    try:
        return [(str(one["topic"]), bytes.fromhex(one["hex"])) for one in json.loads(data)]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _misuse(f"须为 [{{topic, hex}}, …]：{error}", f"a list of {{topic, hex}} is needed: {error}") from error


def _edge_of(topic: str) -> str:
    parts = topic.split("/")
    return "/".join([*parts[1:2], *parts[3:5]])


@profile.command(
    help=say(
        "由测点表（CSV 或 XLSX：地址、名称、类型、系数、单位）生成设备描述草稿。",
        "Make a draft profile from a table of points (CSV or XLSX: number, name, type, factor, unit).",
    )
)
@click.argument("table", type=click.Path(path_type=Path), metavar="FILE")
@click.option(
    "--id", "profile_id", default="", help=say("描述编号，默认取文件名", "profile id; default: the file's name")
)
@click.option("--sheet", default="", help=say("XLSX 的工作表，默认第一张", "sheet of an XLSX file; default: the first"))
@click.option("--output", type=click.Path(path_type=Path), help=say("写入此文件", "write to this file"))
def draft(table: Path, profile_id: str, sheet: str, output: Path | None) -> int:
    """Write the draft and check that it loads."""
    chosen = profile_id or re.sub(r"[^a-z0-9]+", "-", table.stem.lower()).strip("-") or "draft"
    try:
        drafted = draft_of_rows(read_table(table, sheet), chosen, table.name)
    except DraftError as error:
        raise CommandError(f"{table}：{error.zh}", f"{table}: {error.en}", exit_code=ExitCode.MISUSE) from error
    load_text(drafted, f"{chosen}.yaml")
    if output is None:
        click.echo(drafted, nl=False)
    else:
        output.write_text(drafted, "utf-8")
    return ExitCode.DONE


@profile.command("schema", help=say("输出描述文件的 JSON Schema。", "Print the JSON Schema of profiles."))
@click.option("--json", "as_json", is_flag=True, help=say("JSON（默认即是）", "JSON (always so)"))
def schema_command(as_json: bool) -> None:
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
        click.echo(f"{one.id}  v{one.version}  {one.protocol}  {one.trust}  {one.name[language()]}{_doubts(one)}")


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
        click.echo(f"{one.source}: {one.profile.id} v{one.profile.version} {says}  {one.profile.trust}")
        for doubt in one.profile.unconfirmed:
            click.echo(say(f"  未确认：{doubt}", f"  unconfirmed: {doubt}"))
    elif one.error is not None:
        for fault in one.error.faults:
            click.echo(fault.text(language()))


def _doubts(one: Profile) -> str:
    if not one.unconfirmed:
        return ""
    count = len(one.unconfirmed)
    return say(f"（{count} 处未确认）", f"  ({count} unconfirmed)")


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
        "unconfirmed": list(one.unconfirmed),
        "points": len(one.points),
        "vectors": len(one.vectors),
    }


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)
