"""Forks that admission refused, as files that prove them: both statements and the keys that signed them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from evidence.contradiction import Fork
from evidence.statement import parse_envelope
from webapp import store_keys, store_plants
from webapp.models import ForkEvidence


@dataclass(frozen=True)
class ForkFile:
    """One fork and its file."""

    name: str
    data: bytes
    fork: ForkEvidence


def file_of(session: Session, fork: ForkEvidence) -> ForkFile:
    """Make the file of a fork."""
    statements = (fork.logged_jws, fork.jws)
    kids = dict.fromkeys(parse_envelope(jws).kid for jws in statements)
    keys = tuple(entry.jwk for kid in kids if (entry := store_keys.find(session, kid)) is not None)
    name = f"FORK-{fork.gw}-{fork.epoch}-{fork.seq}-{fork.sid[:12]}.json"
    return ForkFile(name, Fork(statements, keys).to_bytes(), fork)


def all_files(session: Session) -> list[ForkFile]:
    """Make the files of all forks, oldest first."""
    return [file_of(session, fork) for fork in store_plants.all_forks(session)]
