"""A retention challenge from the button to the bundle, and plants, people and records that cheat in it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from accounting.recompute import verify_recomputed
from evidence.bundle import read_bundle
from evidence.challenge import MOST_DRAWS, TileState
from evidence.encoding import canonical_json
from evidence.errors import Code
from evidence.statement import parse
from sync import PushItem, Status, TileWanted
from tests.webapp import views_world as world
from tests.webapp.challenge_world import MONTH, TILES, Challenged, MovableClock, challenged
from webapp import challenges, drafts, export, store_challenges, store_plants, store_readings, tile_wants
from webapp.errors import CenterError
from webapp.settings import from_mapping
from webapp.submission import submit
from webapp.views import verifying


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def site(tmp_path: Path, clock: MovableClock) -> Iterator[Challenged]:
    with challenged(tmp_path, clock) as site:
        yield site


def codes(site: Challenged) -> set[str]:
    """What a verifier finds in the month's bundle, beside that nobody has approved it."""
    bundle = read_bundle(io.BytesIO(export.month_bundle(site.center, world.PLANT, world.PERIOD) or b""))
    report = verify_recomputed(bundle, export.trust(site.center), site.center.now())
    return {finding.code.value for finding in report.findings} - {Code.NOT_APPROVED.value}


def automatic(site: Challenged) -> set[str]:
    """What the automatic verification of the review page finds."""
    with site.app.test_request_context():
        report = verifying.month_report(site.center, world.PLANT, world.PERIOD, b"secret")
    return {finding["code"] for finding in report.findings} - {Code.NOT_APPROVED.value}


def test_a_challenge_goes_from_the_button_to_the_bundle(site: Challenged) -> None:
    assert "This month has not been challenged yet." in site.client("inspector").get(MONTH).text
    assert site.press("inspector").status_code == 303
    assert site.pull() == [], "no tile may be known before the next checkpoint"
    assert "waits for the next checkpoint" in site.client("city").get(MONTH).text
    site.log_something()
    wants = site.pull()
    assert sorted(want.tile for want in wants) == list(range(TILES))
    for number, want in enumerate(wants[:-1], 1):
        assert site.answer(want).status_code == 200
        assert f"{number} of {TILES} tiles answered" in site.client("inspector").get(MONTH).text
    site.answer(wants[-1])
    assert site.pull() == []
    assert f"passed: all {TILES} tiles are proven" in site.client("li.na").get(MONTH).text
    done = site.inspect(site.stated())
    assert done.status is Status.LOGGED, done
    assert codes(site) == automatic(site) == set()
    page = site.client("city").get(MONTH).text
    assert "inspector recorded a retention challenge: passed" in page
    assert "铅封完好" in page
    assert done.sid in site.client("inspector").get(f"/statements/{done.sid}").text


def test_a_bundle_holds_the_record_and_no_reading_that_only_a_challenge_saw(site: Challenged) -> None:
    for want in site.challenge():
        site.answer(want)
    sid = site.inspect(site.stated()).sid
    bundle = read_bundle(io.BytesIO(export.month_bundle(site.center, world.PLANT, world.PERIOD) or b""))
    assert sid in bundle.statements
    assert sid in bundle.proofs
    assert bundle.readings == {}
    said = parse(bundle.statements[sid].decode()).payload["challenge"]
    assert (said["month"], said["result"], len(said["tiles"])) == (site.month.sid, "passed", TILES)


def test_a_tile_that_a_person_wants_too_is_kept_and_disclosed(site: Challenged) -> None:
    wants = site.challenge()
    with site.center.database.writing() as db:
        tile_wants.ask(db, world.PLANT, world.GW, 1, wants[3].tile, "city", site.center.now())
    first = site.pull()[0]
    assert first.tile == wants[3].tile, "somebody waits for it: it comes before the others"
    site.answer(first)
    with site.center.database.reading() as db:
        assert len(store_readings.answers_of(db, world.GW, 1, 0, TILES)) == 1
    assert site.standing().count(TileState.PROVEN) == 1


