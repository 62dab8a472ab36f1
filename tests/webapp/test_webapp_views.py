"""The pages without a browser: who may open what, forms, languages, where one is sent."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from evidence.encoding import time_text
from tests.webapp import views_world as world
from webapp import create_app
from webapp.center import Center
from webapp.content_types import XLSX, told_by
from webapp.views.access import local_target
from webapp.views.attachments import AttachmentError, accept

PLANT = f"/plants/{world.PLANT}"
MONTH = f"{PLANT}/months/{world.PERIOD}"
HOUR = time_text(world.START)
Login = Callable[..., FlaskClient]


@pytest.fixture(scope="module")
def center(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Center]:
    """One centre for all tests of this file; they only read, or write what no other reads."""
    center = world.copy_center(tmp_path_factory.mktemp("centre"))
    world.fill(center, hours=6)
    world.add_live(center)
    yield center
    center.database.close()


@pytest.fixture(scope="module")
def app(center: Center) -> Flask:
    app = create_app(center.settings, center=center)
    app.config.update(TESTING=True)
    return app


@pytest.fixture
def login(app: Flask) -> Login:
    """Log in as somebody; the client reads English unless told otherwise."""

    def make(name: str | None = "li.na", lang: str = "en") -> FlaskClient:
        client = app.test_client()
        client.set_cookie("lang", lang)
        if name is not None:
            answer = post(client, "/login", {"name": name, "password": world.PASSWORD})
            assert answer.status_code == 303
        return client

    return make


def token(client: FlaskClient, path: str = "/login") -> str:
    """The CSRF token of a page."""
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', client.get(path).text)
    assert found is not None, path
    return found[1]


def post(client: FlaskClient, path: str, data: dict[str, object], page: str = "/account"):  # type: ignore[no-untyped-def]
    """Post a form with its token."""
    start = page if client.get(page).status_code == 200 else "/login"
    return client.post(path, data={"csrf_token": token(client, start), **data}, content_type="multipart/form-data")


EVERYONE = ("li.na", "wang.jun", "city", "province", "nation", "inspector", "admin")
PAGES = {
    "/plants": ("other.city", *EVERYONE),
    "/account": ("other.city", *EVERYONE),
    "/keys/mine": ("other.city", *EVERYONE),
    PLANT: EVERYONE,
    f"{PLANT}/live": EVERYONE,
    MONTH: EVERYONE,
    f"{MONTH}/channels/ELEC.IMPORT": EVERYONE,
    f"{MONTH}/hours/{HOUR}/ELEC.IMPORT": EVERYONE,
    f"{PLANT}/ledger": ("li.na", "wang.jun"),
    "/review": ("city", "province", "nation", "other.city"),
    "/people": ("admin",),
    f"/plants/{world.OTHER_PLANT}": ("nation", "admin", "other.city"),
}


@pytest.mark.parametrize("name", sorted(world.PEOPLE))
def test_each_role_opens_its_pages_and_no_other(login: Login, name: str) -> None:
    client = login(name)
    for path, allowed in PAGES.items():
        assert client.get(path).status_code == (200 if name in allowed else 403), (name, path)


@pytest.mark.parametrize(("lang", "words"), [("en", "month is over, to be declared"), ("zh", "月份已结束，待申报")])
def test_month_that_is_over_waits_for_its_declaration(login: Login, lang: str, words: str) -> None:
    assert words in login("li.na", lang).get(PLANT).text


@pytest.mark.parametrize("path", [*PAGES, f"{MONTH}/declare", f"{MONTH}/review", f"{MONTH}/bundle"])
def test_strangers_are_sent_to_the_login_and_back(app: Flask, path: str) -> None:
    answer = app.test_client().get(path)
    assert answer.status_code == 302
    assert answer.location.startswith("/login?next=")


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("/nowhere", 404, "Not found"),
        ("/plants/P-9999", 404, "Not found"),
        (f"{PLANT}/months/2026-13", 404, "Not found"),
        (f"{PLANT}/months/abc", 404, "Not found"),
        (f"{MONTH}/channels/X.Y", 200, "No sealed reading"),
        (f"{MONTH}/hours/yesterday/ELEC.IMPORT", 404, "Not found"),
        (f"{MONTH}/bundle", 404, "Not found"),
        (f"{PLANT}/content/{'0' * 64}", 404, "Not found"),
        (f"/statements/{'0' * 64}", 404, "Not found"),
        ("/logout", 405, "Not done this way"),
        ("/review", 403, "Not yours"),
    ],
)
def test_what_is_not_there_is_said_in_words(login: Login, path: str, code: int, words: str) -> None:
    answer = login().get(path)
    assert answer.status_code == code
    assert words in answer.text


def test_error_pages_are_in_the_readers_language(login: Login) -> None:
    answer = login("li.na", "zh").get("/nowhere")
    assert "未找到" in answer.text
    assert '<html lang="zh-CN">' in answer.text


def test_a_form_without_its_token_changes_nothing(login: Login) -> None:
    client = login()
    answer = client.post("/keys/nonce")
    assert answer.status_code == 419
    assert "The form has expired" in answer.text
    assert client.post("/logout").status_code == 419
    assert client.get("/account").status_code == 200


def test_a_wrong_password_and_an_unknown_name_look_the_same(login: Login) -> None:
    client = login(None)
    answers = [post(client, "/login", {"name": name, "password": "wrong password"}) for name in ("li.na", "nobody")]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert all("Login name or password is wrong." in answer.text for answer in answers)


def test_an_empty_login_points_at_its_fields(login: Login) -> None:
    answer = post(login(None), "/login", {"name": "", "password": ""})
    assert answer.status_code == 422
    assert 'href="#password"' in answer.text
    assert 'aria-invalid="true"' in answer.text


def test_the_session_is_new_after_the_login(app: Flask) -> None:
    client = app.test_client()
    before = token(client)
    post(client, "/login", {"name": "li.na", "password": world.PASSWORD})
    assert client.post("/logout", data={"csrf_token": before}).status_code == 419


def test_a_cookie_kept_from_before_the_logout_opens_nothing(app: Flask, login: Login) -> None:
    client = login("province")
    kept = client.get_cookie("cunzheng")
    assert kept is not None
    assert post(client, "/logout", {}).status_code == 303
    thief = app.test_client()
    thief.set_cookie("cunzheng", kept.value)
    assert thief.get("/account").status_code == 302
    again = login("province")
    assert again.get("/account").status_code == 200


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/plants", "/plants"),
        ("/plants?show=all", "/plants?show=all"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("\\\\evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/ok\r\nX: y", "/"),
        ("/\t/evil.example", "/"),
        ("", "/"),
        (None, "/"),
    ],
)
def test_the_login_leads_to_this_site_only(target: str | None, expected: str) -> None:
    assert local_target(target) == expected


def test_the_login_leads_where_the_person_wanted(app: Flask) -> None:
    client = app.test_client()
    data = {"csrf_token": token(client), "name": "li.na", "password": world.PASSWORD, "next": MONTH}
    assert client.post("/login", data=data).location == MONTH


def test_the_language_is_chosen_and_kept(app: Flask) -> None:
    client = app.test_client()
    page = client.get("/login")
    assert '<html lang="zh-CN">' in page.text
    assert page.headers["Content-Language"] == "zh-CN"
    answer = client.post("/language", data={"csrf_token": token(client), "lang": "en", "next": "/login"})
    assert (answer.status_code, answer.location) == (303, "/login")
    assert '<html lang="en">' in client.get("/login").text
    client.post("/language", data={"csrf_token": token(client), "lang": "xx"})
    assert '<html lang="en">' in client.get("/login").text


def test_pages_run_no_inline_script_and_no_inline_style(login: Login) -> None:
    client = login()
    for path in (*PAGES, f"{MONTH}/declare"):
        answer = client.get(path)
        assert "'unsafe-inline'" not in answer.headers["Content-Security-Policy"]
        assert not re.search(r"<script(?![^>]*\bsrc=)[^>]*>|<style|\sstyle=|\son[a-z]+=", answer.text), path


def test_the_live_fragment_is_a_part_of_the_page(login: Login) -> None:
    client = login()
    fragment = client.get(f"{PLANT}/live", headers={"HX-Request": "true"}).text
    assert fragment.lstrip().startswith('<div class="live card"')
    assert "<html" not in fragment
    assert "Purchased electricity" in fragment


def test_asking_for_tiles_answers_a_block_or_a_redirect(center: Center, login: Login) -> None:
    client = login()
    path = f"{MONTH}/readings/{HOUR}/ELEC.IMPORT?gw={world.GW}"
    csrf = token(client, "/account")
    answer = client.post(path, data={"csrf_token": csrf})
    assert answer.status_code == 303
    block = client.post(path, data={"csrf_token": csrf}, headers={"HX-Request": "true"})
    assert block.status_code == 200
    assert "<html" not in block.text
    assert "raw readings were asked for" in block.text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"value": "12,5"}, "Write a plain number"),
        ({"value": "1e3"}, "Write a plain number"),
        ({"value": "-0"}, "Write a plain number"),
        ({"value": "007"}, "Write a plain number"),
        ({"value": ""}, "Enter the value."),
        ({"period": "2026-3"}, "YYYY-MM"),
        ({"period": "0001-01"}, "YYYY-MM"),
        ({"period": "9999-12"}, "YYYY-MM"),
        ({"mode": ""}, "Choose how the value was obtained."),
        ({"source": " "}, "Say where the value comes from."),
        ({"param": "unknown|"}, "Not a valid choice"),
        ({"attachment": (io.BytesIO(b"MZ\x90\x00 program"), "proof.pdf")}, "none of PDF"),
        ({"attachment": (io.BytesIO(b""), "empty.pdf")}, "The file is empty"),
    ],
)
def test_a_ledger_value_that_cannot_be_one_is_sent_back(login: Login, changes: dict[str, object], words: str) -> None:
    answer = post(login(), f"{PLANT}/ledger", {**LEDGER, **changes})
    assert answer.status_code == 422
    assert words in answer.text


LEDGER: dict[str, object] = {
    "param": "scrap|",
    "period": "2026-03",
    "value": "１２．５０",
    "mode": "measured",
    "source": "weighbridge ledger p. 12",
}


def test_a_ledger_value_is_signed_as_it_was_typed(login: Login) -> None:
    answer = post(login(), f"{PLANT}/ledger", LEDGER)
    assert answer.status_code == 200
    assert "&#34;value&#34;:&#34;12.50&#34;" in answer.text
    assert "&#34;unit&#34;:&#34;t&#34;" in answer.text


def test_what_was_signed_must_be_what_the_page_showed(center: Center, login: Login) -> None:
    client = login("wang.jun")
    person = world.Person(center, "wang.jun")
    assert person.enrol() is None
    jws = person.sign(
        kind="ledger", plant=world.PLANT, param="scrap", period="2026-02", value="1", unit="kg", mode="measured",
        source="x", subjects=[],
    )  # fmt: skip
    answer = post(client, f"{PLANT}/ledger/signed", {"statement": jws})
    assert answer.status_code == 422
    assert "not what this page showed (unit)" in answer.text
    assert post(client, f"{PLANT}/ledger/signed", {"statement": "rubbish"}).status_code == 400


def _zip(names: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in names.items():
            archive.writestr(name, data)
    return buffer.getvalue()


BOOK = {"[Content_Types].xml": b"<x/>", "xl/workbook.xml": b"<x/>"}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"%PDF-1.7\n...\n%%EOF\n", "application/pdf"),
        (b"%PDF-1.7 cut off", None),
        (b"\xff\xd8\xff\xe0...\xff\xd9", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n....IEND\xaeB`\x82", "image/png"),
        (_zip(BOOK), XLSX),
        (_zip({**BOOK, "xl/vbaProject.bin": b"x"}), None),
        (_zip({"a.txt": b"x"}), "application/zip"),
        (b"PK\x03\x04 broken", None),
        ("日期,数值\n2026-03-01,1\n".encode("gb18030"), "text/csv"),
        (b"a;b\n1;2\n", "text/csv"),
        (b"<html><script>alert(1)</script>,</html>", None),
        (b"no columns here", "text/plain"),
        (b"[1, 2]", "application/json"),
        (b"MZ\x00\x01", None),
    ],
)
def test_attachments_are_told_by_their_content(data: bytes, expected: str | None) -> None:
    assert told_by(data) == expected


@pytest.mark.parametrize("data", [_zip({"a.txt": b"x"}), b"no columns here", b"[1, 2]", b"%PDF-1.7 cut off"])
def test_what_is_no_record_of_a_plant_is_no_attachment(app: Flask, data: bytes) -> None:
    with app.test_request_context("/"), pytest.raises(AttachmentError, match="XLSX"):
        accept("x.csv", data)


@pytest.mark.parametrize("name", ["../../etc/passwd", "C:\\x\\report.exe", "a\x00b.csv", "", "....", "x" * 500])
def test_attachment_names_are_made_harmless(name: str) -> None:
    taken = accept(name, b"a,b\n1,2\n")
    assert taken.name.endswith(".csv")
    assert len(taken.name) <= 130
    assert not set("/\\\0") & set(taken.name)


def test_an_attachment_too_large_is_refused(app: Flask) -> None:
    with app.test_request_context("/"), pytest.raises(AttachmentError, match="MB"):
        accept("x.csv", b"a,b\n" * 3_000_000)


def test_health_answers_programs(app: Flask) -> None:
    answer = app.test_client().get("/healthz")
    assert answer.json is not None
    assert answer.json["status"] == "ok"


def test_static_files_hold_no_third_party_script(app: Flask) -> None:
    own = Path(app.static_folder or "") / "js"
    assert not any("http" in path.read_text(encoding="utf-8") for path in own.glob("*.js"))
