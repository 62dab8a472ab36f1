"""The gateway's page and `/metrics`: what they show, in which language, and that no client can hurt the gateway."""

from __future__ import annotations

import asyncio
import http.client
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from ipaddress import ip_network
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from small_centre import CODE, SmallCentre

import device_profiles
from cunzheng.cli import cunzheng
from cunzheng.simulator.modbus_device import ModbusDeviceSimulator, ModbusSimulatorServer
from gateway.assembly import open_gateway
from gateway.clock import ClockState
from gateway.device_report import DeviceReport, RefusedRequest
from gateway.disk import DiskUse
from gateway.errors import StoreError
from gateway.metrics import metrics_text
from gateway.page_facts import Facts, Latest, Vitals
from gateway.page_html import Look, page_html
from gateway.page_server import HEAD_BYTES, PageServer, is_own_name, parse_request, preferred_language
from gateway.problems import Problem
from gateway.service import Service
from gateway.settings import PageSettings
from gateway.snapshot import Snapshot
from gateway.store import Store

NOW = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
NASTY = '<script>alert("1")</script>&\n'
REPORT = DeviceReport(
    device="em1",
    line="10.0.0.7:502",
    unit=1,
    reason="timeout",
    failures=2,
    last_ok=None,
    polls=40,
    requests=41,
    answers=38,
    timeouts=3,
    checksum_errors=0,
    mismatched_answers=1,
    late_answers=2,
    lost_connections=1,
    refused_connections=0,
    reconnects=1,
    exceptions={2: 1},
    split_blocks=0,
    refused=(RefusedRequest("holding", 3000, 2, ("power",), "exception-02"),),
    mismatches=(),
)
FACTS = Facts(
    now=NOW,
    gateway="GW-0001",
    plant="P-0001",
    epoch=1,
    waiting=7,
    oldest=NOW - timedelta(hours=3),
    refused=1,
    tree_size=12345,
    channels=(
        Latest("ELEC.TOTAL", NOW - timedelta(seconds=42), "1234.5", "kWh", "N", ""),
        Latest("TEMP", NOW - timedelta(minutes=9), "-6.5", "degC", "B", "timeout"),
        Latest("NEW"),
    ),
    quality={"Q02": 3, "Q18": 1},
    problems=(
        Problem("disk", "磁盘剩余不足 500 MiB", "less than 500 MiB of disk are left", "2026-03-01T07:00:00.000Z"),
    ),
    clock=ClockState("boot0001", 1, "ntp", -12),
    disk_free=3 << 30,
    disk_total=30 << 30,
    budget=2 << 30,
    vitals=Vitals(
        synced=NOW - timedelta(minutes=5),
        sync_error=("无法连接中心端", "cannot reach the centre"),
        uncommitted=4,
        devices=(REPORT,),
        disk=DiskUse(free=3 << 30, database=900 << 20, reusable=100 << 20, raw=200 << 20, other=0),
    ),
)


@contextmanager
def served(facts: Callable[[], Facts] = lambda: FACTS, **settings: object) -> Iterator[PageServer]:
    """Serve in a loop of its own, as beside a gateway."""
    made = PageServer(PageSettings(port=0, **settings), facts)  # type: ignore[arg-type]
    end = threading.Event()

    async def serve() -> None:
        task = asyncio.create_task(made.run())
        await asyncio.to_thread(end.wait)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert made.listening.wait(20)
        yield made
    finally:
        end.set()
        thread.join()


def got(page: PageServer, path: str = "/", method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, str]:
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=20)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response, response.read().decode()
    finally:
        connection.close()


