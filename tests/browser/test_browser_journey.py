"""A month walked through in the browser: captured, declared by two people, reviewed twice, exported and verified."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from evidence.bundle import read_bundle
from evidence.encoding import strict_json, time_text
from evidence.trust import Trust
from evidence.verdict import Verdict
from evidence.verify import verify_bundle
from sync import PushItem
from tests.webapp import views_world as world
from webapp import create_app, month_files, store_log, store_months, store_readings
from webapp.center import Center
from webapp.submission import submit

pytestmark = pytest.mark.browser
PLANT = f"/plants/{world.PLANT}"
MONTH = f"{PLANT}/months/{world.PERIOD}"
SIZES = {"desktop": (1280, 800), "tablet": (820, 1180), "phone": (390, 844), "small": (360, 740)}


class Site:
    """The served centre, and what tests do on it again and again."""

    def __init__(self, base: str, center: Center, gateway: world.TestGateway, pictures: Path) -> None:
        self.base, self.center, self.gateway, self.pictures = base, center, gateway, pictures

    def login(self, page: Page, name: str, lang: str = "zh") -> None:
        """Log in, in a language."""
        page.context.add_cookies([{"name": "lang", "value": lang, "url": self.base}])
        page.goto(f"{self.base}/login")
        page.locator("#name").fill(name)
        page.locator("#password").fill(world.PASSWORD)
        page.locator("main button").click()
        expect(page.locator("nav").first).to_be_visible()

    def make_key(self, page: Page) -> None:
        """Make and register a key in this browser."""
        page.goto(f"{self.base}/keys/mine")
        page.locator("[data-make]").click()
        expect(page.locator(".note.good")).to_be_visible()
        expect(page.locator(".tag.good").first).to_be_visible()

    def open(self, page: Page, path: str) -> None:
        """Open a page; it must be good and show nothing broken."""
        answer = page.goto(self.base + path)
        assert answer is not None
        assert answer.status == 200, (path, answer.status)

    def picture(self, page: Page, name: str) -> None:
        """Keep a screenshot to look at."""
        page.screenshot(path=str(self.pictures / f"{name}.png"), full_page=True)

    def sign(self, page: Page) -> str:
        """Press the sign button; give the statement id from the receipt page."""
        page.locator("[data-sign-button]").click()
        page.wait_for_url("**/statements/*?signed=1")
        return page.url.split("/statements/")[1].split("?")[0]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A centre with a month of hours, served on a free port."""
    center = world.copy_center(tmp_path)
    gateway = world.fill(center)
    world.add_live(center)
    pictures = Path(os.environ.get("CUNZHENG_SCREENSHOTS", tmp_path))
    with world.serving(create_app(center.settings, center=center)) as base:
        yield Site(base, center, gateway, pictures)


@pytest.fixture
def person(new_context: Callable[..., BrowserContext]) -> Callable[..., Page]:
    """Open a browser for somebody; errors in its scripts fail the test."""

    def make(width: int = 1280, height: int = 800) -> Page:
        page = new_context(width, height).new_page()
        page.on("pageerror", lambda error: pytest.fail(f"script error: {error}"))
        return page

    return make


def enter_ledger(site: Site, page: Page, param: str, value: str, note: str) -> str:
    """Enter and sign one ledger value."""
    site.open(page, f"{PLANT}/ledger?period={world.PERIOD}")
    page.locator("#param").select_option(value=f"{param}|")
    page.locator("#value").fill(value)
    page.locator("input[name=mode][value=measured]").check()
    page.locator("#source").fill(note)
    page.locator("#attachment").set_input_files(
        {"name": f"{param}.csv", "mimeType": "text/csv", "buffer": f"日期,{param}\n2026-03-31,{value}\n".encode()}
    )
    page.locator("main form button").last.click()
    expect(page.locator("[data-sign-button]")).to_be_enabled()
    site.picture(page, f"ledger-sign-{param}")
    return site.sign(page)


