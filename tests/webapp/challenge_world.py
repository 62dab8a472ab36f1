"""A signed month of eight raw tiles, challenged; the gateway's answers are in the test's hand."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from flask import Flask

from evidence.reading import Flag
from evidence.statement import Statement, parse
from sync import PullResult, PushItem, Status, TileAnswer, TileRefusal, TileWanted
from tests.webapp import views_world as world
from tests.webapp.signed_calls import Caller
from webapp import challenges, create_app, drafts
from webapp.center import Center
from webapp.challenges import Standing
from webapp.settings import from_mapping
from webapp.submission import submit

MONTH = f"/plants/{world.PLANT}/months/{world.PERIOD}"
TILES = 8
VALUES: list[tuple[str, str | None, Flag]] = [("ELEC.IMPORT", f"1.{n % 10}", Flag.NORMAL) for n in range(500)]


class Challenged:
    """The centre with its clock, the gateway with its key, the month and its people."""

    def __init__(self, center: Center, app: Flask, caller: Caller) -> None:
        self.center, self.app, self.caller, self.base = center, app, caller, caller.base
        _, gateway, self.month = _template()
        self.gateway = replace(gateway, center=center, leaves=list(gateway.leaves))
        self.people: dict[str, world.Person] = {}
        self._clients: dict[str, Any] = {}

    def person(self, name: str) -> world.Person:
        """Somebody with a registered key."""
        if name not in self.people:
            self.people[name] = world.Person(self.center, name)
            assert self.people[name].enrol() is None
        return self.people[name]

    def client(self, name: str) -> Any:
        """Log in, once."""
        if name not in self._clients:
            self._clients[name] = world.log_in(self.app, name)
        return self._clients[name]

    def press(self, name: str) -> Any:
        """Press the button on the month page."""
        client = self.client(name)
        page = client.get(MONTH).text
        token = page.partition('name="csrf_token" value="')[2].partition('"')[0]
        return client.post(f"{MONTH}/challenges", data={"csrf_token": token})

    def log_something(self) -> None:
        """Have the log sign another checkpoint."""
        self.gateway.say("event", self.center.now(), type="maintenance", data={"note": "filter changed"})

    def pull(self) -> list[TileWanted]:
        """Ask as the gateway does at its next sync."""
        answer = self.caller.call("GET", "/api/v1/pull?after=0")
        assert answer.status_code == 200, answer.text
        return list(PullResult.from_json(answer.content).wants)

    def challenge(self, name: str = "inspector") -> list[TileWanted]:
        """Ask for a challenge, wait for its checkpoint, and give what the gateway is asked for."""
        assert self.press(name).status_code == 303
        self.log_something()
        return self.pull()

    def send(self, message: TileAnswer | TileRefusal) -> httpx.Response:
        """Send what a gateway says of a tile."""
        return self.caller.call("POST", "/api/v1/tiles", message.to_json().encode())

    def answer(self, want: TileWanted, **changes: Any) -> httpx.Response:
        """Show a tile, or something that is to pass for it."""
        return self.send(self.gateway.tile(want.id, want.tile, **changes))

    def refuse(self, want: TileWanted, code: str = "CHALLENGE_FAIL") -> httpx.Response:
        """Say that a tile cannot be shown."""
        return self.send(TileRefusal(want.id, want.epoch, want.tile, code, "数据块缺失", "the tile is missing"))

    def standing(self) -> Standing:
        """The newest challenge as it stands now."""
        with self.center.database.reading() as db:
            return challenges.standings(db, world.PLANT, world.PERIOD, self.center.now())[-1]

    def stated(self) -> dict[str, Any]:
        """The newest challenge as the inspector signs it."""
        return challenges.stated(self.standing())

    def inspect(self, challenge: dict[str, Any] | None, **changes: Any) -> Any:
        """Sign an inspection and have it logged."""
        members: dict[str, Any] = {"subjects": [self.month.sid], "findings": ["铅封完好"], "anchor": None}
        if challenge is not None:
            members["challenge"] = challenge
        jws = self.person("inspector").sign(**{"kind": "inspect", "plant": world.PLANT, **members, **changes})
        assert parse(jws).kind == "inspect"
        return submit(self.center, [PushItem(jws)])[0]


class MovableClock:
    """The centre's time: the machine's, and what a test adds."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@cache
def _template() -> tuple[Path, world.TestGateway, Statement]:
    """One centre with the signed month for the whole run, to be copied, and where its gateway stands."""
    folder = Path(tempfile.mkdtemp(prefix="cunzheng-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    center = world.copy_center(folder)
    gateway = world.fill(center, hours=1)
    for hour in range(1, 5):
        gateway.hour(world.START + timedelta(hours=hour), list(VALUES))
    month = _signed_month(center, gateway)
    center.database.close()
    return folder, gateway, month


def _signed_month(center: Center, gateway: world.TestGateway) -> Statement:
    draft = drafts.compose(center, world.PLANT, world.PERIOD)
    sids: list[str] = []
    for name, role in (("li.na", "technician"), ("wang.jun", "responsible")):
        person = world.Person(center, name)
        assert person.enrol() is None
        jws = person.sign(
            kind="declare", plant=world.PLANT, role=role, period=world.PERIOD, rev=1, subjects=draft.subjects,
            after=sids[0] if sids else None,
        )  # fmt: skip
        result = submit(center, [PushItem(jws)])[0]
        assert result.status is Status.LOGGED, result
        sids.append(result.sid)
    return gateway.sign_month((sids[0], sids[1]), draft.subjects, draft.cover)


@contextmanager
def challenged(folder: Path, clock: MovableClock, **sections: Any) -> Iterator[Challenged]:
    """Serve a centre with the signed month."""
    shutil.copytree(_template()[0] / "data", folder / "data")
    center = Center.open(from_mapping({**world.SETTINGS, **sections}, folder), clock)
    app = create_app(center.settings, center=center)
    with world.serving(app) as base:
        caller = Caller(base, world.TestGateway(center).key)
        yield Challenged(center, app, caller)
        caller.close()
    center.database.close()
