"""An MQTT device publishing JSON by its profile. The one file here that knows paho.

Publishes with QoS 1 over MQTT 3.1.1, which every broker speaks; what it could not deliver waits in its queue
as on a device.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from device_profiles import Profile, encode_payload, topic_for

from .dials import Dials, Values
from .edge_node import EdgeNode
from .errors import MqttSimulatorError

GARBAGE = b'\xff\x00{"time":'
_CONNECT_TIMEOUT_S = 10.0


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
        self._held_back: bytes | None = None
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
        """Send one message with the values of now, as the dials say."""
        now = self._clock()
        shown = dict(self.dials.shown(self.profile, self._values(now)))
        if self._edge is not None:
            for topic, message in self._edge.messages(shown, now):
                self._send(message, topic)
            return
        quality = self._quality_word(shown)
        payload = encode_payload(self.profile, shown, time=now, sequence=self.sequence, quality=quality)
        self.sequence += 1
        if self.dials.garbage:
            payload = GARBAGE
        if self.dials.reorder and self._held_back is None:
            self._held_back = payload
            return
        self._send(payload)
        if self.dials.duplicate:
            self._send(payload)
        if self._held_back is not None:
            self._send(self._held_back)
            self._held_back = None

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
                await asyncio.sleep(self.interval_s)
        finally:
            await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Disconnect and stop the network thread."""
        self._client.disconnect()
        self._client.loop_stop()
        # Ends the circle of references, so that its sockets close at once.
        self._client.on_connect = self._client.on_publish = None

    def _send(self, payload: bytes, topic: str = "") -> None:
        # Sparkplug births and data are QoS 0 and never retained.
        qos, retain = (0, False) if self._edge else (1, self.dials.retained)
        info = self._client.publish(topic or self.topic, payload, qos=qos, retain=retain)
        if info.rc not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN):
            says = paho.error_string(info.rc)
            raise MqttSimulatorError(f"无法发布：{says}", f"cannot publish: {says}")
        self.sent += 1

    def _quality_word(self, shown: Mapping[str, object]) -> str | None:
        """Send the first good word where no point itself carries the quality."""
        rule = self.profile.mqtt
        if rule is None or any(self.profile.points[name].pointer == rule.quality_pointer for name in shown):
            return None
        good = (word for word, state in rule.quality_map.items() if state.quality.value == "valid")
        return next(good, None)

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
