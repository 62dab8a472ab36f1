"""No page scrolls sideways on a phone, a tablet or a desk, in either language; raw readings included."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from evidence.encoding import time_text
from tests.browser.test_browser_access import enter
from tests.webapp import views_world as world
from webapp import create_app, drafts, tile_wants

pytestmark = pytest.mark.browser
PLANT = f"/plants/{world.PLANT}"
MONTH = f"{PLANT}/months/{world.PERIOD}"
PATHS = {
    "li.na": [
        "/plants",
        PLANT,
        "/keys/mine",
        "/account",
        f"{PLANT}/ledger",
        MONTH,
        f"{MONTH}/declare",
        f"{MONTH}/channels/ELEC.IMPORT?day=2026-03-01",
        f"{MONTH}/hours/{time_text(world.START)}/ELEC.IMPORT?gw={world.GW}",
    ],
    "city": ["/review?show=all", f"{MONTH}/review?now=1"],
    "admin": ["/people"],
}
WIDTHS = {390: 844, 820: 1180, 1280: 800}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A served centre with a draft, live values and raw readings that came from the gateway."""
    center = world.copy_center(tmp_path_factory.mktemp("centre"))
    gateway = world.fill(center, hours=6)
    world.add_live(center)
    drafts.compose(center, world.PLANT, world.PERIOD)
    with center.database.writing() as db:
        tile_wants.ask(db, world.PLANT, world.GW, 1, 0, "li.na", center.now())
    assert gateway.answer_wants() == 1
    for name in PATHS:
        assert world.Person(center, name).enrol() is None
    with world.serving(create_app(center.settings, center=center)) as base:
        yield base


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize("name", PATHS)
def test_no_page_scrolls_sideways(page: Page, base: str, name: str, lang: str) -> None:
    enter(page, base, name, lang)
    wide = []
    for path in PATHS[name]:
        page.goto(base + path)
        page.evaluate("() => document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        for width, height in WIDTHS.items():
            page.set_viewport_size({"width": width, "height": height})
            needed = page.evaluate("() => document.documentElement.scrollWidth")
            if needed > width:
                wide.append((path, width, needed))
    assert wide == []
