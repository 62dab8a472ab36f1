"""An authority with three offline keys and a centre that signs its trust bundle; tests turn the dials."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from evidence.keys import SigningKey
from evidence.note import ED25519_NOTE, NoteKey
from evidence.registry import KeyEntry, PlantEntry, Registry
from evidence.roles import REGISTRAR
from evidence.trust import Trust
from gateway.trust_client import HeldTrust, folder_place, take_trust
from webapp import trust_ceremony
from webapp.trust_repository import TrustRepository

ORIGIN = "log.example/evidence"


def key(name: str) -> SigningKey:
    return SigningKey.from_seed(hashlib.sha256(f"trust {name}".encode()).digest())


@dataclass
class Authority:
    """Keys, the folder of the bundle, and what it states; `now` is its clock."""

    folder: Path
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    name: str = "authority"
    plants: list[str] = field(default_factory=lambda: ["P-0001"])
    size: int = 7

    def __post_init__(self) -> None:
        self.repository = TrustRepository(self.folder)
        self.holders = [key(f"{self.name} holder {number}") for number in range(3)]
        self.online = key(f"{self.name} online")
        self.log = NoteKey(ORIGIN, ED25519_NOTE, key("log").public.raw)

    def trust(self) -> Trust:
        registrar = key("registrar")
        entry = KeyEntry(registrar.kid, registrar.jwk, "registrar", "center", frozenset({REGISTRAR}))
        registry = Registry.of([entry], [PlantEntry(plant, "Asia/Shanghai", "420100") for plant in self.plants])
        issued = self.now.replace(microsecond=0)
        return Trust(self.log, registry, self.size, issued, issued + timedelta(days=30))

    def stage(self, offline: list[SigningKey] | None = None) -> None:
        keys = [one.public for one in offline or ()]
        trust_ceremony.stage(self.repository, self.trust(), self.online.public, self.now, keys)

    def sign(self, *holders: SigningKey) -> None:
        for holder in holders:
            trust_ceremony.sign_staged(self.repository.staged, holder)

    def publish(self) -> None:
        trust_ceremony.publish_staged(self.repository)
        self.refresh()

    def refresh(self) -> bool:
        return self.repository.refresh(self.trust(), self.online, self.now)

    def begin(self) -> Authority:
        """Sign with two of three and publish for the first time."""
        self.stage(self.holders)
        self.sign(*self.holders[:2])
        self.publish()
        return self

    def renew(self, *holders: SigningKey, offline: list[SigningKey] | None = None) -> None:
        self.stage(offline)
        self.sign(*(holders or self.holders[1:]))
        self.publish()

    def export(self, target: Path) -> Path:
        self.repository.export(target)
        return target

    def first_root(self) -> bytes:
        return self.repository.root_file(1)

    def taken(self, state: Path, folder: Path | None = None) -> HeldTrust:
        """Take the bundle in at a client, from a folder or as it is published."""
        place = folder_place(folder or self.repository.published)
        return take_trust(state, place, datetime.now(UTC), "test", self.first_root())

    def later(self, **passed: float) -> None:
        self.now += timedelta(**passed)


def without_times(trust: Trust) -> Trust:
    """What a trust says apart from when."""
    return replace(trust, issued=datetime.min.replace(tzinfo=UTC), expires=datetime.max.replace(tzinfo=UTC))
