"""Cases of time: statements between their anchors and the cosigned checkpoints that hold them; time-stamps."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from evidence_world import NOW, ORIGIN, indexed, seed
from vector_case import Files, World, bare_trust, case, opened, packed, trust_json, without
from witnessed import NAMES, checkpoint, witness_key

from evidence.bundle import Bundle
from evidence.keys import SigningKey
from evidence.merkle import inclusion_proof, leaf_hash, root
from evidence.note import cosign, sign_checkpoint
from evidence.policy import Policy
from evidence.receipt import Receipt
from evidence.trust import Trust

SIGNED = NOW - timedelta(days=1)
"""When everything in these worlds says that it was signed."""
HOUR = timedelta(hours=1)
INDETERMINATE, WARNING = "INDETERMINATE", "VALID_WITH_WARNINGS"


def receipted(world: World, note: str) -> Bundle:
    """Pack a world whose receipts all stand on one checkpoint of the whole log."""
    bundle, hashes = world.pack(readings=(0,)), [leaf_hash(jws.encode()) for jws in world.log]
    sids = {data.decode(): sid for sid, data in bundle.statements.items()}
    receipts = {sids[jws]: Receipt(at, tuple(inclusion_proof(hashes, at)), note) for at, jws in enumerate(world.log)}
    return replace(bundle, proofs={sid: receipt.to_text().encode() for sid, receipt in receipts.items()})


def shown(
    world: World, *times: datetime, quorum: int = 1, notes: dict[str, str | bytes] | None = None, **parts: Any
) -> Files:
    """Pack a world whose log was cosigned at these times, with more checkpoints beside the receipts."""
    bundle = receipted(world, checkpoint(world, len(world.log), *times))
    held = {name: note.encode() if isinstance(note, str) else note for name, note in (notes or {}).items()}
    return packed(indexed(replace(bundle, checkpoints=held, **parts)), witnessed(world, quorum))


def witnessed(world: World, quorum: int = 1, **changed: Any) -> Trust:
    """Trust the gateway's key and three witnesses, of whom so many must have cosigned."""
    world.entries = world.entries[:1]
    return world.trust(policy=Policy.of_number((witness_key(name) for name in NAMES), quorum), **changed)


@case("bundle/cosigned-within-the-hour", "a witness cosigned the log an hour after everything was signed")
def _() -> Files:
    return shown(opened(), SIGNED + HOUR)


@case("bundle/cosigned-four-minutes-before", "the signers' clocks were four minutes ahead of the witness's")
def _() -> Files:
    return shown(opened(), SIGNED - timedelta(minutes=4))


@case(
    "bundle/cosigned-before-it-was-signed",
    "the log had the statements an hour before they say to be signed",
    "TIME_CONTRADICTION",
)
def _() -> Files:
    return shown(opened(), SIGNED - HOUR)


@case(
    "bundle/cosigned-two-days-later",
    "nothing shows the log to have had the statements earlier",
    "LATE_COMMITMENT",
    verdict=WARNING,
    at=NOW + timedelta(days=3),
)
def _() -> Files:
    return shown(opened(), SIGNED + timedelta(days=2))


@case(
    "bundle/cosigned-late-but-seen-in-time",
    "a checkpoint held beside the receipts shows that the log had them in time",
    at=NOW + timedelta(days=3),
)
def _() -> Files:
    world = opened()
    return shown(
        world, SIGNED + timedelta(days=2), notes={str(len(world.log)): checkpoint(world, len(world.log), SIGNED + HOUR)}
    )


@case(
    "bundle/quorum-of-two-came-late",
    "the second witness cosigned two days later",
    "LATE_COMMITMENT",
    verdict=WARNING,
    at=NOW + timedelta(days=3),
)
def _() -> Files:
    return shown(opened(), SIGNED + HOUR, SIGNED + timedelta(days=2), quorum=2)


@case("bundle/receipts-without-enough-witnesses", "two witnesses are wanted, one cosigned", "QUORUM")
def _() -> Files:
    return shown(opened(), SIGNED + HOUR, quorum=2)


@case("bundle/cosigned-in-a-year-of-no-calendar", "a witness states a time beyond every calendar", "CHECKPOINT_FORMAT")
def _() -> Files:
    world = opened()
    note = checkpoint(world, len(world.log))
    text = note[: note.rindex("\n\n") + 1]
    far = note + cosign(text, NAMES[0], witness_secret(0), 2**40)
    return packed(indexed(receipted(world, far)), witnessed(world))


def witness_secret(number: int) -> SigningKey:
    """Return a witness's key."""
    return SigningKey.from_seed(seed(NAMES[number]))


def anchored(size: int, **changed: Any) -> World:
    """Return a world in which, after an hour, an event bears an anchor of a size and its right root."""
    world = opened()
    head = {"origin": ORIGIN, "size": size, "root": root([leaf_hash(jws.encode()) for jws in world.log[:size]]).hex()}
    world.device("event", type="maintenance", data={"note": "x"}, anchor={**head, **changed})
    return world


