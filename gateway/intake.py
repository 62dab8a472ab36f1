"""From MQTT messages to stored readings: decode, judge, commit as a batch, and only then acknowledge.

A message that cannot be read goes to quarantine in the same transaction, so that it can never block the others. The
identity of a reading is its channel and the message's own name, so a redelivered message stores nothing new.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from device_profiles import Decoded, PayloadError, decode_payload, topic_for
from evidence.encoding import sha256_hex, time_text
from evidence.reading import Reading
from gateway.catalogue import Instrument
from gateway.chain import append_event
from gateway.errors import StoreError
from gateway.groupcommit import RETRY_S
from gateway.mqtt import Incoming
from gateway.pipeline import Pipeline
from gateway.poller import to_reading
from gateway.reading_store import Arrival, insert_readings
from gateway.site import MqttSite
from gateway.store import Store

log = logging.getLogger("cunzheng.gateway")

RAW_BYTES = 4096
"""A message up to this length is kept as it came."""
_SESSION_KNOWN = "mqtt_session"


@dataclass(frozen=True)
class Poison:
    """A message that carries no readings, and why."""

    message: Incoming
    reason: str


class MqttIntake:
    """Turns batches of messages into committed readings."""

    def __init__(
        self, pipeline: Pipeline, instruments: Sequence[Instrument], *, on_reading: Callable[[Reading], None]
    ) -> None:
        self._pipeline, self._on_reading = pipeline, on_reading
        self._by_topic: Mapping[str, Instrument] = {_topic(one): one for one in instruments}

    @property
    def topics(self) -> tuple[str, ...]:
        """What to subscribe to."""
        return tuple(sorted(self._by_topic))

    async def handle(self, batch: Sequence[Incoming]) -> None:
        """Commit a batch: readings and poison together."""
        arrivals: list[Arrival] = []
        poison: list[Poison] = []
        for message in batch:
            try:
                arrivals += self._arrivals(message)
            except PayloadError as error:
                poison.append(Poison(message, str(error)))
            except Exception as error:
                # Whatever a message does to the decoder, it must not stop the ones behind it.
                poison.append(Poison(message, f"{type(error).__name__}: {error}"))
        await self._committed(lambda store: _commit(store, arrivals, poison), len(batch))
        for bad in poison:
            log.warning("message quarantined topic=%r reason=%r", bad.message.topic, bad.reason)
        for arrival in arrivals:
            self._on_reading(arrival.reading)

    async def session(self, present: bool) -> None:
        """Write a gap event when the broker has forgotten the session."""
        signer = self._pipeline.signer
        now = time_text(signer.clock.now())

        def note(store: Store) -> None:
            known = store.get(_SESSION_KNOWN)
            store.put(_SESSION_KNOWN, now)
            if not present and known is not None:
                data = {"source": "mqtt", "from": known, "to": now, "reason": "the broker forgot the session"}
                append_event(store, signer, "gap", data)

        await self._committed(note, 0)

    async def _committed(self, work: Callable[[Store], object], count: int) -> None:
        """Commit, as often as it takes: nothing is acknowledged before, and a store that refuses stops nobody."""
        while True:
            try:
                await self._pipeline.writer.do(work)
            except StoreError as error:
                log.error("messages wait count=%d reason=%r", count, str(error))
                await asyncio.sleep(RETRY_S)
            else:
                return

    def _arrivals(self, message: Incoming) -> list[Arrival]:
        instrument = self._by_topic.get(message.topic)
        if instrument is None:
            raise PayloadError("topic", f"{message.topic!r} belongs to no device of the site")
        said = decode_payload(instrument.profile, message.topic, message.payload, message.retained)
        time = message.received if said.device_time is None else said.device_time
        found = []
        for point, channels in instrument.channels.items():
            decoded = said.values.get(point)
            if decoded is None:
                continue
            for channel in channels:
                reading = to_reading(
                    channel,
                    decoded,
                    time,
                    message.received,
                    device_time=said.device_time_text or "",
                    payload=_raw(message.payload, decoded),
                )
                found.append(self._pipeline.arrival(reading, f"mqtt|{channel}|{said.dedup}"))
        return found


def _raw(payload: bytes, decoded: Decoded) -> str:
    """Keep the message's own text beside each reading; of a long one the point's text and the message's digest."""
    if len(payload) <= RAW_BYTES:
        return payload.decode("utf-8")
    return f"{decoded.raw_hex} sha256:{sha256_hex(payload)}"


def _commit(store: Store, arrivals: Sequence[Arrival], poison: Sequence[Poison]) -> int:
    store.execute_many(
        "INSERT INTO quarantine (received, source, payload, reason) VALUES (?, ?, ?, ?)",
        ((time_text(bad.message.received), bad.message.topic, bad.message.payload, bad.reason) for bad in poison),
    )
    if arrivals:
        store.put(_SESSION_KNOWN, time_text(arrivals[-1].reading.received))
    return insert_readings(store, arrivals)


def _topic(instrument: Instrument) -> str:
    site = instrument.site
    name = site.name if isinstance(site, MqttSite) and site.name else site.id
    return topic_for(instrument.profile, name)