class Outline(HTMLParser):
    """Every start tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for one, attributes in self.tags if one == tag]


@pytest.mark.parametrize(
    ("language", "words"),
    [
        (
            "zh",
            (
                "网关 GW-0001",
                "待上传声明",
                "7，最早 3 小时前",
                "5 分钟前",
                "偏差 \u221212 ms",
                "3.0 GiB 可用",
                "磁盘剩余不足",
                "拒读",
            ),
        ),
        (
            "en",
            (
                "Gateway GW-0001",
                "Statements waiting",
                "7, oldest 3 h ago",
                "5 min ago",
                "offset \u221212 ms",
                "3.0 GiB free",
                "less than 500 MiB",
                "Refused requests",
            ),
        ),
    ],
)
def test_page_shows_everything_in_both_languages(language: str, words: tuple[str, ...]) -> None:
    text = page_html(FACTS, Look(language))
    for word in (
        *words,
        "P-0001",
        "1234.5 kWh",
        "\u22126.5 degC",
        "timeout",
        "Q18",
        "em1",
        "10.0.0.7:502 #1",
        "1000 MiB / 2.0 GiB",
        {"zh": "无法连接中心端", "en": "cannot reach the centre"}[language],
    ):
        assert word in text, word


@pytest.mark.parametrize("language", ["zh", "en"])
def test_page_can_be_read_by_a_screen_reader_and_without_scripts(language: str) -> None:
    page = Outline(page_html(FACTS, Look(language, "60")))
    assert page.of("html")[0]["lang"] == {"zh": "zh-Hans", "en": "en"}[language]
    assert not page.of("script")
    assert {"http-equiv": "refresh", "content": "60"} in page.of("meta")
    tables = page.of("table")
    ids = {attributes.get("id") for _, attributes in page.tags}
    assert len(tables) == 3
    assert all(one["aria-labelledby"] in ids for one in tables)
    assert {one["scope"] for one in page.of("th")} == {"col", "row"}
    assert all(one["data-label"] for one in page.of("td"))
    assert [one["hreflang"] for one in page.of("a") if "hreflang" in one] == [{"zh": "en", "en": "zh"}[language]]
    assert page.of("main")
    assert page.of("nav")[0]["aria-label"]
    assert not any("style" in attributes for _, attributes in page.tags)


def test_empty_gateway_has_a_page_too() -> None:
    bare = replace(
        FACTS, gateway="", plant="", oldest=None, waiting=0, channels=(), quality={}, problems=(), vitals=Vitals()
    )
    for language in ("zh", "en"):
        assert Outline(page_html(bare, Look(language))).of("h1")
    assert "cunzheng_gateway_outbox_waiting 0" in metrics_text(bare)


@given(st.text(max_size=40))
def test_no_text_of_a_device_becomes_markup_or_breaks_a_metric(text: str) -> None:
    nasty = text + NASTY
    facts = replace(
        FACTS,
        gateway=nasty,
        channels=(Latest(nasty, NOW, nasty, nasty, nasty, nasty),),
        quality={nasty: 1},
        problems=(Problem(nasty, nasty, nasty, nasty),),
        vitals=replace(FACTS.vitals, sync_error=(nasty, nasty), devices=(replace(REPORT, device=nasty, line=nasty),)),
    )
    page = page_html(facts, Look("en"))
    assert "<script" not in page
    assert [tag for tag, _ in Outline(page).tags if tag in ("script", "img", "iframe")] == []
    sample = re.compile(r'cunzheng_gateway_[a-z_]+(\{([a-z]+="([^"\\\n]|\\[\\"n])*",?)*\})? -?[0-9.e+]+')
    lines = metrics_text(facts).removesuffix("\n").split("\n")
    assert [line for line in lines if not line.startswith("# ") and not sample.fullmatch(line)] == []


def test_metrics_name_queue_readings_quality_devices_clock_and_disk() -> None:
    text = metrics_text(FACTS)
    for line in (
        "cunzheng_gateway_outbox_waiting 7",
        "cunzheng_gateway_outbox_oldest_age_seconds 10800.0",
        'cunzheng_gateway_reading_valid{channel="TEMP"} 0',
        'cunzheng_gateway_quality_findings_total{rule="Q02"} 3',
        'cunzheng_gateway_device_timeouts_total{device="em1",line="10.0.0.7:502"} 3',
        'cunzheng_gateway_device_refused_requests{device="em1",line="10.0.0.7:502"} 1',
        "cunzheng_gateway_clock_offset_seconds -0.012",
        f"cunzheng_gateway_disk_free_bytes {3 << 30}",
        f"cunzheng_gateway_data_bytes {1000 << 20}",
        'cunzheng_gateway_problem{key="disk"} 1',
    ):
        assert line in text.splitlines(), line
    kinds = re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE)
    assert len(kinds) == len(set(kinds))


def test_answers_carry_strict_headers_and_the_style_sheet_fits_its_hash() -> None:
    import base64
    import hashlib

    with served() as page:
        response, text = got(page, Accept_Language="en")
        assert (response.status, response.headers["Content-Language"]) == (200, "en")
        style = text.split("<style>")[1].split("</style>")[0]
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        policy = response.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; ")
        assert f"style-src 'sha256-{digest}'" in policy
        assert "unsafe" not in policy
        for name, value in (("X-Content-Type-Options", "nosniff"), ("Cache-Control", "no-store")):
            assert response.headers[name] == value
        metrics, body = got(page, "/metrics")
        assert metrics.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert "cunzheng_gateway_info{" in body
        head, nothing = got(page, method="HEAD")
        assert (head.status, nothing) == (200, "")
        assert int(head.headers["Content-Length"]) > 1000


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/", {}, 405),
        ("DELETE", "/metrics", {}, 405),
        ("GET", "/gateway.key", {}, 404),
        ("GET", "/../gateway.key", {}, 404),
        ("GET", "/", {"Host": "evil.example"}, 421),
        ("GET", "/", {"Host": "gw.plant.example:9180"}, 200),
        ("GET", "/?lang=fr&refresh=1", {}, 200),
        ("GET", "/", {"Cookie": "x" * (HEAD_BYTES * 3)}, 431),
    ],
)
def test_only_reading_of_two_addresses_is_answered(
    method: str, path: str, headers: dict[str, str], status: int
) -> None:
    with served(names=("gw.plant.example",)) as page:
        try:
            response, _ = got(page, path, method, **headers)
        except (ConnectionError, http.client.HTTPException):
            assert status == 431  # closed while the client still sent
        else:
            assert response.status == status
        assert got(page)[0].status == 200


def test_others_than_the_peers_are_refused() -> None:
    with served(peers=(ip_network("192.0.2.0/24"),)) as page:
        assert got(page)[0].status == 403


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nX: ", b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"\r\n\r\n"])
def test_slow_and_senseless_clients_are_cut_off_and_others_are_served(sent: bytes) -> None:
    with served(connections=3, request_s=0.4) as page:
        clients = [socket.create_connection(("127.0.0.1", page.port)) for _ in range(40)]
        try:
            for client in clients:
                with suppress(OSError):  # one too many: closed at once
                    client.sendall(sent)
            for client in clients:
                client.settimeout(20)
                with suppress(ConnectionError):
                    while client.recv(65_536):
                        pass
            assert got(page)[0].status == 200
        finally:
            for client in clients:
                client.close()


def test_client_that_does_not_take_its_answer_is_cut_off() -> None:
    many = tuple(Latest(f"C{n}", NOW, "1", "kWh", "N", "x" * 400) for n in range(20_000))
    with (
        served(lambda: replace(FACTS, channels=many), connections=1, request_s=0.4) as page,
        socket.socket() as client,
    ):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", page.port))
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until = time.monotonic() + 20
        while time.monotonic() < until:
            try:
                if got(page, "/nothing")[0].status == 404:
                    break
            except (ConnectionError, http.client.HTTPException):
                time.sleep(0.02)
        else:
            pytest.fail("the only place stayed taken")


def test_many_questions_are_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.page_server.KEEP_S", 1_000)
    looks: list[int] = []

    def facts() -> Facts:
        looks.append(1)
        return FACTS

    with served(facts) as page:
        assert {got(page, "/metrics")[0].status for _ in range(10)} == {200}
        assert len(looks) == 1
        assert [got(page, path)[0].status for path in ("/?lang=en", "/?lang=zh", "/?lang=en")] == [200] * 3
        assert len(looks) == 3


@pytest.mark.parametrize("error", [StoreError("数据库被占用", "the database is locked"), RuntimeError("a defect")])
def test_store_that_cannot_be_read_is_said_and_the_page_goes_on(error: Exception) -> None:
    def facts() -> Facts:
        raise error

    with served(facts) as page:
        response, text = got(page)
        assert (response.status, "the database is locked" in text) == (503, isinstance(error, StoreError))
        assert "a defect" not in text
        assert got(page, "/nothing")[0].status == 404


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "zh"),
        ("en-GB,en;q=0.9", "en"),
        ("fr, de;q=0.5", "zh"),
        ("zh;q=0.1, en;q=0.2", "en"),
        ("en;q=0, zh", "zh"),
        ("en;q=nonsense", "zh"),
    ],
)
def test_language_is_what_the_browser_prefers(accepted: str, language: str) -> None:
    assert preferred_language(accepted) == language


@given(st.binary(max_size=200))
def test_no_bytes_break_the_parser(head: bytes) -> None:
    request = parse_request(head)
    assert request is None or request.path.startswith("/") or request.path == ""


@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        ("127.0.0.1:9180", True),
        ("[::1]:9180", True),
        ("localhost", True),
        ("10.0.0.9", True),
        ("evil.example", False),
        ("", False),
        ("127.0.0.1.evil.example:9180", False),
    ],
)
def test_page_is_called_by_address_or_known_name(host: str, is_own: bool) -> None:
    assert is_own_name(host, PageSettings()) == is_own


def test_snapshot_reads_beside_a_writer_writes_nothing_and_ends_in_time(tmp_path: Path) -> None:
    store = Store(tmp_path / "gateway.db")
    with store.transaction():
        store.put("a", "1")
        with Snapshot(tmp_path / "gateway.db") as view:
            assert view.get("a") is None
            with pytest.raises(StoreError):
                view.execute("DELETE FROM identity")
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    with Snapshot(tmp_path / "gateway.db", longest_s=0.05) as view, pytest.raises(StoreError):
        view.value(endless)
    store.close()
    with pytest.raises(StoreError):
        Snapshot(tmp_path / "none.db")


async def test_running_gateway_shows_its_devices_also_while_writer_and_loop_stand_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.page_board.ANSWER_S", 0.1)
    monkeypatch.setattr("gateway.page_server.KEEP_S", 0.0)
    meter = ModbusDeviceSimulator(
        device_profiles.shipped()["schneider-iem3000"], 1, lambda now: {"energy_import": Decimal("1.5")}
    )
    with SmallCentre() as centre:
        async with ModbusSimulatorServer([meter]) as server:
            (tmp_path / "site.toml").write_text(SITE.format(port=server.port), "utf-8")
            (tmp_path / "gateway.toml").write_text(SETTINGS.format(url=centre.url), "utf-8")
            words = ["gateway", "enrol", CODE, "-c", str(tmp_path / "gateway.toml")]
            assert (await asyncio.to_thread(CliRunner().invoke, cunzheng, words)).exit_code == 0
            with await asyncio.to_thread(open_gateway, tmp_path / "gateway.toml") as opened:
                stop, service = asyncio.Event(), Service(opened)
                running = asyncio.create_task(service.run(stop))
                async with asyncio.timeout(20):
                    while service.page is None or not service.page.listening.is_set():
                        await asyncio.sleep(0.01)
                    while 'reading_valid{channel="ELEC.TOTAL"} 1' not in (await seen(service, "/metrics")):
                        await asyncio.sleep(0.05)
                    while "last_sync_timestamp_seconds " not in (await seen(service, "/metrics")):
                        await asyncio.sleep(0.05)
                # Another process may hold the database, the writer may be at work, the loop may be held up.
                go_on = threading.Event()
                opened.writer.submit(lambda store: (store.put("held", "1"), go_on.wait(20)))
                text = await seen(service, "/?lang=en")
                assert "1.5 kWh" in text
                assert ">em1<" in text
                with ThreadPoolExecutor(1) as beside:
                    held_up = beside.submit(got, service.page, "/?lang=zh").result(20)  # the loop stands still
                go_on.set()
                assert "网关 GW-0001" in held_up[1]
                stop.set()
                await running


async def seen(service: Service, path: str) -> str:
    assert service.page is not None
    return (await asyncio.to_thread(got, service.page, path))[1]


SITE = """
[[device]]
id = "em1"
profile = "schneider-iem3000"
host = "127.0.0.1"
port = {port}
poll_s = 0.1
parameters = {{ max_power_kw = "2000" }}
[[channel]]
id = "ELEC.TOTAL"
device = "em1"
point = "energy_import"
"""
SETTINGS = """
data = "data"
[centre]
url = "{url}"
sync_s = 0.1
[poll]
commit_s = 0.05
[page]
port = 0
"""
