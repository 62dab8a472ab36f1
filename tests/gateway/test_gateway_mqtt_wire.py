"""What the gateway's session says on the wire, and MQTT over TLS with credentials; against mosquitto itself."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from conftest import Plant
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from mqtt_recorder import CONNECT, PUBACK, PUBLISH, Greeting, Recorder, greeting
from test_gateway_mqtt import SITE, count, message, publish, until

from cunzheng.simulator.broker import BrokerHandle, start_broker
from gateway.clock import RealClock
from gateway.errors import UplinkError
from gateway.field import end_tasks
from gateway.intake import MqttIntake
from gateway.mqtt import Incoming, MqttSession
from gateway.settings import BrokerSettings
from gateway.uplink import CentreAwayError, Uplink

leaves_its_socket = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""paho leaves the socket of a failed handshake to the garbage collector."""
USER, PASSWORD = "gateway", "four words of passing"


@pytest.fixture
def plant(make_plant: Callable[..., Plant]) -> Plant:
    return make_plant(SITE)


@asynccontextmanager
async def session_of(
    plant: Plant,
    settings: BrokerSettings,
    *,
    handle: Callable[[MqttIntake], Any] | None = None,
    ready: asyncio.Event | None = None,
) -> AsyncIterator[MqttSession]:
    """Run a session; `ready` is set at its first connection."""
    intake = MqttIntake(plant.pipeline, plant.catalogue.mqtt, on_reading=lambda reading: None)
    session = MqttSession(settings, "gw-test", intake.topics, RealClock())

    async def on_session(present: bool) -> None:
        await intake.session(present)
        if ready is not None:
            ready.set()

    task = asyncio.create_task(session.run(handle(intake) if handle else intake.handle, on_session))
    try:
        yield session
    finally:
        await end_tasks((task,))


# -- the wire ---------------------------------------------------------------------------------------------------


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerHandle]:
    with start_broker(tmp_path / "broker", kind="mosquitto") as handle:
        yield handle


def settled(recorder: Recorder) -> Callable[[], bool]:
    return lambda: bool(recorder.seen("from", 9))  # SUBACK


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, Greeting(5, False, "gw-test", 7 * 86_400, 100)),
        ({"receive_maximum": 7, "session_expiry_s": 3_600}, Greeting(5, False, "gw-test", 3_600, 7)),
        ({"protocol": "3.1.1"}, Greeting(4, False, "gw-test")),
    ],
)
async def test_session_is_asked_for_with_its_expiry_and_receive_maximum(
    plant: Plant, broker: BrokerHandle, options: dict[str, Any], said: Greeting
) -> None:
    async with Recorder(broker.host, broker.port) as recorder:
        settings = BrokerSettings(host="127.0.0.1", port=recorder.listens_on, **options)
        async with session_of(plant, settings):
            await until(settled(recorder))
    assert [greeting(packet) for packet in recorder.seen("to", CONNECT)] == [said]


@pytest.mark.parametrize("limit", [1, 5, 20])
async def test_messages_are_acknowledged_one_by_one_in_the_order_they_came(
    plant: Plant, broker: BrokerHandle, limit: int
) -> None:
    n = 60
    async with Recorder(broker.host, broker.port) as recorder:
        settings = BrokerSettings(host="127.0.0.1", port=recorder.listens_on, receive_maximum=limit)
        async with session_of(plant, settings):
            await until(settled(recorder))
            await asyncio.to_thread(publish, broker, [message(one) for one in range(1, n + 1)])
            await until(lambda: len(recorder.seen("to", PUBACK)) == n)
    delivered = [packet.mid for packet in recorder.seen("from", PUBLISH)]
    assert [packet.mid for packet in recorder.seen("to", PUBACK)] == delivered
    assert len(set(delivered)) == n
    assert count(plant) == 2 * n


@pytest.mark.parametrize("limit", [1, 5, 20])
async def test_broker_sends_no_more_than_asked_for_while_nothing_is_committed(
    plant: Plant, broker: BrokerHandle, limit: int
) -> None:
    # Once messages are acknowledged, mosquitto 2.0.11 itself exceeds the limit; the test above shows that it does no
    # harm.
    def stuck(intake: MqttIntake) -> Callable[[Sequence[Incoming]], Awaitable[None]]:
        async def handle(batch: Sequence[Incoming]) -> None:
            await asyncio.Event().wait()

        return handle

    async with Recorder(broker.host, broker.port) as recorder:
        settings = BrokerSettings(host="127.0.0.1", port=recorder.listens_on, receive_maximum=limit)
        async with session_of(plant, settings, handle=stuck):
            await until(settled(recorder))
            await asyncio.to_thread(publish, broker, [message(one) for one in range(1, 61)])
            await until(lambda: len(recorder.seen("from", PUBLISH)) >= limit)
    assert len(recorder.seen("from", PUBLISH)) == limit
    assert recorder.seen("to", PUBACK) == []


async def test_nothing_is_acknowledged_before_its_batch_is_committed(plant: Plant, broker: BrokerHandle) -> None:
    committed: list[int] = []

    async with Recorder(broker.host, broker.port) as recorder:

        def watched(intake: MqttIntake) -> Callable[[Sequence[Incoming]], Awaitable[None]]:
            async def handle(batch: Sequence[Incoming]) -> None:
                assert {one.mid for one in batch}.isdisjoint(one.mid for one in recorder.seen("to", PUBACK))
                await intake.handle(batch)
                committed.append(count(plant))

            return handle

        settings = BrokerSettings(host="127.0.0.1", port=recorder.listens_on, receive_maximum=10)
        async with session_of(plant, settings, handle=watched):
            await until(settled(recorder))
            await asyncio.to_thread(publish, broker, [message(one) for one in range(1, 31)])
            await until(lambda: len(recorder.seen("to", PUBACK)) == 30)
    assert committed[-1] == 60


