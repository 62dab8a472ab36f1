"""The key registry: which key belongs to whom, for what, where and from when to when.

A snapshot, folded from logged ``key`` statements elsewhere. Validity is judged by log index:
a statement counts under a key if ``from_index ≤ index < until_index``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from evidence.errors import Code, EvidenceError
from evidence.keys import PublicKey
from evidence.sm2 import check_public

REVOKED_REASONS = frozenset({"lost", "compromised", "ceased"})
"""Reasons of a revocation; ``superseded`` means that another key follows."""


@dataclass(frozen=True)
class PlantEntry:
    """What a verifier must know of a plant: legal time zone, GB/T 2260 region, and whether it signs twice."""

    id: str
    zone: str
    region: str
    sm2_from: int | None = None
    """Log index from which on its gateways' statements need an SM2 signature too."""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form, without a member that says nothing."""
        optional = {} if self.sm2_from is None else {"sm2_from": self.sm2_from}
        return {"id": self.id, "zone": self.zone, "region": self.region, **optional}

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> "PlantEntry":
        """Read the JSON form.

        Raises:
            KeyError, TypeError: it is malformed.
            EvidenceError: ``SCHEMA`` for a time zone that does not exist.
        """
        sm2_from = entry.get("sm2_from")
        if sm2_from is not None and (not isinstance(sm2_from, int) or isinstance(sm2_from, bool) or sm2_from < 0):
            raise TypeError("sm2_from is not a log index")
        return cls(str(entry["id"]), _zone(entry["zone"]), str(entry["region"]), sm2_from)


@dataclass(frozen=True)
class KeyEntry:
    """One key of the registry."""

    kid: str
    jwk: Mapping[str, str]
    owner_type: str
    owner_id: str
    roles: frozenset[str]
    plants: frozenset[str] = frozenset()
    region: str | None = None
    custody: str = "software"
    from_index: int = 0
    until_index: int | None = None
    reason: str | None = None
    sm2: str | None = None
    """Second public key (SM2) of the same holder, x‖y in hexadecimal."""

    @property
    def alg(self) -> str:
        """The one algorithm this key signs with."""
        return self.public.alg

    @cached_property
    def public(self) -> PublicKey:
        """The key itself."""
        return PublicKey.from_jwk(self.jwk)

    def covers(self, plant: PlantEntry) -> bool:
        """Tell whether the key's scope includes a plant."""
        in_region = self.region is not None and plant.region.startswith(self.region)
        return plant.id in self.plants or in_region

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form, without members that say nothing."""
        entry: dict[str, Any] = {
            "kid": self.kid,
            "jwk": dict(self.jwk),
            "owner": {"type": self.owner_type, "id": self.owner_id},
            "roles": sorted(self.roles),
            "plants": sorted(self.plants),
            "custody": self.custody,
            "from": self.from_index,
        }
        for name, value in (
            ("region", self.region),
            ("until", self.until_index),
            ("reason", self.reason),
            ("sm2", self.sm2),
        ):
            if value is not None:
                entry[name] = value
        return entry

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> "KeyEntry":
        """Read the JSON form; the key id must be the thumbprint of the key.

        Raises:
            EvidenceError: ``ENCODING`` or ``SCHEMA``.
        """
        try:
            until = entry.get("until")
            if until is not None and (not isinstance(until, int) or isinstance(until, bool)):
                raise TypeError("until is not a log index")
            if not isinstance(entry.get("region", ""), str):
                raise TypeError("region is not a text")
            read = cls(
                kid=entry["kid"],
                jwk=dict(entry["jwk"]),
                owner_type=entry["owner"]["type"],
                owner_id=entry["owner"]["id"],
                roles=frozenset(entry["roles"]),
                plants=frozenset(entry["plants"]),
                region=entry.get("region"),
                custody=entry["custody"],
                from_index=int(entry["from"]),
                until_index=until,
                reason=entry.get("reason"),
                sm2=None if entry.get("sm2") is None else check_public(entry["sm2"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise EvidenceError(Code.SCHEMA, f"a registry entry is malformed: {error!r}") from error
        if read.public.kid != read.kid:
            raise EvidenceError(Code.SCHEMA, f"registry entry {read.kid[:12]} is not the thumbprint of its key")
        return read


@dataclass(frozen=True)
class Registry:
    """A snapshot of keys and plants."""

    keys: Mapping[str, KeyEntry] = field(default_factory=dict)
    plants: Mapping[str, PlantEntry] = field(default_factory=dict)

    @classmethod
    def of(cls, keys: Iterable[KeyEntry], plants: Iterable[PlantEntry]) -> "Registry":
        """Index entries by their ids."""
        return cls({entry.kid: entry for entry in keys}, {plant.id: plant for plant in plants})

    def key(self, kid: str) -> KeyEntry:
        """Return a key.

        Raises:
            EvidenceError: ``KEY_UNKNOWN``.
        """
        try:
            return self.keys[kid]
        except KeyError:
            raise EvidenceError(Code.KEY_UNKNOWN, f"key {kid[:12]} is not in the registry") from None

    def plant(self, plant: str) -> PlantEntry:
        """Return a plant.

        Raises:
            EvidenceError: ``SUBJECT_SCOPE``.
        """
        try:
            return self.plants[plant]
        except KeyError:
            raise EvidenceError(Code.SUBJECT_SCOPE, f"plant {plant!r} is not in the registry") from None

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form, in a fixed order."""
        return {
            "keys": [self.keys[kid].to_json() for kid in sorted(self.keys)],
            "plants": [plant.to_json() for plant in sorted(self.plants.values(), key=lambda plant: plant.id)],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Registry":
        """Read the JSON form.

        Raises:
            EvidenceError: ``SCHEMA`` or ``ENCODING``.
        """
        try:
            plants = [PlantEntry.from_json(entry) for entry in value["plants"]]
            keys = [KeyEntry.from_json(entry) for entry in value["keys"]]
        except (KeyError, TypeError) as error:
            raise EvidenceError(Code.SCHEMA, f"a registry is malformed: {error!r}") from error
        return cls.of(keys, plants)


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise EvidenceError(Code.SCHEMA, f"time zone {name!r} does not exist") from error
    return name