@case(
    "bundle/anchor-cosigned-later",
    "the anchored checkpoint was cosigned an hour after the statement says to be signed",
    "TIME_CONTRADICTION",
)
def _() -> Files:
    world = anchored(2)
    return shown(world, SIGNED + 3 * HOUR, notes={"2": checkpoint(world, 2, SIGNED + HOUR)})


@case("bundle/anchor-cosigned-before", "the anchored checkpoint is held, cosigned an hour before")
def _() -> Files:
    world = anchored(2)
    return shown(world, SIGNED + HOUR, notes={"2": checkpoint(world, 2, SIGNED - HOUR / 20)})


@case(
    "bundle/anchor-of-another-tree",
    "the log has signed another tree of that size than the anchor names",
    "LOG_EQUIVOCATION",
)
def _() -> Files:
    world = anchored(2, root="ab" * 32)
    return shown(world, SIGNED + HOUR, notes={"2": checkpoint(world, 2, SIGNED)})


@case("bundle/checkpoint-under-another-name", "a checkpoint of 2 entries is called 4", "BUNDLE_FORMAT")
def _() -> Files:
    world = opened()
    return shown(world, SIGNED + HOUR, notes={"4": checkpoint(world, 2, SIGNED)})


@case("bundle/checkpoint-malformed", "a checkpoint beside the receipts is none", "CHECKPOINT_FORMAT")
def _() -> Files:
    return shown(opened(), SIGNED + HOUR, notes={"4": "no checkpoint\n"})


@case("bundle/checkpoint-of-another-tree", "two checkpoints of one size with two roots", "LOG_EQUIVOCATION")
def _() -> Files:
    world = opened()
    size = len(world.log)
    note = sign_checkpoint(ORIGIN, size, root([leaf_hash(b"other")]), world.log_key)
    text = note[: note.rindex("\n\n") + 1]
    forked = note + cosign(text, NAMES[0], witness_secret(0), int((SIGNED + HOUR).timestamp()))
    return shown(world, SIGNED + HOUR, notes={str(size): forked})


def waiting(days: int) -> Files:
    """Show an hour after which a statement has waited so long for its receipt."""
    world = opened()
    world.entries = world.entries[:1]
    bundle, trust = world.pack(readings=(0,)), world.trust(expires=NOW + timedelta(days=60))
    late = world.device("event", type="maintenance", data={"note": "x"})
    statements = {**bundle.statements, late.sid: late.jws.encode()}
    return packed(indexed(replace(bundle, statements=statements, proofs=without(bundle.proofs, late.sid))), trust)


@case(
    "bundle/receipt-overdue",
    "a statement still has no receipt after 31 days",
    "NOT_LOGGED",
    "PENDING_OVERDUE",
    verdict=INDETERMINATE,
    at=SIGNED + timedelta(days=31),
)
def _() -> Files:
    return waiting(31)


@case(
    "bundle/receipt-awaited",
    "a statement still has no receipt after 29 days",
    "NOT_LOGGED",
    verdict=INDETERMINATE,
    at=SIGNED + timedelta(days=29),
)
def _() -> Files:
    return waiting(29)


CERTIFICATE = """-----BEGIN CERTIFICATE-----
MIHnMIGaoAMCAQICAQEwBQYDK2VwMBMxETAPBgNVBAMMCFRlc3QgVFNBMB4XDTI2
MDEwMTAwMDAwMFoXDTM2MDEwMTAwMDAwMFowEzERMA8GA1UEAwwIVGVzdCBUU0Ew
KjAFBgMrZXADIQBuehzdKbC3j9E69MVZj+/07yqXFm48pvLk+/zNgFBb8aMTMBEw
DwYDVR0TAQH/BAUwAwEB/zAFBgMrZXADQQBQ8fSOOa0wKNxHwgwTSHs5A+LkU1gc
xX+15WHpBY67wa6Q+v6DCBWaqHBejUFUuroPB5xIH6DcMU+3FpuDIp4J
-----END CERTIFICATE-----
"""
"""A self-signed certificate of nobody (Ed25519, seed 05…05)."""


@case(
    "bundle/time-stamp-that-nobody-trusts",
    "a time-stamp, and no authority in the trust file: it is not looked at",
    "TSA_FAIL",
    verdict=WARNING,
)
def _() -> Files:
    world = opened()
    return shown(world, SIGNED + HOUR, stamps={str(len(world.log)): b"0"})


@case("bundle/time-stamp-of-no-checkpoint", "the checkpoint that is stamped is not here", "TSA_FAIL")
def _() -> Files:
    world = opened()
    files = shown(world, SIGNED + HOUR, stamps={"999": b"0"})
    return {**files, "trust.json": trust_json(witnessed(world, tsa=(CERTIFICATE,)))}


@case("trust/stamping-authority", "a certificate of a time-stamping authority")
def _() -> Files:
    return {"trust.json": bare_trust(tsa=(CERTIFICATE,))}


@case("trust/stamping-authority-malformed", "a certificate that is none", "SCHEMA")
def _() -> Files:
    return {"trust.json": trust_json(World().trust(), tsa=["trust me"])}
