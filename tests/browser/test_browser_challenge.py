"""A reviewer challenges a month in the browser, its gateway answers, and an inspector signs what came of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from evidence.statement import parse
from tests.webapp import views_world as world
from tests.webapp.challenge_world import MONTH, TILES, Challenged, MovableClock, challenged
from webapp import store_log

pytestmark = pytest.mark.browser
SIZES = {"desk": (1280, 800), "tablet": (820, 1180)}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Challenged]:
    with challenged(tmp_path, MovableClock()) as site:
        yield site


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return Path(os.environ.get("CUNZHENG_SCREENSHOTS", tmp_path))


@pytest.fixture
def person(site: Challenged, new_context: Callable[..., BrowserContext]) -> Callable[..., Page]:
    """Open a browser for somebody who is logged in; errors in its scripts fail the test."""

    def make(name: str, lang: str = "zh") -> Page:
        page = new_context().new_page()
        page.on("pageerror", lambda error: pytest.fail(f"script error: {error}"))
        page.context.add_cookies([{"name": "lang", "value": lang, "url": site.base}])
        page.goto(f"{site.base}/login")
        page.locator("#name").fill(name)
        page.locator("#password").fill(world.PASSWORD)
        page.locator("main button").click()
        expect(page.locator("nav").first).to_be_visible()
        return page

    return make


def keep(page: Page, pictures: Path, name: str) -> None:
    """Keep pictures of a page in both sizes; it must not scroll sideways."""
    page.evaluate("() => document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    for size, (width, height) in SIZES.items():
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
        page.screenshot(path=str(pictures / f"challenge-{name}-{size}.png"), full_page=True)


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_a_challenge_is_asked_watched_and_recorded(
    site: Challenged, person: Callable[..., Page], pictures: Path, lang: str
) -> None:
    city, inspector = person("city", lang), person("inspector", lang)
    inspector.goto(f"{site.base}/keys/mine")
    inspector.locator("[data-make]").click()
    expect(inspector.locator(".note.good")).to_be_visible()
    city.goto(site.base + MONTH)
    city.locator("#challenges form button").click()
    expect(city.locator("#challenges .tag.now")).to_be_visible()
    site.log_something()
    wants = site.pull()
    for want in wants[:3]:
        site.answer(want)
    site.refuse(wants[3])
    expect(city.locator("#challenges progress")).to_have_attribute("value", "4", timeout=30_000)
    keep(city, pictures, f"open-{lang}")
    inspector.goto(f"{site.base}{MONTH}/inspect")
    keep(inspector, pictures, f"early-{lang}")
    for want in wants[4:]:
        site.answer(want)
    inspector.goto(f"{site.base}{MONTH}/inspect")
    inspector.locator("#findings").fill("分析仪铅封完好\n\n  表盘读数 35.1，登记 35.1 ")
    keep(inspector, pictures, f"record-{lang}")
    inspector.locator("[data-sign-button]").click()
    inspector.wait_for_url("**/statements/*?signed=1")
    sid = inspector.url.split("/statements/")[1].split("?")[0]
    keep(inspector, pictures, f"receipt-{lang}")
    with site.center.database.reading() as db:
        row = store_log.by_sid(db, sid)
    assert row is not None
    payload = parse(row.jws).payload
    assert payload["findings"] == ["分析仪铅封完好", "表盘读数 35.1，登记 35.1"]
    assert (payload["challenge"]["result"], len(payload["challenge"]["tiles"])) == ("failed", TILES)
    city.goto(site.base + MONTH)
    keep(city, pictures, f"month-{lang}")
    city.goto(f"{site.base}{MONTH}/review?now=1")
    expect(city.locator("main")).to_contain_text("CHALLENGE_FAIL")
    keep(city, pictures, f"review-{lang}")
