"""The status page as HTML in Chinese or English: no script, one style sheet allowed by its hash, every text escaped.

Tables keep their headers for a screen reader and become lists of labelled lines on a phone.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape

from gateway.device_report import DeviceReport
from gateway.page_facts import VERSION, Facts, Latest

LANGUAGES = ("zh", "en")
"""The first is spoken to whoever asks for none of them."""
_TAGS = {"zh": "zh-Hans", "en": "en"}
_MIB = 1 << 20
STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;--soft:#59636e;--line:#d1d9e0;--card:#f6f8fa;--bad:#b3261e;
--good:#1a7f37;--link:#0757b5}
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--paper:#0d1117;--soft:#9aa5b1;--line:#3d444d;--card:#151b23;
--bad:#ff8f87;--good:#56d364;--link:#79b8ff}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:70rem;padding:1rem;font:1rem/1.5 system-ui,"Noto Sans CJK SC","Microsoft YaHei",sans-serif;
color:var(--ink);background:var(--paper);overflow-wrap:break-word}
header{display:flex;flex-wrap:wrap;gap:.25rem 1.5rem;align-items:baseline;justify-content:space-between}
h1{font-size:1.4rem;margin:.25rem 0}h2{font-size:1.1rem;margin:1.5rem 0 .5rem}
nav a{display:inline-block;padding:.6rem .35rem;min-height:2.75rem}
a{color:var(--link)}a:focus-visible{outline:3px solid var(--link);outline-offset:2px}
.soft{color:var(--soft)}.bad{color:var(--bad);font-weight:600}.good{color:var(--good)}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(11rem,1fr));gap:.75rem;margin:0}
.cards div{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.6rem .8rem}
.cards dt{color:var(--soft);font-size:.9rem}.cards dd{margin:0;font-size:1.15rem}.cards dd.soft{font-size:.9rem}
ul{padding-left:1.2rem}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.45rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
td.n{white-space:nowrap}tbody th,td.w{overflow-wrap:anywhere;min-width:7.5rem}
@media (max-width:40rem){
table,tbody,tr,td,tbody th{display:block;width:100%}
thead{position:absolute;clip-path:inset(50%);width:1px;height:1px;overflow:hidden}
tr{border:1px solid var(--line);border-radius:.5rem;margin:0 0 .6rem;padding:.3rem .6rem}
td,tbody th,td.n{border:0;padding:.15rem 0;text-align:left}
td{display:grid;grid-template-columns:minmax(6.5rem,38%) 1fr;gap:.5rem}
td::before{content:attr(data-label);color:var(--soft);font-weight:400;white-space:normal}
}
"""
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode("ascii")
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Look:
    """In which language, and how often the page loads itself again (seconds; empty for never)."""

    language: str
    refresh: str = ""

    def say(self, zh: str, en: str) -> str:
        """Choose the text."""
        return zh if self.language == "zh" else en

    def href(self, *, language: str | None = None, refresh: str | None = None) -> str:
        """Return the address of this page with another look."""
        again = self.refresh if refresh is None else refresh
        return f"/?lang={language or self.language}" + (f"&refresh={again}" if again else "")


@dataclass(frozen=True)
class Cell:
    """One cell of a table; `mark` is a class of the style sheet."""

    text: str
    mark: str = ""


def page_html(facts: Facts, look: Look) -> str:
    """Write the whole page."""
    say = look.say
    title = say(f"网关 {facts.gateway or '—'}", f"Gateway {facts.gateway or '—'}")
    refresh = f'<meta http-equiv="refresh" content="{look.refresh}">' if look.refresh else ""
    parts = [
        f'<!doctype html><html lang="{_TAGS[look.language]}"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"{refresh}<title>{escape(title)} · {escape(say('存证', 'Cunzheng'))}</title>",
        f"<style>{STYLE}</style></head><body>",
        f"<header><h1>{escape(title)}</h1>{_navigation(look)}</header><main>",
        f'<p class="soft">{escape(_who(facts, look))}</p>',
        _problems(facts, look),
        _cards(facts, look),
        _channels(facts, look),
        _devices(facts.vitals.devices, look) if facts.vitals.devices else "",
        _quality(facts, look),
        "</main></body></html>",
    ]
    return "\n".join(parts)


def _navigation(look: Look) -> str:
    say = look.say
    other = "en" if look.language == "zh" else "zh"
    name = "English" if other == "en" else "中文"
    turn = (
        ("", say("停止自动刷新", "Stop refreshing"))
        if look.refresh
        else ("60", say("每分钟刷新", "Refresh every minute"))
    )
    return (
        f'<nav aria-label="{escape(say("页面", "Page"))}"><a href="{_href(look.href())}">{say("刷新", "Refresh")}</a>'
        f'<a href="{_href(look.href(refresh=turn[0]))}">{turn[1]}</a>'
        f'<a href="{_href(look.href(language=other))}" hreflang="{other}" lang="{_TAGS[other]}">{name}</a>'
        f'<a href="/metrics">{say("指标", "Metrics")}</a></nav>'
    )