def test_a_tile_shown_once_is_asked_for_again(site: Challenged) -> None:
    """What the centre has seen says nothing of what the plant still has."""
    with site.center.database.writing() as db:
        tile_wants.ask(db, world.PLANT, world.GW, 1, 2, "city", site.center.now())
    site.gateway.answer_wants()
    wants = site.challenge()
    assert len(wants) == TILES
    lost = next(want for want in wants if want.tile == 2)
    site.refuse(lost)
    assert site.standing().count(TileState.REFUSED) == 1
    assert len(site.pull()) == TILES - 1
    with site.center.database.reading() as db:
        assert len(store_readings.answers_of(db, world.GW, 1, 2, 2)) == 1, "what was proven before stays"


# --- gateways that cannot, or cheat ----------------------------------------------------------------


def lost_tile(site: Challenged, want: TileWanted) -> None:
    assert site.refuse(want).status_code == 200


def let_go(site: Challenged, want: TileWanted) -> None:
    assert site.refuse(want, "NO_LONGER_KEPT").status_code == 200


def one_byte(site: Challenged, want: TileWanted) -> None:
    honest = site.gateway.tile(want.id, want.tile)
    lines = (*honest.lines[:-1], honest.lines[-1].replace('"1.', '"2.'))
    assert lines != honest.lines
    assert site.answer(want, lines=lines).json()["code"] == "INCLUSION_FAIL"


def another_tile(site: Challenged, want: TileWanted) -> None:
    other = site.gateway.tile(want.id, (want.tile + 1) % (TILES - 1))
    assert site.send(other).json()["code"] == "INDEX_MISMATCH"


def disguised_tile(site: Challenged, want: TileWanted) -> None:
    other = site.gateway.tile(want.id, (want.tile + 1) % (TILES - 1))
    assert site.send(replace(other, tile=want.tile)).json()["code"] == "INDEX_MISMATCH"


def half_a_tile(site: Challenged, want: TileWanted) -> None:
    """The beginning of the tile under a segment that ended within it: proven, but not all that the month has."""
    first = want.tile * 256
    end = next((1 + 3 + 500 * n for n in range(5) if first < 4 + 500 * n < first + 256), None)
    if end is None:
        return lost_tile(site, want)
    short = replace(site.gateway, sealed=end, leaves=site.gateway.leaves[:end])
    assert site.send(short.tile(want.id, want.tile)).json()["code"] == "INDEX_MISMATCH"
    return None


CRIMES = [lost_tile, let_go, one_byte, another_tile, disguised_tile, half_a_tile]


@pytest.mark.parametrize("crime", CRIMES)
def test_a_tile_that_is_not_shown_fails_the_challenge_at_once_and_for_good(
    site: Challenged, crime: Callable[[Challenged, TileWanted], None]
) -> None:
    wants = sorted(site.challenge(), key=lambda want: want.tile)
    crime(site, wants[1])
    assert site.standing().result == "failed"
    assert not site.standing().is_finished
    assert automatic(site) == {Code.CHALLENGE_FAIL.value}
    assert "failed: 1 tile was not shown" in site.client("province").get(MONTH).text
    site.answer(wants[1])
    for want in wants:
        if want is not wants[1]:
            assert site.answer(want).status_code == 200
    assert site.standing().count(TileState.PROVEN) == TILES - 1, "the first answer counts"
    assert site.inspect(site.stated()).status is Status.LOGGED
    assert codes(site) == automatic(site) == {Code.CHALLENGE_FAIL.value}


def test_a_gateway_that_answers_nothing_fails_when_the_time_is_over(site: Challenged, clock: MovableClock) -> None:
    site.challenge()
    assert site.standing().result is None
    assert automatic(site) == set()
    clock.ahead = timedelta(days=7, minutes=1)
    assert site.standing().count(TileState.MISSING) == TILES
    assert automatic(site) == {Code.CHALLENGE_FAIL.value}
    assert f"failed: {TILES} tiles were not shown" in site.client("city").get(MONTH).text
    assert site.inspect(site.stated()).status is Status.LOGGED
    assert codes(site) == {Code.CHALLENGE_FAIL.value}


def test_a_gateway_that_answers_late_fails_though_it_proves_the_tile(site: Challenged, clock: MovableClock) -> None:
    wants = site.challenge()
    for want in wants[1:]:
        site.answer(want)
    with site.center.database.writing() as db:
        clock.ahead = timedelta(days=8)
        tile_wants.take(db, world.GW, world.PLANT, site.gateway.tile(wants[0].id, wants[0].tile), site.center.now())
    assert site.standing().result == "failed"
    assert [state for _, state in site.standing().lost] == [TileState.MISSING]


