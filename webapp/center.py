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
from evidence.note import ED25519_NOTE, NoteKey
from evidence.policy import Policy
from webapp import keyfile, policy_file, schema
from webapp.cosigning import Cosigning
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
        center = cls.at_rest(settings, clock)
        center.log.recover(is_confirmed=is_confirmed)
        return center

    @classmethod
    def at_rest(cls, settings: Settings, clock: Clock = utc_now) -> Center:
        """Open an initialised centre without a look at its log, which may be damaged.

        Raises:
            NotReadyError: `center init` was not run, or was run by another version.
            CenterError: the policy file cannot be used.
        """
        keys = keyfile.read(settings.log_key_file), keyfile.read(settings.registrar_key_file)
        database = Database.of(settings)
        schema.require_current(database)
        center = cls(settings, database, *keys, clock)
        _ = center.policy
        return center

    @cached_property
    def log(self) -> Log:
        """The append-only log of this centre."""
        chosen = self.settings.log
        log = Log(self.database, self.settings.log_dir, chosen.origin, self.log_key, self.clock, self.policy)
        if self.policy.witnesses:
            log.cosigning = Cosigning(
                log,
                self.database,
                self.policy,
                self.clock,
                timeout_s=chosen.witness_timeout_s,
                retry_s=chosen.witness_retry_s,
            )
        return log

    @cached_property
    def policy(self) -> Policy:
        """Which witnesses are asked, and what a receipt needs of them."""
        return policy_file.load(self.settings, NoteKey(self.settings.log.origin, ED25519_NOTE, self.log_key.public.raw))

    def now(self) -> datetime:
        """The centre's time."""
        return self.clock()


def current_center() -> Center:
    """The centre that answers the present request."""
    center = current_app.extensions["center"]
    assert isinstance(center, Center)
    return center