# -- TLS --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Authority:
    """A certificate authority made for a test."""

    name: x509.Name
    key: ec.EllipticCurvePrivateKey
    file: Path

    def certify(self, host: str, folder: Path) -> tuple[Path, Path]:
        """Make a server's certificate and key."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "broker")])
        alternative = x509.IPAddress(ip_address(host)) if host[0].isdigit() else x509.DNSName(host)
        made = (
            _certificate(name, self.name, key)
            .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        certificate, private = folder / "broker.crt", folder / "broker.key"
        certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return certificate, private


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
    )


def authority(folder: Path, name: str) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        _certificate(subject, subject, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=False,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=True,
                crl_sign=True,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / f"{name}.pem"
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return Authority(subject, key, file)


@dataclass(frozen=True)
class Guarded:
    """A broker that wants TLS and a password."""

    handle: BrokerHandle
    ca: Path
    folder: Path

    def settings(self, *, ca: Path | None = None, password: str = PASSWORD, **options: Any) -> BrokerSettings:
        secret = self.folder / "password"
        secret.write_text(f"{password}\n", "utf-8")
        given = {"username": USER, "password_file": secret, "ca_file": ca or self.ca, "backoff_max_s": 1, **options}
        return BrokerSettings(host=self.handle.host, port=self.handle.port, **given)


@asynccontextmanager
async def guarded(folder: Path, certified_for: str = "127.0.0.1") -> AsyncIterator[Guarded]:
    ours = authority(folder, "plant-ca")
    certificate, private = ours.certify(certified_for, folder)
    passwords = folder / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), USER, PASSWORD], check=True, capture_output=True)
    more = [f"cafile {ours.file}", f"certfile {certificate}", f"keyfile {private}", f"password_file {passwords}"]
    with start_broker(folder / "guarded", kind="mosquitto", refuse=True, more=more) as handle:
        yield Guarded(handle, ours.file, folder)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_broker_with_certificate_and_password_is_read(plant: Plant, tmp_path: Path, protocol: str) -> None:
    ready = asyncio.Event()
    async with (
        guarded(tmp_path) as broker,
        session_of(plant, broker.settings(protocol=protocol), ready=ready) as session,
    ):
        await until(ready.is_set)
        await asyncio.to_thread(_publish_over_tls, broker, [message(1), message(2)])
        await until(lambda: count(plant) == 4)
        assert session.error is None


@leaves_its_socket
async def test_broker_of_another_authority_is_refused_and_named(plant: Plant, tmp_path: Path) -> None:
    foreign = authority(tmp_path, "foreign-ca")
    async with guarded(tmp_path) as broker, session_of(plant, broker.settings(ca=foreign.file)) as session:
        await until(lambda: session.error is not None)
        assert "the broker's certificate is not accepted" in str(session.error)
        assert "check ca_file" in str(session.error)
    assert count(plant) == 0


@pytest.mark.parametrize("is_ours", [True, False])
async def test_centre_of_another_authority_is_not_one_that_is_away(tmp_path: Path, *, is_ours: bool) -> None:
    """Nobody there speaks HTTP, but one that is not trusted is another matter: asking fast would not help."""
    foreign = authority(tmp_path, "foreign-ca")
    async with guarded(tmp_path) as server:
        url, ca_file = f"https://127.0.0.1:{server.handle.port}", server.ca if is_ours else foreign.file
        with (
            Uplink(url, None, RealClock(), timeout_s=5, ca_file=ca_file) as uplink,
            pytest.raises(UplinkError, match="cannot reach the centre") as caught,
        ):
            await asyncio.to_thread(uplink.get, "/log/checkpoint")
    assert isinstance(caught.value, CentreAwayError) == is_ours


@leaves_its_socket
async def test_certificate_of_another_host_is_refused(plant: Plant, tmp_path: Path) -> None:
    async with guarded(tmp_path, "broker.example") as broker, session_of(plant, broker.settings()) as session:
        await until(lambda: session.error is not None)
        assert "the broker's certificate is not accepted" in str(session.error)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_wrong_password_is_refused_and_said(plant: Plant, tmp_path: Path, protocol: str) -> None:
    settings = {"password": "four wrong words", "protocol": protocol}
    async with guarded(tmp_path) as broker, session_of(plant, broker.settings(**settings)) as session:
        await until(lambda: session.error is not None)
        assert session.error == "refused: Not authorized"


@leaves_its_socket
async def test_broker_without_tls_is_said_where_tls_was_asked_for(
    plant: Plant, tmp_path: Path, broker: BrokerHandle
) -> None:
    settings = BrokerSettings(host=broker.host, port=broker.port, ca_file=authority(tmp_path, "plant-ca").file)
    async with session_of(plant, settings) as session:
        await until(lambda: session.error is not None)
        assert str(session.error).startswith(("no TLS with the broker", "no connection: Connection reset"))


async def test_broker_that_is_not_there_is_said_with_the_system_s_reason(plant: Plant, broker: BrokerHandle) -> None:
    settings = BrokerSettings(host=broker.host, port=broker.port)
    broker.stop()
    async with session_of(plant, settings) as session:
        await until(lambda: session.error is not None)
        assert session.error == "no connection: Connection refused"


def _publish_over_tls(broker: Guarded, payloads: Sequence[bytes]) -> None:
    publish(broker.handle, payloads, login=(USER, PASSWORD), ca_file=broker.ca)