def declare(site: Site, page: Page) -> str:
    """Check and declare the month."""
    site.open(page, f"{MONTH}/declare")
    page.locator("[name=sure]").check()
    site.picture(page, "declare")
    return site.sign(page)


def review(site: Site, page: Page, level: str) -> str:
    """Approve the month from the queue."""
    site.open(page, "/review")
    site.picture(page, f"queue-{level}")
    page.locator(f'a[href="{MONTH}/review"]').click()
    assert page.locator("input[name=decision]:checked").count() == 0
    page.locator("input[name=decision][value=approve]").check()
    page.locator("#note").fill("数据齐全，与计量器具一致。")
    site.picture(page, f"review-{level}")
    return site.sign(page)


def test_a_month_goes_from_capture_to_a_bundle_that_verifies(site: Site, person: Callable[..., Page]) -> None:
    technician = person()
    site.login(technician, "li.na")
    site.picture(technician, "plant")
    site.make_key(technician)
    site.picture(technician, "key")
    ledger_sid = enter_ledger(site, technician, "scrap", "５５４６１．５６", "过磅台账 第 12 页")
    expect(technician.locator("main")).to_contain_text("55461.56")
    enter_ledger(site, technician, "crude_steel", "56000.00", "生产日报")
    first = declare(site, technician)
    expect(technician.locator(".note.good")).to_be_visible()
    site.picture(technician, "receipt")

    responsible = person()
    site.login(responsible, "wang.jun")
    site.make_key(responsible)
    second = declare(site, responsible)

    with site.center.database.reading() as db:
        draft = store_months.find_draft(db, world.PLANT, world.PERIOD)
        assert draft is not None
        subjects, cover = draft.subjects, draft.cover
    assert [one["name"] for one in subjects] == [
        "body.json", "plan.json", "parameters.json", "crude_steel.csv", "scrap.csv",
    ]  # fmt: skip
    site.gateway.sign_month((first, second), subjects, cover)

    reviews = []
    for level in ("city", "province"):
        reviewer = person()
        site.login(reviewer, level)
        site.make_key(reviewer)
        reviews.append(review(site, reviewer, level))

    site.open(technician, MONTH)
    expect(technician.locator(".ladder .done")).to_have_count(6)
    site.picture(technician, "month-approved")
    technician.locator(f'a[href="/statements/{reviews[1]}"]').first.click()
    technician.locator("summary").first.click()
    expect(technician.locator("pre").first).to_contain_text("c2sp.org/tlog-proof@v1")

    with site.center.database.reading() as db:
        file = month_files.month_file(db, world.PLANT, world.PERIOD)
        assert [one.sid for one in file.reviews] == reviews
        assert store_log.by_sid(db, ledger_sid) is not None

    site.open(technician, MONTH)
    with technician.expect_download() as download:
        technician.locator(f'a[href="{MONTH}/bundle"]').click()
    assert download.value.suggested_filename == f"{world.PLANT}-{world.PERIOD}.evb"
    bundle = read_bundle(io.BytesIO(Path(download.value.path()).read_bytes()))
    trust = Trust.from_json(strict_json(technician.request.get(f"{site.base}/trust.json").body()))
    report = verify_bundle(bundle, trust, site.center.now())
    assert report.verdict is Verdict.VALID, report.findings
    check_with_the_page(site, technician, Path(download.value.path()))


def check_with_the_page(site: Site, page: Page, bundle: Path) -> None:
    """Download the offline verifier beside the bundle, open it from the disk and let it check."""
    trust = bundle.with_name("trust.json")
    trust.write_bytes(page.request.get(f"{site.base}/trust.json").body())
    with page.expect_download() as download:
        page.locator('a[href="/verifier.html"]').click()
    verifier = bundle.with_name(download.value.suggested_filename)
    download.value.save_as(verifier)
    page.clock.set_fixed_time(site.center.now())
    page.goto(verifier.as_uri())
    page.locator("#bundle").set_input_files(bundle)
    page.locator("#trust").set_input_files(trust)
    page.locator("#check").click()
    expect(page.locator("#report .answer")).to_have_class("answer VALID")
    site.picture(page, "verifier")


