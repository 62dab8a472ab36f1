# ruff: noqa: E501 - tables of cases read better on one line each
"""Cases of the central log: receipts, checkpoints, witnesses, and logs that were rewritten."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from evidence_world import NOW, ORIGIN, indexed, seed
from vector_case import Files, World, approved, bare_trust, case, flipped, opened, packed, sign, trust_json, without

from evidence.encoding import b64, sha256_hex, unb64
from evidence.keys import SigningKey
from evidence.merkle import consistency_proof, inclusion_proof, leaf_hash, root
from evidence.note import ED25519_COSIGNATURE, NoteKey, sign_checkpoint, sign_note
from evidence.policy import Policy
from evidence.receipt import Receipt

INDETERMINATE = "INDETERMINATE"
INDEX = 1
"""The log entry that the receipts of this file are for: the first segment."""


def receipted(change: Callable[[str], str | bytes] = lambda text: text, *, world: World | None = None) -> Files:
    """Show a segment and its receipt, which was changed."""
    world = world or opened(2)
    text = change(receipt(world).to_text())
    world.entries = world.entries[:1]  # the gateway's key
    return {
        "statement.jws": world.log[INDEX].encode(),
        "receipt.tlog-proof": text.encode() if isinstance(text, str) else text,
        "trust.json": trust_json(world.trust()),
    }


def receipt(world: World, index: int = INDEX) -> Receipt:
    """Make the receipt of a log entry."""
    hashes = [leaf_hash(jws.encode()) for jws in world.log]
    note = sign_checkpoint(ORIGIN, len(hashes), root(hashes), world.log_key)
    return Receipt(index, tuple(inclusion_proof(hashes, index)), note)


@case("receipt/honest", "a segment and its receipt")
def _() -> Files:
    return receipted()


@case("receipt/of-another-statement", "the receipt of the next entry", "INCLUSION_FAIL")
def _() -> Files:
    return receipted(lambda text: receipt(opened(2), INDEX + 1).to_text())


@case("receipt/at-another-index", "the receipt says the neighbour's index", "INCLUSION_FAIL")
def _() -> Files:
    return receipted(lambda text: text.replace(f"index {INDEX}\n", f"index {INDEX ^ 1}\n"))


@case("receipt/index-beyond-the-tree", "the index is not in the tree", "INCLUSION_FAIL")
def _() -> Files:
    return receipted(lambda text: text.replace(f"index {INDEX}\n", "index 99\n"))


def path_of(change: Callable[[list[str]], list[str]]) -> Callable[[str], str]:
    """Change the hash lines of a receipt."""

    def changed(text: str) -> str:
        head, _, note = text.partition("\n\n")
        lines = head.split("\n")
        return "\n".join([*lines[:2], *change(lines[2:])]) + "\n\n" + note

    return changed


@case("receipt/path-too-short", "one hash of the path is left out", "INCLUSION_FAIL")
def _() -> Files:
    return receipted(path_of(lambda lines: lines[:-1]))


@case("receipt/path-too-long", "one hash is there twice", "INCLUSION_FAIL")
def _() -> Files:
    return receipted(path_of(lambda lines: [*lines, lines[-1]]))


@case("receipt/path-hash-flipped", "one bit of a hash was flipped", "INCLUSION_FAIL")
def _() -> Files:
    return receipted(path_of(lambda lines: [b64(flipped(unb64(lines[0]), 0)), *lines[1:]]))


for label, what, change in (
    ("path-hash-short", "a hash of 31 bytes", path_of(lambda lines: [b64(unb64(lines[0])[:31]), *lines[1:]])),
    ("path-hash-loose", "a hash with loose trailing bits", path_of(lambda lines: [lines[0][:-2] + "B=", *lines[1:]])),
    ("path-of-64-hashes", "more hashes than any tree is high", path_of(lambda lines: lines[:1] * 64)),
    ("header-of-another-version", "the first line names version 2", lambda text: text.replace("@v1", "@v2", 1)),
    ("with-an-extra-line", "an unauthenticated extra line", lambda text: text.replace("index", "extra QQ==\nindex", 1)),
    ("index-with-a-leading-zero", "index 01", lambda text: text.replace("index ", "index 0", 1)),
    ("index-with-a-sign", "index +1", lambda text: text.replace("index ", "index +", 1)),
    ("index-too-long", "an index of 20 digits", lambda text: text.replace("index 1", "index 1" + "0" * 19, 1)),
    ("without-the-empty-line", "path and checkpoint run together", lambda text: text.replace("\n\n", "\n", 1)),
    ("without-a-checkpoint", "the checkpoint is cut off", lambda text: text.partition("\n\n")[0] + "\n\n"),
    ("with-windows-line-ends", "lines end in CR LF", lambda text: text.replace("\n", "\r\n")),
    ("not-utf8", "bytes that are not UTF-8", lambda text: text.encode() + b"\xff"),
    ("nothing", "a file of no bytes", lambda text: ""),
):

    @case(f"receipt/{label}", what, "CHECKPOINT_FORMAT")
    def _(change: Any = change) -> Files:
        return receipted(change)


@case("receipt/of-a-log-rewritten-after", "the receipt leads to a root that the log did not sign", "SIGNATURE")
def _() -> Files:
    world = opened(2)
    world.log[INDEX + 1] = "rewritten"
    rewritten, honest = receipt(world), receipt(opened(2))
    old = honest.checkpoint.split("\n")[2]
    return receipted(
        lambda text: replace(
            rewritten, checkpoint=honest.checkpoint.replace(old, rewritten.checkpoint.split("\n")[2])
        ).to_text()
    )


def key_of(**changed: Any) -> Files:
    """Show a segment with its receipt, and a registry in which its key counts otherwise."""
    world = opened(2)
    world.entries[0] = replace(world.entries[0], **changed)
    return receipted(world=world)


@case("receipt/key-not-yet-valid", "the key counts from a later entry", "KEY_UNKNOWN", verdict=INDETERMINATE)
def _() -> Files:
    return key_of(from_index=INDEX + 1)


@case("receipt/key-valid-from-this-entry", "the key counts from this very entry")
def _() -> Files:
    return key_of(from_index=INDEX)


@case("receipt/key-revoked", "the key was revoked at this very entry", "KEY_REVOKED")
def _() -> Files:
    return key_of(until_index=INDEX, reason="lost")


@case("receipt/key-superseded", "the key was replaced before", "KEY_SUPERSEDED")
def _() -> Files:
    return key_of(until_index=INDEX - 1, reason="superseded")


@case("receipt/key-revoked-later", "the key was revoked after this entry")
def _() -> Files:
    return key_of(until_index=INDEX + 1, reason="lost")


@case(
    "receipt/signed-in-the-future",
    "signed six minutes after the moment of checking",
    "TIME_FUTURE",
    at=NOW - timedelta(days=1, minutes=6),
)
def _() -> Files:
    return receipted()


@case(
    "receipt/clock-a-little-ahead",
    "signed four minutes after the moment of checking",
    at=NOW - timedelta(days=1, minutes=4),
)
def _() -> Files:
    return receipted()


@case("bundle/receipt-missing", "a segment's receipt is left out", "NOT_LOGGED", verdict=INDETERMINATE)
def _() -> Files:
    world = approved()
    bundle = world.pack(readings=())
    return packed(indexed(replace(bundle, proofs=without(bundle.proofs, world.segments[0].sid))), world.trust())


@case("bundle/two-roots-for-one-size", "receipts stand on two trees of one size", "LOG_EQUIVOCATION")
def _() -> Files:
    """The log told one story to whoever asked for the first receipts, and another with its last entry replaced."""
    world = approved()
    bundle, last = world.pack(readings=()), world.log[-1]
    world.log[-1] = "another entry"
    other = world.pack(readings=())
    sid = sha256_hex(last.rpartition(".")[0].encode())
    proofs = {**other.proofs, sid: bundle.proofs[sid]}
    proofs = {name: data for name, data in proofs.items() if name in bundle.statements}
    return packed(indexed(replace(bundle, proofs=proofs)), world.trust())


@case("bundle/two-statements-at-one-index", "the log gave one place to two statements", "LOG_EQUIVOCATION")
def _() -> Files:
    """The log was rewritten at the same size: its last entry became another one, and both have receipts."""
    world = approved()
    bundle, payload = world.pack(readings=()), world.segments[0].payload
    other = sign({**payload, "seq": 99, "prev": world.prev}, world.keys["gateway"])
    world.log[-1] = other.jws
    rewritten = world.pack(readings=())
    statements = {**bundle.statements, other.sid: other.jws.encode()}
    proofs = {**bundle.proofs, other.sid: rewritten.proofs[other.sid]}
    return packed(indexed(replace(bundle, statements=statements, proofs=proofs)), world.trust())


LOG_HASHES = [leaf_hash(str(number).encode()) for number in range(5)]
LOG_KEY = World().log_key
NOTE = sign_checkpoint(ORIGIN, 5, root(LOG_HASHES), LOG_KEY)
WITNESSES = [SigningKey.from_seed(seed(f"witness {name}")) for name in ("city", "province", "district")]
GROUPED = tuple(
    NoteKey(f"witness.example/{name}", ED25519_COSIGNATURE, key.public.raw)
    for name, key in zip(("city", "province", "district"), WITNESSES, strict=True)
)
WITNESS_KEYS = GROUPED[:2]


def noted(note: str | bytes, quorum: int = 0) -> Files:
    """Show a checkpoint, with two witnesses known of whom `quorum` must have signed."""
    trust = bare_trust(policy=Policy.of_number(WITNESS_KEYS, quorum))
    return {"checkpoint": note.encode() if isinstance(note, str) else note, "trust.json": trust}


def cosigned(number: int, note: str = NOTE, time: int = 1_772_323_210) -> str:
    """Write the signature line of a witness."""
    text = note.rpartition("\n\n")[0] + "\n"
    signature = WITNESSES[number].sign(f"cosignature/v1\ntime {time}\n{text}".encode())
    key = GROUPED[number]
    return f"— {key.name} {b64(key.key_id + time.to_bytes(8, 'big') + signature)}\n"


@case("checkpoint/honest", "a checkpoint of five entries")
def _() -> Files:
    return noted(NOTE)


@case("checkpoint/cosigned-by-two", "two witnesses cosigned, two are wanted")
def _() -> Files:
    return noted(NOTE + cosigned(0) + cosigned(1), 2)


@case("checkpoint/with-an-unknown-signature", "a line of a key that nobody knows is ignored")
def _() -> Files:
    return noted(NOTE + f"— other.example/x {b64(b'abcd' + bytes(64))}\n")


@case("checkpoint/of-an-empty-log", "size 0")
def _() -> Files:
    return noted(sign_checkpoint(ORIGIN, 0, root([]), LOG_KEY))


@case("checkpoint/quorum-missing", "one witness cosigned, two are wanted", "QUORUM")
def _() -> Files:
    return noted(NOTE + cosigned(0), 2)


@case("checkpoint/one-witness-twice", "one witness cosigned twice, two are wanted", "QUORUM")
def _() -> Files:
    return noted(NOTE + cosigned(0) + cosigned(0, time=1_772_323_211), 2)


def grouped(quorum: str, *numbers: int) -> Files:
    """Show a checkpoint that some of three witnesses cosigned, who form groups: (city or district) and province."""
    names = ("district", "city", "province")
    lines = [f"witness {name} {key.text}" for name, key in zip(names, GROUPED, strict=True)]
    groups = ["group region any district city", "group both all region province", f"quorum {quorum}"]
    trust = bare_trust(policy=Policy.parse("\n".join([*lines, *groups, ""])))
    return {"checkpoint": (NOTE + "".join(cosigned(number) for number in numbers)).encode(), "trust.json": trust}


@case("checkpoint/cosigned-by-a-group-of-groups", "one of the region and the province cosigned")
def _() -> Files:
    return grouped("both", 0, 2)


@case("checkpoint/cosigned-by-one-group-only", "two of the region cosigned, the province did not", "QUORUM")
def _() -> Files:
    return grouped("both", 0, 1)


@case("checkpoint/cosigned-by-the-named-one", "the quorum is one witness by name")
def _() -> Files:
    return grouped("province", 2)


@case("checkpoint/not-cosigned-by-the-named-one", "two others cosigned", "QUORUM")
def _() -> Files:
    return grouped("province", 0, 1)


@case("checkpoint/cosignature-of-another-time", "the time of a cosignature was changed", "SIGNATURE")
def _() -> Files:
    name, blob = cosigned(0).rpartition(" ")[0], unb64(cosigned(0).rpartition(" ")[2].strip())
    return noted(NOTE + f"{name} {b64(flipped(blob, 11))}\n")


@case("checkpoint/cosignature-too-short", "a known witness's signature without its time", "CHECKPOINT_FORMAT")
def _() -> Files:
    return noted(NOTE + f"— {WITNESS_KEYS[0].name} {b64(WITNESS_KEYS[0].key_id + bytes(64))}\n")


@case("checkpoint/not-signed-by-the-log", "a witness cosigned, the log did not sign", "SIGNATURE")
def _() -> Files:
    return noted(NOTE.rpartition("\n\n")[0] + "\n\n" + cosigned(0))


@case("checkpoint/signed-by-another-key", "the same name, another key", "QUORUM")
def _() -> Files:
    return noted(sign_checkpoint(ORIGIN, 5, root(LOG_HASHES), SigningKey.from_seed(seed("thief"))))


@case("checkpoint/of-another-log", "another origin", "LOG_ORIGIN")
def _() -> Files:
    return noted(sign_checkpoint("log.example/other", 5, root(LOG_HASHES), LOG_KEY))


@case("checkpoint/size-changed", "size 6 under the signature of size 5", "SIGNATURE")
def _() -> Files:
    return noted(NOTE.replace("\n5\n", "\n6\n"))


@case("checkpoint/root-changed", "another root under the signature", "SIGNATURE")
def _() -> Files:
    return noted(NOTE.replace(b64(root(LOG_HASHES)), b64(root(LOG_HASHES[:4]))))


ROOT = b64(root(LOG_HASHES))


def signed(*lines: str) -> str:
    """Sign a text that is no checkpoint with the key of the log."""
    return sign_note("".join(f"{line}\n" for line in lines), ORIGIN, LOG_KEY)


for label, what, note in (
    ("size-with-a-leading-zero", "size 05, signed", signed(ORIGIN, "05", ROOT)),
    ("size-with-a-sign", "size +5, signed", signed(ORIGIN, "+5", ROOT)),
    ("size-in-other-digits", "size ５, signed", signed(ORIGIN, "５", ROOT)),
    ("size-of-2-to-the-63", "a size beyond every tree, signed", signed(ORIGIN, str(2**63), ROOT)),
    ("root-short", "a root of 31 bytes, signed", signed(ORIGIN, "5", b64(root(LOG_HASHES)[:31]))),
    (
        "root-loose",
        "a root with loose trailing bits, signed",
        signed(ORIGIN, "5", ROOT[:-2] + chr(ord(ROOT[-2]) + 1) + "="),
    ),
    ("root-in-base64url", "a root in the other alphabet, signed", signed(ORIGIN, "5", "-" * 42 + "8=")),
    ("with-an-extension", "a fourth line, signed", signed(ORIGIN, "5", ROOT, "extension")),
    ("without-origin", "an empty first line, signed", signed("", "5", ROOT)),
    ("without-root", "two lines only, signed", signed(ORIGIN, "5")),
    ("without-the-empty-line", "text and signatures run together", NOTE.replace("\n\n", "\n")),
    ("with-a-hyphen", "a hyphen for the dash of a signature line", NOTE.replace("—", "-")),
    (
        "with-a-wide-space-in-a-name",
        "an ideographic space in the name of a key",
        NOTE + f"— x\u3000y {b64(bytes(68))}\n",
    ),
    ("with-two-spaces", "two spaces in a signature line", NOTE.replace(f"— {ORIGIN} ", f"— {ORIGIN}  ")),
    ("without-the-last-line-break", "the last line does not end", NOTE[:-1]),
    ("with-an-empty-line-behind", "an empty line at the end", NOTE + "\n"),
    ("with-windows-line-ends", "lines end in CR LF", NOTE.replace("\n", "\r\n")),
    ("with-a-tab", "a control character", NOTE.replace("log.example", "log\texample")),
    ("with-101-signatures", "one signature line more than allowed", NOTE + NOTE.splitlines(keepends=True)[-1] * 100),
    ("with-a-short-signature", "a signature of the key id alone", NOTE + "— x.example YWJjZA==\n"),
    ("with-a-loose-signature", "a signature with loose trailing bits", NOTE + "— x.example YWJjZGV=\n"),
    ("not-utf8", "bytes that are not UTF-8", NOTE.encode() + b"\xff"),
    ("nothing", "a file of no bytes", ""),
):

    @case(f"checkpoint/{label}", what, "CHECKPOINT_FORMAT")
    def _(note: str | bytes = note) -> Files:
        return noted(note)


def grown(old: int, new: int, *, hashes: list[bytes] | None = None, path: list[bytes] | None = None) -> Files:
    """Show two checkpoints of the log and the proof that one continues the other; `hashes` is what the new one holds."""
    after = hashes or LOG_HASHES
    proof = consistency_proof(after[:new], old) if path is None else path
    return {
        "old.checkpoint": sign_checkpoint(ORIGIN, old, root(LOG_HASHES[:old]), LOG_KEY).encode(),
        "new.checkpoint": sign_checkpoint(ORIGIN, new, root(after[:new]), LOG_KEY).encode(),
        "consistency": "".join(f"{b64(value)}\n" for value in proof).encode(),
        "trust.json": bare_trust(),
    }


REWRITTEN = [leaf_hash(b"rewritten"), *LOG_HASHES[1:]]
DROPPED = LOG_HASHES[1:]


@case("consistency/honest", "the log grew from 3 to 5 entries")
def _() -> Files:
    return grown(3, 5)


@case("consistency/honest-power-of-two", "the log grew from 4 to 5 entries")
def _() -> Files:
    return grown(4, 5)


@case("consistency/honest-same-size", "the same checkpoint twice")
def _() -> Files:
    return grown(5, 5)


@case("consistency/rewritten-at-the-same-size", "one size, two roots: a split view", "CONSISTENCY_FAIL")
def _() -> Files:
    return grown(5, 5, hashes=REWRITTEN)


@case("consistency/rewritten-and-grown", "the first entry was replaced before the log grew", "CONSISTENCY_FAIL")
def _() -> Files:
    return grown(3, 5, hashes=REWRITTEN)


@case("consistency/entry-dropped", "the first entry was dropped before the log grew", "CONSISTENCY_FAIL")
def _() -> Files:
    return grown(3, 4, hashes=DROPPED)


@case("consistency/backup-restored", "the new checkpoint is smaller than the old one", "CONSISTENCY_FAIL")
def _() -> Files:
    return grown(5, 3, path=[])


@case("consistency/without-a-proof", "the log grew and nothing proves it", "CONSISTENCY_FAIL")
def _() -> Files:
    return grown(3, 5, path=[])


@case("consistency/proof-too-long", "one hash more than the proof has", "CONSISTENCY_FAIL")
def _() -> Files:
    return grown(3, 5, path=[*consistency_proof(LOG_HASHES, 3), LOG_HASHES[0]])


@case("consistency/from-nothing", "a proof from size 0 proves nothing", "CONSISTENCY_FAIL")
def _() -> Files:
    return grown(0, 5, path=[])