def _who(facts: Facts, look: Look) -> str:
    at = _time(facts.now)
    return look.say(
        f"企业 {facts.plant or '尚未登记'}，第 {facts.epoch} 期，软件版本 {VERSION}；截至 {at}",
        f"Plant {facts.plant or 'not enrolled'}, epoch {facts.epoch}, software {VERSION}; as of {at}",
    )


def _problems(facts: Facts, look: Look) -> str:
    say = look.say
    if not facts.problems:
        return f'<p class="good">{say("没有需要处理的问题", "No problems")}</p>'
    lines = []
    for one in facts.problems:
        since = say(f"（{_text_time(one.since)} 起）", f" (since {_text_time(one.since)})") if one.since else ""
        lines.append(f"<li><span class=bad>{escape(say(one.zh, one.en))}</span>{escape(since)}</li>")
    title = say(f"问题（{len(lines)}）", f"Problems ({len(lines)})")
    return f'<section aria-labelledby="p"><h2 id="p">{title}</h2><ul>{"".join(lines)}</ul></section>'


def _cards(facts: Facts, look: Look) -> str:
    say, vitals = look.say, facts.vitals
    oldest, synced = facts.age(facts.oldest), facts.age(vitals.synced)
    waiting = str(facts.waiting)
    if oldest is not None:
        waiting += say(f"，最早 {_age(oldest, look)}前", f", oldest {_age(oldest, look)} ago")
    sync = say("启动以来没有", "not since the start") if synced is None else _ago(synced, look)
    clock = facts.clock
    offset = _minus(str(clock.off_ms))
    source = say("未同步", "not synchronised") if clock.src == "none" else clock.src.upper()
    disk = say(
        f"{_size(facts.disk_free)} 可用，共 {_size(facts.disk_total)}",
        f"{_size(facts.disk_free)} free of {_size(facts.disk_total)}",
    )
    cards = [
        (say("待上传声明", "Statements waiting"), waiting, ""),
        (say("上次同步", "Last sync"), sync, say(*vitals.sync_error)),
        (say("未提交读数", "Readings not committed"), str(vitals.uncommitted), ""),
        (say("树中读数", "Readings in the tree"), str(facts.tree_size), ""),
        (say("时钟", "Clock"), say(f"{source}，偏差 {offset} ms", f"{source}, offset {offset} ms"), ""),
        (say("磁盘", "Disk"), disk, ""),
    ]
    if facts.refused:
        cards.insert(1, (say("放弃的声明", "Statements given up"), str(facts.refused), ""))
    if vitals.disk is not None:
        of = "" if facts.budget is None else f" / {_size(facts.budget)}"
        cards.append((say("数据目录", "Data folder"), f"{_size(vitals.disk.used)}{of}", ""))
    said = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd>"
        + (f'<dd class="soft">{escape(more)}</dd>' if more else "")
        + "</div>"
        for name, value, more in cards
    )
    return f'<section aria-labelledby="s"><h2 id="s">{say("状态", "State")}</h2><dl class="cards">{said}</dl></section>'


def _channels(facts: Facts, look: Look) -> str:
    say = look.say
    head = [
        say("通道", "Channel"),
        say("数值", "Value"),
        say("距今", "Age"),
        say(f"时间（UTC{_zone(facts.now)}）", f"Time (UTC{_zone(facts.now)})"),
        say("标记", "Flag"),
        say("原因", "Reason"),
    ]
    rows = [_channel(one, facts, look) for one in facts.channels]
    title = say(f"最近读数（{len(rows)} 个通道）", f"Latest readings ({len(rows)} channels)")
    return _table("c", title, head, rows, say("没有通道", "There are no channels"), numbers=(1, 2))


def _channel(one: Latest, facts: Facts, look: Look) -> list[Cell]:
    if one.time is None:
        return [
            Cell(one.channel),
            Cell("—"),
            Cell("—"),
            Cell(look.say("没有读数", "none yet"), "soft"),
            Cell("—"),
            Cell(""),
        ]
    age = facts.age(one.time) or timedelta(0)
    value = "—" if one.value is None else f"{_minus(one.value)} {one.unit}".strip()
    mark = "" if one.flag == "N" else "bad"
    return [
        Cell(one.channel),
        Cell(value),
        Cell(_age(age, look)),
        Cell(f"{one.time.astimezone():%Y-%m-%d %H:%M:%S}"),
        Cell(one.flag, mark),
        Cell(one.reason, "w"),
    ]


