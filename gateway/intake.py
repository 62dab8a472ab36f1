"""From MQTT messages to stored readings: decode, judge, commit as a batch, and only then acknowledge.

A message that cannot be read goes to quarantine in the same transaction, so that it can never block the others. The
identity of a reading is its channel and the message's own name, so a redelivered message stores nothing new.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from device_profiles import Decoded, Memory, PayloadError, decode_messages, filters_of, listens
from device_profiles.sparkplug import NAMESPACE
from evidence.encoding import sha256_hex, time_text
from evidence.reading import Reading
from gateway.catalogue import Instrument
from gateway.chain import append_event
from gateway.device_register import DeviceRegister
from gateway.device_store import quarantine
from gateway.errors import StoreError
from gateway.groupcommit import RETRY_S
from gateway.mqtt import Incoming
from gateway.nameplate import Told, channels_of, identity_text, watched_points
from gateway.pipeline import Pipeline
from gateway.poller import to_reading
from gateway.rawtile import RawFolder
from gateway.reading_store import Arrival, insert_readings
from gateway.recall import recall_hours, too_old, without_known
from gateway.room import Room
from gateway.site import MqttSite
from gateway.store import Store

log = logging.getLogger("cunzheng.gateway")

RAW_BYTES = 4096
"""A message up to this length is kept as it came."""
_SESSION_KNOWN = "mqtt_session"
_WHO = "mqtt"


@dataclass(frozen=True)
class Poison:
    """A message that carries no readings, and why."""

    message: Incoming
    reason: str


class MqttIntake:
    """Turns batches of messages into committed readings."""

    def __init__(
        self,
        pipeline: Pipeline,
        instruments: Sequence[Instrument],
        *,
        on_reading: Callable[[Reading], None],
        room: Room | None = None,
    ) -> None:
        self._pipeline, self._on_reading = pipeline, on_reading
        self._room = room or Room(pipeline.signer.clock)
        self._instruments = tuple(instruments)
        self._memories: dict[str, Memory | None] = {}
        """What is remembered of each device's edge node; gone with the session, as its aliases are."""
        self._notes: list[tuple[str, str]] = []
        self._register = DeviceRegister(pipeline)
        self._told: list[Told] = []
        self._watched = {one.site.id: watched_points(one) for one in self._instruments}
        self.turn = asyncio.Lock()
        """Held while a batch is dealt with; whoever else holds it makes the batches wait."""

    @property
    def topics(self) -> tuple[str, ...]:
        """What to subscribe to."""
        return tuple(sorted({one for each in self._instruments for one in filters_of(each.profile, _name(each))}))

    def follow(self, instruments: Sequence[Instrument], changed: Collection[str]) -> None:
        """Read by these instruments from now on; what is remembered of those that changed is forgotten."""
        self._instruments = tuple(instruments)
        self._watched = {one.site.id: watched_points(one) for one in self._instruments}
        for device in changed:
            self._memories.pop(device, None)

    async def handle(self, batch: Sequence[Incoming]) -> None:
        """Commit a batch, readings and poison together; not before there is room for it."""
        await self._room.opened()
        async with self.turn:
            await self._handle(batch)

    async def _handle(self, batch: Sequence[Incoming]) -> None:
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
        await self._committed(lambda store: _commit(store, self._pipeline.raw, arrivals, poison), len(batch))
        for device, note in self._notes:
            log.warning("mqtt device=%s note=%r", device, note)
        self._notes.clear()
        for told in self._told:
            if self._register.is_news(told):
                await self._register.note(told)
        self._told.clear()
        for bad in poison:
            self._pipeline.judge.frame_refused(bad.message.topic, bad.reason, bad.message.received)
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
        said = ""
        while True:
            try:
                await self._pipeline.writer.do(work)
            except StoreError as error:
                self._room.refused(_WHO, error)
                if str(error) != said:
                    log.error("messages wait count=%d reason=%r", count, str(error))
                said = str(error)
                await asyncio.sleep(RETRY_S)
            else:
                self._room.accepted(_WHO)
                return

    def _arrivals(self, message: Incoming) -> list[Arrival]:
        listening = [one for one in self._instruments if listens(one.profile, _name(one), message.topic)]
        if not listening:
            raise PayloadError("topic", f"{message.topic!r} belongs to no device of the site")
        found: list[Arrival] = []
        failed: PayloadError | None = None
        for instrument in listening:
            try:
                found += self._said(instrument, message)
            except PayloadError as error:  # the other devices of the node still follow its sequence
                failed = error
        if failed is not None and not found:
            raise failed
        return found

    def _said(self, instrument: Instrument, message: Incoming) -> list[Arrival]:
        device = instrument.site.id
        said = decode_messages(
            instrument.profile,
            _name(instrument),
            message.topic,
            message.payload,
            message.retained,
            state=self._memories.get(device),
        )
        self._memories[device] = said.state
        self._notes += [(device, note) for note in said.notes]
        found = []
        for one in said.readings:
            time = message.received if one.device_time is None else one.device_time
            # Without a time of its own two equal messages are two readings; the moment of receipt tells them apart.
            dedup = one.dedup if one.dated else f"{one.dedup}|{time_text(message.received)}"
            named = [point for point in self._watched[device] if point in one.values and one.values[point].is_valid]
            identity = {point: text for point in named if (text := identity_text(one.values[point]))}
            if identity and not message.retained:
                self._told.append(Told(device, channels_of(instrument), message.received, identity))
            for point, channels in instrument.channels.items():
                decoded = one.values.get(point)
                if decoded is None:
                    continue
                for channel in channels:
                    reading = to_reading(
                        channel,
                        decoded,
                        time,
                        message.received,
                        device_time=one.device_time_text or "",
                        payload=_raw(message, decoded),
                    )
                    found.append(self._pipeline.arrival(reading, f"mqtt|{channel}|{dedup}"))
        return found


def _raw(message: Incoming, decoded: Decoded) -> str:
    """Keep the message's own text (bytes as hexadecimal) beside each reading; of a long one only the digest."""
    payload = message.payload
    if len(payload) > RAW_BYTES:
        return f"{decoded.raw_hex} sha256:{sha256_hex(payload)}"
    if message.topic.startswith(f"{NAMESPACE}/"):
        return f"hex:{payload.hex()}"
    return payload.decode("utf-8")


def _commit(store: Store, raw: RawFolder, arrivals: Sequence[Arrival], poison: Sequence[Poison]) -> int:
    quarantine(store, ((bad.message.received, bad.message.topic, bad.message.payload, bad.reason) for bad in poison))
    if arrivals:
        store.put(_SESSION_KNOWN, time_text(arrivals[-1].reading.received))
    hours = {one.hour for one in arrivals}
    gone = recall_hours(store, raw, hours)
    return insert_readings(store, [too_old(one, gone) for one in without_known(store, arrivals, hours)])


def _name(instrument: Instrument) -> str:
    site = instrument.site
    return site.name if isinstance(site, MqttSite) and site.name else site.id
