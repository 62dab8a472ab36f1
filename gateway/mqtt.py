"""One persistent MQTT 5 session on the plant's broker: the only file that knows paho.

QoS 1 with manual acknowledgement: a message is acknowledged after its batch is committed, in the order received, and
only on the connection that delivered it. The client id is fixed and the session outlives a restart by a week. A broker
that is away is looked for every second, one that refuses ever more seldom. What a message means is
`gateway/intake.py`'s business.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from gateway.clock import Clock
from gateway.errors import MisuseError
from gateway.patience import Patience
from gateway.settings import BrokerSettings

KEEPALIVE_S = 30
MAX_PAYLOAD_BYTES = 1 << 20
MOST_WAITING = 1_000
"""Messages held in memory, or twice `receive_maximum` where that is more; a broker that knows no such limit
(MQTT 3.1.1), or messages of QoS 0, would fill it without end."""
MOST_WAITING_BYTES = 32 << 20
STEADY_S = 5.0
"""A connection that ends sooner was ended by the broker for a reason, such as another client of the same id."""

log = logging.getLogger("cunzheng.gateway")


@dataclass(frozen=True)
class Incoming:
    """One message as received; `connection` says over which connection it came."""

    topic: str
    payload: bytes
    retained: bool
    received: datetime
    mid: int
    qos: int
    connection: int


class Places:
    """How many messages may wait; the network thread stands still while all places are taken.

    Then nothing is read from the connection. A broker that is not heard for long ends it, keeps the session, and
    delivers again what was not acknowledged.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._count = self._bytes = 0
        self._is_open = True
        self._changed = threading.Condition()

    @property
    def taken(self) -> int:
        """How many messages wait."""
        return self._count

    def open(self) -> None:
        """Let messages in; none waits any more."""
        with self._changed:
            self._is_open, self._count, self._bytes = True, 0, 0

    def close(self) -> None:
        """Let nobody wait any longer."""
        with self._changed:
            self._is_open = False
            self._changed.notify_all()

    def take(self, size: int) -> bool:
        """Wait for a place for a message; False when there is none any more."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_open or self._has_place(size))
            self._count, self._bytes = self._count + 1, self._bytes + size
            return self._is_open

    def give_back(self, messages: Sequence[Incoming]) -> None:
        """Free the places of messages that are dealt with."""
        with self._changed:
            self._count -= len(messages)
            self._bytes -= sum(len(one.payload) for one in messages)
            self._changed.notify_all()

    def _has_place(self, size: int) -> bool:
        return self._count < self._most and (not self._count or self._bytes + size <= self._most_bytes)


Handler = Callable[[Sequence[Incoming]], Awaitable[None]]
"""Commits a batch; the messages are acknowledged when it returns."""
SessionHandler = Callable[[bool], Awaitable[None]]
"""Told at each connect whether the broker still knew the session."""


class MqttSession:
    """Connects, keeps connected, hands over batches, acknowledges."""

    def __init__(self, settings: BrokerSettings, client_id: str, topics: Sequence[str], clock: Clock) -> None:
        """Prepare the client; nothing is connected yet.

        Raises:
            MisuseError: the password file or the CA file cannot be read.
        """
        self.name = f"{settings.host}:{settings.port}"
        self._settings, self._topics, self._clock = settings, tuple(topics), clock
        self._left: set[str] = set()
        """Topics given up since the start; the broker may not have heard of it."""
        self._patience = Patience(settings.backoff_max_s)
        self._since: float | None = None
        """When the connection was made, by the monotonic clock; None while there is none."""
        self._is_refused = False
        self._client = self._new_client(client_id)
        self.places = Places(max(MOST_WAITING, 2 * settings.receive_maximum), MOST_WAITING_BYTES)
        self._inbox: deque[Incoming | bool] = deque()
        self._came = asyncio.Event()
        self._is_told = False
        """Whether the loop knows that something came: it is woken for many messages once."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection = 0
        self.error: str | None = None
        """Why the broker is not there; None while connected."""

    async def run(self, handler: Handler, on_session: SessionHandler) -> None:
        """Receive until cancelled."""
        self._loop = asyncio.get_running_loop()
        self._connect()
        self._client.loop_start()
        self.places.open()
        try:
            while True:
                await self._came.wait()
                self._came.clear()
                self._is_told = False  # before the inbox is emptied: what comes from now on tells again
                while self._inbox:
                    await self._hand_over(self._inbox.popleft(), handler, on_session)
        finally:
            # The network thread may take a moment to end; the loop must not wait for it.
            await asyncio.shield(self._loop.run_in_executor(None, self._stop))

    def listen(self, topics: Sequence[str]) -> None:
        """Subscribe to these topics from now on; the broker forgets those that are not among them."""
        gone, new = set(self._topics) - set(topics), set(topics) - set(self._topics)
        self._topics, self._left = tuple(topics), (self._left | gone) - set(topics)
        if self._client.is_connected():
            if gone:
                self._client.unsubscribe(sorted(gone))
            self._subscribe(sorted(new))

    def _connect(self) -> None:
        settings = self._settings
        if settings.protocol == "3.1.1":
            self._client.connect_async(settings.host, settings.port, keepalive=KEEPALIVE_S)
            return
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = settings.session_expiry_s
        properties.ReceiveMaximum = settings.receive_maximum
        self._client.connect_async(
            settings.host, settings.port, keepalive=KEEPALIVE_S, clean_start=False, properties=properties
        )

    async def _hand_over(self, first: Incoming | bool, handler: Handler, on_session: SessionHandler) -> None:
        if isinstance(first, bool):
            await on_session(first)
            return
        batch = [first]
        while len(batch) < self._settings.receive_maximum and self._inbox:
            following = self._inbox.popleft()
            if isinstance(following, bool):
                await self._commit(batch, handler)
                await on_session(following)
                return
            batch.append(following)
        await self._commit(batch, handler)

    async def _commit(self, batch: Sequence[Incoming], handler: Handler) -> None:
        await handler(batch)
        self.places.give_back(batch)
        for message in batch:
            # After a reconnect the broker delivers again; an old id may by then name another message.
            if message.connection == self._connection:
                self._client.ack(message.mid, message.qos)

    def _stop(self) -> None:
        self.places.close()
        self._client.disconnect()
        self._client.loop_stop()

    # -- callbacks, in paho's thread; none of them may raise -------------------------------------------------

    def _on_connect(self, client: Client, _data: Any, flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._is_refused = True
            self._try_again_after(self._patience.refused())
            self._note(f"refused: {reason}")
            return
        self._is_refused, self._since = False, time.monotonic()
        self._note(None)
        self._connection += 1
        if self._left:
            client.unsubscribe(sorted(self._left))
        self._subscribe(self._topics)
        self._put(bool(flags.session_present))

    def _subscribe(self, topics: Sequence[str]) -> None:
        if topics and self._settings.protocol == "5":
            options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
            self._client.subscribe([(topic, options) for topic in topics])
        elif topics:
            self._client.subscribe([(topic, 1) for topic in topics])

    def _on_connect_fail(self, _client: Client, _data: Any) -> None:
        # paho calls this while it handles what went wrong, and says itself nothing of it.
        error = sys.exception()
        is_refused = isinstance(error, ssl.SSLCertVerificationError)
        self._try_again_after(self._patience.refused() if is_refused else self._patience.away())
        self._note(_why(error))

    def _on_disconnect(self, _client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        lasted_s = None if self._since is None else time.monotonic() - self._since
        if lasted_s is not None and lasted_s >= STEADY_S:
            self._patience.well()
        if lasted_s is not None and lasted_s < STEADY_S:
            self._try_again_after(self._patience.refused())
        elif not self._is_refused:  # else its pause is chosen already
            self._try_again_after(self._patience.away())
        self._since, self._is_refused = None, False
        if reason.is_failure and self.error is None:
            self._note(f"disconnected: {reason}")

    def _try_again_after(self, pause_s: float) -> None:
        # Both ends of paho's own doubling: it waits just so long. Its annotation says int, and it only adds.
        self._client.reconnect_delay_set(pause_s, pause_s)  # type: ignore[arg-type]

    def _on_subscribe(self, _client: Client, _data: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if refused:
            self._note(f"subscription refused: {refused[0]}")

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = "(not UTF-8)"
        payload = bytes(message.payload)[: MAX_PAYLOAD_BYTES + 1]
        if not self.places.take(len(payload)):
            return  # at the end; not acknowledged, so the broker delivers again
        self._put(
            Incoming(
                topic, payload, bool(message.retain), self._clock.now(), message.mid, message.qos, self._connection
            )
        )

    def _put(self, item: Incoming | bool) -> None:
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        self._inbox.append(item)
        if not self._is_told:
            self._is_told = True
            try:
                loop.call_soon_threadsafe(self._came.set)
            except RuntimeError:
                # The loop closed in between: not acknowledged, so the broker delivers again.
                return

    def _note(self, error: str | None) -> None:
        if error != self.error:
            self.error = error
            if error is None:
                log.info("mqtt connected broker=%s", self.name)
            else:
                log.warning("mqtt unavailable broker=%s reason=%r", self.name, error)

    def _new_client(self, client_id: str) -> Client:
        settings = self._settings
        is_five = settings.protocol == "5"
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if is_five else False,
            protocol=MQTTProtocolVersion.MQTTv5 if is_five else MQTTProtocolVersion.MQTTv311,
            manual_ack=True,
        )
        client.suppress_exceptions = True
        client.reconnect_delay_set(1, 1)  # until something is noted that says otherwise
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        try:
            if settings.username is not None:
                path = settings.password_file
                client.username_pw_set(settings.username, path.read_text("utf-8").strip() if path else None)
            if settings.ca_file is not None:
                client.tls_set(ca_certs=str(settings.ca_file), cert_reqs=ssl.CERT_REQUIRED)
        except (OSError, ValueError) as error:
            raise MisuseError(
                f"[mqtt] 的密码文件或 CA 文件无法读取: {error}", f"[mqtt] password_file or ca_file: {error}"
            ) from error
        return client


def _why(error: BaseException | None) -> str:
    """Say why there is no connection; a certificate that is not accepted sounds like nothing else."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the broker's certificate is not accepted: {error.verify_message}; check ca_file and host"
    if isinstance(error, ssl.SSLError):
        return f"no TLS with the broker: {error.reason or error}"
    return f"no connection: {error.strerror}" if isinstance(error, OSError) and error.strerror else "no connection"