def _devices(devices: Sequence[DeviceReport], look: Look) -> str:
    say = look.say
    head = [
        say("设备", "Device"),
        say("线路", "Line"),
        say("状态", "State"),
        say("轮询", "Polls"),
        say("超时", "Timeouts"),
        say("迟到/错误应答", "Late / bad answers"),
        say("断开/拒绝连接", "Lines lost / refused"),
        say("拒读", "Refused requests"),
    ]
    rows = [
        [
            Cell(one.device),
            Cell(f"{one.line} #{one.unit}", "w"),
            Cell(one.reason or say("正常", "ok"), "bad" if one.reason else "good"),
            Cell(str(one.polls)),
            Cell(str(one.timeouts)),
            Cell(f"{one.late_answers} / {one.checksum_errors + one.mismatched_answers}"),
            Cell(f"{one.lost_connections} / {one.refused_connections}"),
            Cell(str(len(one.refused)), "bad" if one.refused else ""),
        ]
        for one in devices
    ]
    title = say("Modbus 设备（自启动起）", "Modbus devices (since the start)")
    return _table("d", title, head, rows, "", numbers=(3, 4, 5, 6, 7))


def _quality(facts: Facts, look: Look) -> str:
    say = look.say
    head = [say("规则", "Rule"), say("次数", "Times")]
    rows = [[Cell(rule), Cell(str(n))] for rule, n in facts.quality.items()]
    title = say("质量检查计数", "Quality findings by rule")
    return _table("q", title, head, rows, say("没有发现", "Nothing was found"), numbers=(1,))


def _table(
    key: str, title: str, head: Sequence[str], rows: Iterable[Sequence[Cell]], empty: str, *, numbers: Iterable[int]
) -> str:
    """Write a table in a section; the roles stay when the style sheet shows it as a list."""
    right = set(numbers)
    body = "".join(_row(head, row, right) for row in rows)
    heading = f'<section aria-labelledby="{key}"><h2 id="{key}">{escape(title)}</h2>'
    if not body:
        return f'{heading}<p class="soft">{escape(empty)}</p></section>'
    titles = "".join(
        f'<th role="columnheader" scope="col"{_class("n" if at in right else "")}>{escape(one)}</th>'
        for at, one in enumerate(head)
    )
    return (
        f'{heading}<table role="table" aria-labelledby="{key}">'
        f'<thead role="rowgroup"><tr role="row">{titles}</tr></thead>'
        f'<tbody role="rowgroup">{body}</tbody></table></section>'
    )


def _row(head: Sequence[str], row: Sequence[Cell], right: set[int]) -> str:
    first, *rest = row
    cells = [f'<th role="rowheader" scope="row">{escape(first.text)}</th>']
    for at, cell in enumerate(rest, 1):
        kind = " ".join(one for one in ("n" if at in right else "", cell.mark) if one)
        label = escape(head[at], quote=True)
        cells.append(f'<td role="cell" data-label="{label}"{_class(kind)}>{escape(cell.text) or "—"}</td>')
    return f'<tr role="row">{"".join(cells)}</tr>'


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def _href(address: str) -> str:
    return escape(address, quote=True)


def _minus(number: str) -> str:
    return number.replace("-", "\u2212", 1) if number.startswith("-") else number


def _time(time: datetime) -> str:
    """Write a time of this machine's zone, which is what the clock on the wall shows, with its offset."""
    local = time.astimezone()
    return f"{local:%Y-%m-%d %H:%M:%S} UTC{_zone(time)}"


def _zone(time: datetime) -> str:
    """Write the offset of this machine's zone: `+08:00`."""
    offset = f"{time.astimezone():%z}"
    return f"{offset[:3]}:{offset[3:5]}"


def _text_time(text: str) -> str:
    try:
        return _time(datetime.fromisoformat(text))
    except ValueError:
        return text


def _ago(age: timedelta, look: Look) -> str:
    return look.say(f"{_age(age, look)}前", f"{_age(age, look)} ago")


def _age(age: timedelta, look: Look) -> str:
    """Write how long, in the largest unit that says enough."""
    seconds = int(age.total_seconds())
    for size, zh, en in ((86_400, "天", "d"), (3_600, "小时", "h"), (60, "分钟", "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {look.say(zh, en)}"
    return f"{seconds} {look.say('秒', 's')}"


def _size(count: int) -> str:
    mib = count / _MIB
    return f"{mib / 1024:.1f} GiB" if mib >= 1024 else f"{mib:.0f} MiB"