def test_an_answer_that_the_centre_cannot_place_is_no_answer(site: Challenged) -> None:
    """A tree size of which the centre knows no segment says nothing of the tile."""
    wants = site.challenge()
    assert site.answer(wants[0], size=site.gateway.sealed + 1).json()["code"] == "NOT_LOGGED"
    assert site.standing().result is None
    assert site.answer(wants[0]).status_code == 200


# --- who may ask, and when -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["inspector", "city", "province", "nation"])
def test_inspectors_and_reviewers_may_challenge(site: Challenged, name: str) -> None:
    assert "Challenge this month" in site.client(name).get(MONTH).text
    assert len(site.challenge(name)) == TILES


@pytest.mark.parametrize("name", ["li.na", "wang.jun", "admin", "other.city"])
def test_nobody_else_may(site: Challenged, name: str) -> None:
    assert "Challenge this month" not in site.client(name).get(MONTH).text
    client = site.client(name)
    token = client.get("/plants").text.partition('name="csrf_token" value="')[2].partition('"')[0]
    assert client.post(f"{MONTH}/challenges", data={"csrf_token": token}).status_code == 403
    with site.center.database.reading() as db:
        assert store_challenges.of_month(db, world.PLANT, world.PERIOD) == []


def test_a_second_challenge_waits_for_the_first(site: Challenged) -> None:
    wants = site.challenge()
    assert "Challenge this month" not in site.client("city").get(MONTH).text
    client = site.client("city")
    token = client.get(MONTH).text.partition('name="csrf_token" value="')[2].partition('"')[0]
    page = client.post(f"{MONTH}/challenges", data={"csrf_token": token}, follow_redirects=True).text
    assert "A challenge of this month is running" in page
    for want in wants:
        site.answer(want)
    assert len(site.challenge("city")) == TILES


@pytest.mark.parametrize(("years", "is_open"), [(None, True), (1, False)])
def test_a_month_older_than_the_retention_is_not_challenged(
    site: Challenged, clock: MovableClock, years: int | None, is_open: bool
) -> None:
    said = {"reason": "start"} if years is None else {"reason": "start", "retention": {"years": years, "reason": "x"}}
    site.gateway.say("event", site.center.now(), type="restart", data=said)
    clock.ahead = timedelta(days=800)
    answer = site.press("inspector")
    page = site.client("inspector").get(MONTH).text
    assert answer.status_code == 303
    assert ("waits for the next checkpoint" in page) is is_open


def test_a_month_without_raw_readings_is_not_challenged(site: Challenged) -> None:
    bare = replace(site.month, payload={**site.month.payload, "cover": []})
    with site.center.database.reading() as db:
        plant = store_plants.find(db, world.PLANT)
        assert plant is not None
        now = site.center.now()
        assert challenges.why_not(db, plant, world.PERIOD, bare, now, days=7) == "none"
        assert challenges.why_not(db, plant, world.PERIOD, site.month, now, days=7) == ""


# --- records that say something else ---------------------------------------------------------------


def pretend(said: dict[str, Any]) -> None:
    said["result"] = "passed"
    for tile in said["tiles"]:
        tile["state"] = "proven"


def shrink(said: dict[str, Any]) -> None:
    said["tiles"] = [tile for tile in said["tiles"] if tile["state"] == "proven"]
    said["result"] = "passed"


def contradict(said: dict[str, Any]) -> None:
    said["result"] = "passed"


def move(said: dict[str, Any]) -> None:
    said["asked"] -= 1


def reseed(said: dict[str, Any]) -> None:
    said["seed"] = said["seed"].replace("\n\n", "\nA\n\n", 1)


@pytest.mark.parametrize("lie", [pretend, shrink, contradict, move, reseed])
def test_a_record_that_differs_from_what_was_judged_is_not_logged(
    site: Challenged, lie: Callable[[dict[str, Any]], None]
) -> None:
    wants = site.challenge()
    site.refuse(wants[0])
    for want in wants[1:]:
        site.answer(want)
    said = site.stated()
    lie(said)
    result = site.inspect(said)
    assert (result.status, result.code) == (Status.REFUSED, Code.CHALLENGE_FAIL.value)


