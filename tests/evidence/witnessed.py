"""Witnesses for the small world: they cosign its log at sizes and times that a test chooses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from evidence_world import ORIGIN, World, indexed, seed

from evidence.bundle import Bundle
from evidence.keys import SigningKey
from evidence.merkle import leaf_hash, root
from evidence.note import ED25519_COSIGNATURE, NoteKey, cosign, sign_checkpoint
from evidence.policy import Policy
from evidence.trust import Trust

NAMES = ("witness.example/district", "witness.example/city", "witness.example/province")


def witness_key(name: str) -> NoteKey:
    return NoteKey(name, ED25519_COSIGNATURE, SigningKey.from_seed(seed(name)).public.raw)


def checkpoint(world: World, size: int, *times: datetime) -> str:
    """The log's checkpoint of a size, cosigned by one witness after the other."""
    note = sign_checkpoint(ORIGIN, size, root([leaf_hash(jws.encode()) for jws in world.log[:size]]), world.log_key)
    text = note[: note.rindex("\n\n") + 1]
    return note + "".join(
        cosign(text, name, SigningKey.from_seed(seed(name)), int(time.timestamp()))
        for name, time in zip(NAMES, times, strict=False)
    )


def witnessed_trust(world: World, quorum: int = 0, **changed: Any) -> Trust:
    policy = Policy.of_number((witness_key(name) for name in NAMES), quorum)
    return world.trust(policy=policy, **changed)


def with_checkpoints(bundle: Bundle, notes: Mapping[int, str]) -> Bundle:
    return indexed(replace(bundle, checkpoints={str(size): note.encode() for size, note in notes.items()}))
