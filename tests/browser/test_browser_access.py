"""Pages can be used with keyboard and screen reader: names, headings, landmarks, contrast, target size, focus."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from evidence.encoding import time_text
from tests.webapp import views_world as world
from tests.webapp.stack_world import Stack
from webapp import create_app

pytestmark = pytest.mark.browser
PLANT = f"/plants/{world.PLANT}"
MONTH = f"{PLANT}/months/{world.PERIOD}"
HOUR = time_text(world.START)
PATHS = {
    "li.na": [
        "/plants",
        PLANT,
        "/keys/mine",
        f"{PLANT}/ledger",
        f"{MONTH}/declare",
        MONTH,
        f"{MONTH}/cems?day=2026-03-01",
        f"{MONTH}/channels/STACK.CO2MASS?day=2026-03-01",
        f"{MONTH}/hours/{time_text(world.START + timedelta(hours=7))}/STACK.CO2MASS?gw={world.GW}",
        f"{MONTH}/channels/ELEC.IMPORT?day=2026-03-01",
        f"{MONTH}/hours/{HOUR}/ELEC.IMPORT?gw={world.GW}",
        "/nowhere",
    ],
    "city": ["/review?show=all", MONTH],
    "admin": ["/people"],
}

CHECK = (Path(__file__).parent / "access_check.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A served centre that these tests only read."""
    folder: Path = tmp_path_factory.mktemp("centre")
    center = world.copy_center(folder)
    stack = Stack(center, world.fill(center, hours=6))
    stack.hour(6, code="CN-M")
    stack.hour(7, valid=20, code="CN-M")  # an error finding: the declaration asks for a reason
    world.add_live(center)
    with world.serving(create_app(center.settings, center=center)) as base:
        yield base


def enter(page: Page, base: str, name: str, lang: str) -> None:
    page.emulate_media(reduced_motion="reduce")  # a colour is measured at rest
    page.context.add_cookies([{"name": "lang", "value": lang, "url": base}])
    page.goto(f"{base}/login")
    page.locator("#name").fill(name)
    page.locator("#password").fill(world.PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/login" not in url)


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("lang", ["zh", "en"])
def test_pages_are_named_ordered_and_readable(page: Page, base: str, name: str, lang: str) -> None:
    page.goto(f"{base}/login")
    assert page.evaluate(CHECK) == []
    enter(page, base, name, lang)
    for path in PATHS[name]:
        page.goto(base + path)
        page.evaluate("() => document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert page.evaluate(CHECK) == [], path


def test_the_keyboard_reaches_the_content_first(page: Page, base: str) -> None:
    enter(page, base, "li.na", "en")
    page.goto(base + PLANT)
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("() => document.activeElement.id") == "content"
    page.keyboard.press("Tab")
    style = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
    assert style == "solid"


def test_reading_works_without_javascript(browser: Browser, base: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    try:
        page = context.new_page()
        enter(page, base, "li.na", "en")
        for path in (PLANT, MONTH, f"{MONTH}/channels/ELEC.IMPORT"):
            answer = page.goto(base + path)
            assert answer is not None
            assert answer.status == 200
        page.goto(f"{base}{MONTH}/hours/{HOUR}/ELEC.IMPORT?gw={world.GW}")
        page.locator("#readings form button").click()
        assert "raw readings were asked for" in page.locator("#readings").inner_text()
        page.goto(f"{base}{MONTH}/declare")
        assert "Signing needs JavaScript" in page.locator("main").inner_text()
    finally:
        context.close()
