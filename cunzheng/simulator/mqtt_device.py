"""An MQTT device publishing JSON by its profile. The one file here that knows paho.

Publishes with QoS 1 over MQTT 3.1.1, which every broker speaks; what it could not deliver waits in its queue
as on a device.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from device_profiles import Profile, encode_payload, topic_for
from device_profiles.quality import Quality

from .dials import Dials, Values
from .edge_node import EdgeNode
from .errors import MqttSimulatorError
from .journal import Note, unnoted
from .states import quality_word

GARBAGE = b'\xff\x00{"time":'
_CONNECT_TIMEOUT_S = 10.0
_LONGEST_RECONNECT_S = 2


@dataclass(frozen=True)
class _Message:
    """What is to be sent, from when on (monotonic), and what the journal says of it."""

    payload: bytes
    topic: str
    due: float
    facts: Mapping[str, object]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class MqttDeviceSimulator:
    """One publishing device. Counts what it sent; sequence numbers start at `first_sequence`."""

    def __init__(
        self,
        profile: Profile,
        device: str,
        *,
        host: str,
        port: int,
        client_id: str,
        values: Callable[[datetime], Values],
        interval_s: float = 10.0,
        dials: Dials | None = None,
        clock: Callable[[], datetime] = _utc_now,
        first_sequence: int = 1,
        credentials: tuple[str, str] | None = None,
        note: Note = unnoted,
    ) -> None:
        self.profile = profile
        self._edge = EdgeNode(profile, device) if profile.mqtt and profile.mqtt.format == "sparkplug" else None
        self.topic = self._edge.topic("DDATA") if self._edge else topic_for(profile, device)
        self.dials = dials or Dials()
        self.interval_s = interval_s
        self.sequence = first_sequence
        self.sent = 0
        self._address = (host, port)
        self._values = values
        self._clock = clock
        self._note = note
        self._held_back: _Message | None = None
        self._late: deque[_Message] = deque()
        self._answer: ReasonCode | None = None
        self._answered = threading.Event()
        self._acknowledged = 0
        self._change = threading.Condition()
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=True,
            protocol=MQTTProtocolVersion.MQTTv311,
        )
        self._client.reconnect_delay_set(1, _LONGEST_RECONNECT_S)
        if self._edge is not None:
            topic, will = self._edge.death(self._clock())
            self._client.will_set(topic, will, qos=0)
        if credentials is not None:
            self._client.username_pw_set(*credentials)

    def connect(self) -> None:
        """Connect and start the network thread.

        Raises: MqttSimulatorError where the broker is away or refuses.
        """
        host, port = self._address
        self._client.on_connect = self._on_connect
        self._client.on_publish = self._on_publish
        try:
            self._client.connect(host, port, keepalive=30)
        except OSError as error:
            self._client.on_connect = None
            raise MqttSimulatorError(
                f"{host}:{port} 没有 MQTT 代理：{error}", f"no MQTT broker at {host}:{port}: {error}"
            ) from error
        self._client.loop_start()
        if not self._answered.wait(_CONNECT_TIMEOUT_S) or self._answer is None or self._answer.is_failure:
            reason = str(self._answer) if self._answer is not None else "no answer"
            self.close()
            raise MqttSimulatorError(
                f"{host}:{port} 的 MQTT 代理拒绝该设备：{reason}",
                f"the MQTT broker at {host}:{port} refuses the device: {reason}",
            )

    def publish(self) -> None:
        """Send one message with the values of now, as the dials say; what was delayed goes out when it is due."""
        self.send_late()
        dials = self.dials
        if dials.silent:
            self._note("silent")
            return
        if dials.disconnect:
            self._note("disconnected")
            self._drop_connection()
        now = self._clock()
        values = self._values(now)
        shown = dict(dials.shown(self.profile, values, now))
        due = time.monotonic() + dials.delay_s
        if self._edge is not None:
            for topic, message in self._edge.messages(shown, dials.clock(now)):
                self._hand_on(_Message(message, topic, due, {"true": values}))
            return
        quality = self._quality_word(shown)
        payload = encode_payload(self.profile, shown, time=dials.clock(now), sequence=self.sequence, quality=quality)
        facts = {"sequence": self.sequence, "true": values}
        self.sequence += 1
        self._emit(_Message(GARBAGE if dials.garbage else payload, self.topic, due, facts))

    def _emit(self, message: _Message) -> None:
        """Hand a message on, out of order or twice as the dials say."""
        dials = self.dials
        if dials.reorder and self._held_back is None:
            self._held_back = message
            return
        self._hand_on(message)
        if dials.duplicate:
            self._hand_on(message)
        if self._held_back is not None:
            self._hand_on(self._held_back)
            self._held_back = None

    def send_late(self, *, all_of_them: bool = False) -> None:
        """Send what was delayed and is due now, in the order in which it was made."""
        now = time.monotonic()
        while self._late and (all_of_them or self._late[0].due <= now):
            self._send(self._late.popleft())

    def flush(self, timeout_s: float = 10.0) -> None:
        """Wait until the broker has acknowledged everything sent.

        Raises: MqttSimulatorError after the time-out.
        """
        with self._change:
            if not self._change.wait_for(lambda: self._acknowledged >= self.sent, timeout_s):
                raise MqttSimulatorError("MQTT 代理未按时确认", "the MQTT broker did not acknowledge in time")

    async def run(self) -> None:
        """Publish every `interval_s` until cancelled; connects first, closes at the end."""
        await asyncio.to_thread(self.connect)
        try:
            while True:
                self.publish()
                await self._pause()
        finally:
            self.send_late(all_of_them=True)
            await asyncio.to_thread(self.close)

    async def _pause(self) -> None:
        """Wait for the next message, and send meanwhile what becomes due."""
        until = time.monotonic() + self.interval_s
        while (rest := until - time.monotonic()) > 0:
            next_due = self._late[0].due - time.monotonic() if self._late else rest
            await asyncio.sleep(max(0.0, min(rest, next_due)))
            self.send_late()

    def close(self) -> None:
        """Disconnect and stop the network thread."""
        self._client.disconnect()
        self._client.loop_stop()
        # Ends the circle of references, so that its sockets close at once.
        self._client.on_connect = self._client.on_publish = None

    def _hand_on(self, message: _Message) -> None:
        """Send at once, or behind what waits already: a late link keeps the order."""
        if self._late or message.due > time.monotonic():
            self._late.append(message)
        else:
            self._send(message)

    def _send(self, message: _Message) -> None:
        # Sparkplug births and data are QoS 0 and never retained.
        qos, retain = (0, False) if self._edge else (1, self.dials.retained)
        info = self._client.publish(message.topic, message.payload, qos=qos, retain=retain)
        self._note("message", mid=info.mid, topic=message.topic, **message.facts, payload=_as_text(message.payload))
        if info.rc not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN):
            says = paho.error_string(info.rc)
            raise MqttSimulatorError(f"无法发布：{says}", f"cannot publish: {says}")
        self.sent += 1

    def _drop_connection(self) -> None:
        """Lose the link without a word; the network thread connects again."""
        link = self._client.socket()
        if isinstance(link, socket.socket):
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)

    def _quality_word(self, shown: Mapping[str, object]) -> str | None:
        """Send the first good word where no point itself carries the quality."""
        rule = self.profile.mqtt
        if rule is None or any(self.profile.points[name].pointer == rule.quality_pointer for name in shown):
            return None
        return quality_word(self.profile, Quality(self.dials.state or Quality.VALID))

    def _on_connect(
        self,
        client: paho.Client,
        userdata: object,
        flags: paho.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self._answer = reason
        self._answered.set()

    def _on_publish(
        self, client: paho.Client, userdata: object, mid: int, reason: ReasonCode, properties: Properties
    ) -> None:
        """Count an acknowledgement; what was sent while the broker was away is acknowledged after the reconnect."""
        with self._change:
            self._acknowledged += 1
            self._change.notify_all()
        self._note("acknowledged", mid=mid)


def _as_text(payload: bytes) -> str:
    try:
        return payload.decode("utf-8")
    except UnicodeDecodeError:
        return f"hex:{payload.hex()}"