def test_a_challenge_that_is_still_open_is_not_recorded(site: Challenged) -> None:
    wants = site.challenge()
    for want in wants[1:]:
        site.answer(want)
    with pytest.raises(LookupError):
        site.stated()
    site.answer(wants[0])
    said = site.stated()
    with site.center.database.writing() as db:
        row = store_challenges.tiles_of(db, site.standing().row.id)[0]
        row.answered_at = None
    assert site.inspect(said).code == Code.CHALLENGE_FAIL.value


@pytest.mark.parametrize(
    ("changes", "code"), [({"subjects": ["ab" * 32]}, "NOT_LOGGED"), ({"plant": world.OTHER_PLANT}, "SUBJECT_SCOPE")]
)
def test_an_inspection_of_something_else_is_not_logged(site: Challenged, changes: dict[str, Any], code: str) -> None:
    assert site.inspect(None, **changes).code == code


def test_a_technician_signs_no_inspection(site: Challenged) -> None:
    person = world.Person(site.center, "li.na")
    jws = person.sign(kind="inspect", plant=world.PLANT, subjects=[site.month.sid], findings=[], anchor=None)
    assert submit(site.center, [PushItem(jws)])[0].code == Code.ROLE.value


# --- the inspector's page --------------------------------------------------------------------------


def test_the_inspectors_page_shows_what_is_signed(site: Challenged) -> None:
    person = site.person("inspector")
    wants = site.challenge()
    for want in wants:
        site.answer(want)
    client = site.client("inspector")
    page = client.get(f"{MONTH}/inspect").text
    assert "passed: all 8 tiles are proven" in page
    canonical = page.partition("<pre data-payload hidden>")[2].partition("</pre>")[0].replace("&#34;", '"')
    payload = {**canonical_json(canonical.encode()), "findings": ["表盘读数一致", "铅封完好"]}
    token = page.partition('name="csrf_token" value="')[2].partition('"')[0]
    jws = person.sign(**{name: value for name, value in payload.items() if name not in ("v", "t")})
    other = {**payload, "subjects": [site.month.sid, "ab" * 32]}
    forged = person.sign(**{name: value for name, value in other.items() if name not in ("v", "t")})
    refused = client.post(f"{MONTH}/inspect", data={"csrf_token": token, "statement": forged})
    assert refused.status_code == 422
    assert client.post(f"{MONTH}/inspect", data={"csrf_token": token, "statement": jws}).status_code == 303
    assert "There is no result that has not been recorded yet" in client.get(f"{MONTH}/inspect").text
    assert codes(site) == set()


def test_findings_alone_may_be_recorded_and_belong_to_the_bundle(site: Challenged) -> None:
    sid = site.inspect(None).sid
    bundle = read_bundle(io.BytesIO(export.month_bundle(site.center, world.PLANT, world.PERIOD) or b""))
    assert sid in bundle.statements
    assert codes(site) == set()


@pytest.mark.parametrize("name", ["city", "li.na", "admin"])
def test_only_inspectors_reach_the_inspectors_page(site: Challenged, name: str) -> None:
    assert site.client(name).get(f"{MONTH}/inspect").status_code == 403


# --- settings --------------------------------------------------------------------------------------


def test_a_site_may_draw_more_and_wait_shorter(tmp_path: Path, clock: MovableClock) -> None:
    with challenged(tmp_path, clock, challenge={"draws": MOST_DRAWS, "days": 2}) as site:
        site.challenge()
        row = site.standing().row
        assert (row.draws, row.days) == (MOST_DRAWS, 2)
        clock.ahead = timedelta(days=2, minutes=1)
        assert site.standing().is_finished


@pytest.mark.parametrize("draws", [298, MOST_DRAWS + 1])
def test_fewer_draws_than_the_rule_or_more_than_fit_are_refused(tmp_path: Path, draws: int) -> None:
    with pytest.raises(CenterError, match=r"challenge\.draws"):
        from_mapping({**world.SETTINGS, "challenge": {"draws": draws}}, tmp_path)


def test_a_superseded_month_keeps_the_challenge_it_was_asked_for(site: Challenged) -> None:
    wants = site.challenge()
    assert drafts.compose(site.center, world.PLANT, world.PERIOD).rev == 2
    for want in wants:
        site.answer(want)
    assert site.stated()["month"] == site.month.sid