def test_a_number_opens_down_to_a_proven_reading(site: Site, person: Callable[..., Page]) -> None:
    page = person()
    site.login(page, "li.na")
    site.open(page, f"{MONTH}/declare")  # composes the draft
    site.open(page, MONTH)
    page.locator("#items-h ~ table a", has_text="ELEC.IMPORT").click()
    site.picture(page, "channel")
    page.locator("#days-h ~ table tbody a").first.click()
    page.locator("#hours-h ~ table tbody tr").nth(5).locator("a").first.click()
    site.picture(page, "hour-before")
    page.locator("#readings form button").click()
    expect(page.locator("#readings .note")).to_be_visible()
    assert site.gateway.answer_wants() == 1
    expect(page.locator("#readings tbody tr")).to_have_count(4)  # the page refreshes itself
    expect(page.locator("#readings .tag.good").first).to_be_visible()
    expect(page.locator("#readings tbody")).to_contain_text("41a0")
    site.picture(page, "hour")


def test_signing_is_refused_in_a_browser_without_the_key(site: Site, person: Callable[..., Page]) -> None:
    home, elsewhere = person(), person()
    site.login(home, "li.na")
    site.make_key(home)
    site.login(elsewhere, "li.na", "en")
    site.open(elsewhere, "/keys/mine")
    expect(elsewhere.locator("[data-here]")).to_contain_text("another browser")
    site.open(elsewhere, f"{MONTH}/declare")
    elsewhere.locator("[name=sure]").check()
    expect(elsewhere.locator("[data-outcome]")).to_contain_text("no signing key")
    expect(elsewhere.locator("[data-sign-button]")).to_be_disabled()


def test_figures_that_changed_since_the_page_was_opened_are_not_declared(
    site: Site, person: Callable[..., Page]
) -> None:
    page = person()
    site.login(page, "li.na", "en")
    site.make_key(page)
    site.open(page, f"{MONTH}/declare")
    page.locator("[name=sure]").check()
    writer = world.Person(site.center, "wang.jun")
    assert writer.enrol() is None
    jws = writer.sign(
        kind="ledger", plant=world.PLANT, param="scrap", period=world.PERIOD, value="1", unit="t",
        mode="measured", source="x", subjects=[],
    )  # fmt: skip
    assert submit(site.center, [PushItem(jws)])[0].receipt
    page.locator("[data-sign-button]").click()
    expect(page.locator("[role=alert]")).to_contain_text("DECLARE_MISMATCH")
    expect(page.locator("[role=alert]")).to_contain_text("figures have changed")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("lang", ["zh", "en"])
def test_no_page_scrolls_sideways(site: Site, person: Callable[..., Page], size: str, lang: str) -> None:
    page = person(*SIZES[size])
    site.login(page, "li.na", lang)
    hour = time_text(world.START)
    with site.center.database.reading() as db:
        assert store_readings.latest(db, world.PLANT)
    paths = [
        "/plants", PLANT, "/keys/mine", "/account", f"{PLANT}/ledger", f"{MONTH}/declare", MONTH,
        f"{MONTH}/channels/ELEC.IMPORT?day=2026-03-01", f"{MONTH}/hours/{hour}/ELEC.IMPORT?gw={world.GW}",
        f"/statements/{site.gateway.prev}",
    ]  # fmt: skip
    for path in paths:
        site.open(page, path)
        page.evaluate("() => document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        excess = page.evaluate("() => document.documentElement.scrollWidth - window.innerWidth")
        site.picture(page, f"{size}-{lang}-{path.split('?')[0].strip('/').replace('/', '_')[:60]}")
        assert excess <= 0, (path, excess)
