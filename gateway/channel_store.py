"""SQL over channels: what was declared, and the baseline of each running total. Contains no business logic."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal

from evidence.channel import Channel, ChannelKind
from evidence.encoding import decimal_text, jcs, parse_decimal, parse_time, time_text
from evidence.errors import EvidenceError
from evidence.segment import Baseline
from gateway.store import Store

_NEWEST = 4
"""Rows that are looked at for one that reads."""


def declared_channels(store: Store) -> dict[str, Channel]:
    """Return every channel that a `config` event has declared, as last declared."""
    return {
        row["id"]: Channel.from_config(json.loads(row["config"]))
        for row in store.rows("SELECT id, config FROM channel ORDER BY id")
    }


def is_declared(store: Store, channel: Channel) -> bool:
    """Tell whether the channel's last `config` event says exactly this."""
    found: str | None = store.value("SELECT config FROM channel WHERE id = ?", (channel.id,))
    return found == _config_text(channel)


def remember_channel(store: Store, channel: Channel, sid: str) -> None:
    """Keep what a `config` event declared."""
    store.execute(
        "INSERT INTO channel (id, config, sid) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE"
        " SET config = excluded.config, sid = excluded.sid",
        (channel.id, _config_text(channel), sid),
    )


def baselines(store: Store) -> dict[str, Baseline]:
    """Return what the next difference of each total is taken from."""
    return {row["channel"]: baseline_of(row["carry"]) for row in store.rows("SELECT channel, carry FROM channel_state")}


def save_baselines(store: Store, changed: Mapping[str, Baseline]) -> None:
    """Keep baselines; part of the transaction that seals the readings they come from."""
    store.execute_many(
        "INSERT INTO channel_state (channel, carry) VALUES (?, ?) ON CONFLICT (channel) DO UPDATE"
        " SET carry = excluded.carry",
        ((channel, baseline_text(one)) for channel, one in changed.items()),
    )


def baseline_text(one: Baseline) -> str:
    """Write a baseline as the store keeps it."""
    return json.dumps([decimal_text(one.value), time_text(one.time)])


def baseline_of(text: str) -> Baseline:
    """Read what `baseline_text` wrote."""
    value, time = json.loads(text)
    return Baseline(Decimal(value), parse_time(time))


def newest_totals(store: Store) -> dict[str, Baseline]:
    """Return the newest valid reading of each total, sealed or not, to judge the next one by."""
    found: dict[str, Baseline] = {}
    for channel in declared_channels(store).values():
        if channel.kind is ChannelKind.TOTAL:
            newest = newest_value(store, channel.id)
            if newest is not None:
                found[channel.id] = newest
    return found


def newest_value(store: Store, channel: str) -> Baseline | None:
    """Return the newest valid reading of a channel; a row that reads as none, which `check` names, is passed over."""
    rows = store.rows(
        "SELECT value, time FROM reading WHERE channel = ? AND flag = 'N' AND value IS NOT NULL"
        " ORDER BY time DESC LIMIT ?",
        (channel, _NEWEST),
    )
    for row in rows:
        with suppress(EvidenceError):
            return Baseline(parse_decimal(row["value"]), parse_time(row["time"]))
    return None


def _config_text(channel: Channel) -> str:
    return jcs(channel.config_data()).decode("utf-8")
