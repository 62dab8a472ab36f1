"""Take in a changed site file while the gateway runs: on SIGHUP, or when a look at the files finds them changed.

The whole site with its profiles is checked first; a wrong one changes nothing and is shown until a right one comes.
Then, in this order: what changes is paused, what it read is committed, `config` events declare what is new or changed,
one more event names what was added, changed and removed, the judge follows, and reading goes on.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from evidence.encoding import sha256_hex, time_text
from gateway.assembly import Gateway, fitting_catalogue, judge_of
from gateway.catalogue import Catalogue
from gateway.errors import DamagedError, GatewayError, MisuseError, UnreachableError
from gateway.field import Field
from gateway.groupcommit import GroupCommit
from gateway.live import LiveBoard
from gateway.problems import clear_problem, raise_problem
from gateway.site import load_site
from gateway.site_change import SiteChange, change_between
from gateway.store import Store
from gateway.systemd import Notifier

PROBLEM = "site"
QUIET_S = 60.0
"""How long polls under way may take, and the store to commit what was read, before the change is given up."""
_REMEMBERED = "reload"

log = logging.getLogger("cunzheng.gateway")


class Result(StrEnum):
    """How a reload ended."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


@dataclass(frozen=True)
class Outcome:
    """How the last reload ended; `number` counts them."""

    number: int
    at: str
    result: Result
    zh: str
    en: str


class Reload:
    """Changes what a running gateway reads; one change at a time."""

    def __init__(self, gateway: Gateway, field: Field, group: GroupCommit, live: LiveBoard, notifier: Notifier) -> None:
        self._gateway, self._field, self._group, self._live, self._notifier = gateway, field, group, live, notifier
        self.catalogue = gateway.catalogue
        """What is read now."""
        self._asked = asyncio.Event()
        self._files = FileWatch(gateway.settings.site)

    def ask(self) -> None:
        """Reload soon."""
        self._asked.set()

    async def run(self) -> None:
        """Reload whenever asked, and when the files change where the settings want that looked for."""
        every_s = self._gateway.settings.reload.watch_s
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), every_s)
            has_changed = every_s is not None and await asyncio.to_thread(self._files.has_changed)
            if self._asked.is_set() or has_changed:
                self._asked.clear()
                await self.once()

    async def once(self) -> Outcome:
        """Read the site file again and follow it, or say why not."""
        self._notifier.reloading()
        try:
            change = await self._follow()
        except DamagedError:
            raise
        except GatewayError as error:
            outcome = await self._note(Result.REFUSED, error.zh, error.en)
        except Exception as error:  # a file that no check foresaw must not stop what runs
            log.exception("reload failed")
            outcome = await self._note(Result.REFUSED, f"程序内部错误：{error!r}", f"internal error: {error!r}")
        else:
            outcome = await self._note(Result.APPLIED if change else Result.UNCHANGED, *_words(change))
        self._notifier.say("READY=1", f"STATUS=site file {outcome.result}")
        return outcome

    async def _follow(self) -> SiteChange:
        after = await asyncio.to_thread(fitting_catalogue, self._gateway.settings)
        change = change_between(self.catalogue, after)
        if change:
            await self._change(after, change)
        return change

    async def _change(self, after: Catalogue, change: SiteChange) -> None:
        judge, now_read = judge_of(after), self.catalogue
        try:
            try:
                async with asyncio.timeout(QUIET_S):
                    await self._field.pause(change.devices)
                    await self._group.committed()
            except TimeoutError as error:
                raise UnreachableError(
                    "已采读数尚未存入，站点文件未更换；请检查磁盘后重试",
                    "what was read is not committed yet, the site file was not changed; check the disk, then try again",
                ) from error
            await self._gateway.pipeline.judge_by(judge, change.events(judge.rules_record()))
            self._live.show(after.live)
            now_read = self.catalogue = after
        finally:
            self._field.go_on(now_read, change.devices)

    async def _note(self, result: Result, zh: str, en: str) -> Outcome:
        """Remember how it ended, and show what is wrong until a later one is right."""
        now = time_text(self._gateway.clock.now())

        def note(store: Store) -> Outcome:
            last = last_outcome(store)
            outcome = Outcome(1 if last is None else last.number + 1, now, result, zh, en)
            store.put(_REMEMBERED, json.dumps(asdict(outcome), ensure_ascii=False))
            if result is Result.REFUSED:
                said = (
                    f"站点文件未更换，仍按原文件运行：{zh}",
                    f"the site file was not taken, the old one goes on: {en}",
                )
                raise_problem(store, PROBLEM, *said, now)
            else:
                clear_problem(store, PROBLEM)
            return outcome

        try:
            outcome = await self._gateway.writer.do(note)
        except GatewayError as error:
            log.error("reload not noted reason=%r", str(error))
            outcome = Outcome(0, now, result, zh, en)
        log.log(logging.ERROR if result is Result.REFUSED else logging.INFO, "reload result=%s what=%r", result, en)
        return outcome


def last_outcome(store: Store) -> Outcome | None:
    """Return how the last reload ended."""
    text = store.get(_REMEMBERED)
    if text is None:
        return None
    said = json.loads(text)
    return Outcome(said["number"], said["at"], Result(said["result"]), said["zh"], said["en"])


class FileWatch:
    """Tells when the site file or a profile file beside it says something else than at the last look."""

    def __init__(self, site: Path) -> None:
        self._site = site
        self._files: tuple[Path, ...] = (site,)
        self._files = self._named()
        self._marks, self._digest = self._look(_mark), self._look(_digest)

    def has_changed(self) -> bool:
        """Look: at times and sizes, and only if those differ at the contents."""
        self._files = self._named()
        marks = self._look(_mark)
        if marks == self._marks:
            return False
        digest = self._look(_digest)
        self._marks, was, self._digest = marks, self._digest, digest
        return digest != was

    def _look(self, how: Callable[[Path], str]) -> dict[Path, str]:
        return {path: how(path) for path in self._files}

    def _named(self) -> tuple[Path, ...]:
        """Return the site file and the profile files it names; of an unreadable one those named before."""
        try:
            site = load_site(self._site)
        except MisuseError:
            return self._files
        named = {*(one.profile for one in site.device), *(one.profile for one in site.mqtt)}
        files = sorted(name for name in named if name.endswith((".yaml", ".yml")))
        return (self._site, *(self._site.resolve().parent / name for name in files))


def _mark(path: Path) -> str:
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{found.st_mtime_ns} {found.st_size} {found.st_ino}"


def _digest(path: Path) -> str:
    try:
        return sha256_hex(path.read_bytes())
    except OSError:
        return ""


def _words(change: SiteChange) -> tuple[str, str]:
    if not change:
        return "站点文件没有变化", "the site file says the same as before"
    counts = len(change.added), len(change.changed), len(change.removed)
    zh = "已更换站点文件：通道新增 {}、变更 {}、移除 {}".format(*counts)
    en = "the site file was taken: channels added {}, changed {}, removed {}".format(*counts)
    if change.devices:
        zh += f"；涉及设备 {'、'.join(change.devices)}"
        en += f"; devices {', '.join(change.devices)}"
    return zh, en
