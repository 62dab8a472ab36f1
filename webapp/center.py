"""The centre itself: settings, database, keys and log of one process, opened together and handed to every
request.

`Center.open` is for a running centre: it refuses an old schema, missing keys and a log that does not
continue what was signed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

from flask import current_app

from evidence.keys import SigningKey
from webapp import keyfile, schema
from webapp.database import Database
from webapp.log import Log
from webapp.settings import Settings

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The machine's clock, aware and in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Center:
    """What the requests of one process share."""

    settings: Settings
    database: Database
    log_key: SigningKey
    registrar_key: SigningKey
    clock: Clock = field(default=utc_now)

    @classmethod
    def open(cls, settings: Settings, clock: Clock = utc_now, *, is_confirmed: bool = True) -> Center:
        """Open an initialised centre and bring its log to a state that may be continued.

        `is_confirmed=False` opens one, too, whose restore nobody confirmed; it still signs nothing.

        Raises:
            NotReadyError: `center init` was not run, or was run by another version.
            LogRefusedError: the log does not continue what was signed before.
        """
        keys = keyfile.read(settings.log_key_file), keyfile.read(settings.registrar_key_file)
        database = Database.of(settings)
        schema.require_current(database)
        center = cls(settings, database, *keys, clock)
        center.log.recover(is_confirmed=is_confirmed)
        return center

    @cached_property
    def log(self) -> Log:
        """The append-only log of this centre."""
        return Log(self.database, self.settings.log_dir, self.settings.log.origin, self.log_key, self.clock)

    def now(self) -> datetime:
        """The centre's time."""
        return self.clock()


def current_center() -> Center:
    """The centre that answers the present request."""
    center = current_app.extensions["center"]
    assert isinstance(center, Center)
    return center
