"""Asks one witness for one cosignature (C2SP tlog-witness); the one file of the centre that opens a connection."""

from __future__ import annotations

import http.client
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from evidence.encoding import b64
from evidence.errors import EvidenceError
from evidence.note import verify_note
from evidence.policy import Witness

MAX_ANSWER = 65_536


class WitnessSilentError(Exception):
    """The witness could not be reached, or did not answer as the protocol says; ask again later."""


@dataclass(frozen=True)
class Cosigned:
    """The witness cosigned: its signature line."""

    line: str


@dataclass(frozen=True)
class Elsewhere:
    """The witness cosigned last at another size."""

    size: int


@dataclass(frozen=True)
class Inconsistent:
    """The witness found that the checkpoint does not continue what it cosigned."""

    said: str


Answer = Cosigned | Elsewhere | Inconsistent


def ask(witness: Witness, old: int, proof: Sequence[bytes], note: str, timeout_s: float) -> Answer:
    """Send a checkpoint with its proof from size `old`.

    Raises:
        WitnessSilentError: no answer that counts.
    """
    lines = "".join(f"{b64(value)}\n" for value in proof)
    status, body = _post(witness.url, f"old {old}\n{lines}\n{note}".encode(), timeout_s)
    if status == 409:
        size = body.strip()
        if not size.isascii() or not size.isdigit() or len(size) > 19:
            raise WitnessSilentError(f"answers 409 without its size: {body[:40]!r}")
        return Elsewhere(int(size))
    if status == 422:
        return Inconsistent(body.strip()[:200])
    if status != 200:
        raise WitnessSilentError(f"answers {status}: {body.strip()[:100]}")
    return Cosigned(_own_line(witness, note, body))


def _own_line(witness: Witness, note: str, body: str) -> str:
    """Take the line of the witness's key, which must hold; lines of other keys do not matter."""
    for line in body.splitlines(keepends=True):
        try:
            _, signers = verify_note(note + line, [witness.key])
        except EvidenceError:
            continue
        if witness.key in signers:
            return line
    raise WitnessSilentError("answers without a cosignature that verifies")


def _post(url: str, body: bytes, timeout_s: float) -> tuple[int, str]:
    parts = urlsplit(url)
    make = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}.get(parts.scheme)
    try:
        if make is None or not parts.hostname:
            raise WitnessSilentError(f"its address is not one of http or https: {url[:80]}")
        connection = make(parts.hostname, parts.port, timeout=timeout_s)
        try:
            path = f"{parts.path.rstrip('/')}/add-checkpoint"
            connection.request("POST", path, body, {"Content-Type": "text/plain; charset=utf-8"})
            answer = connection.getresponse()
            data = answer.read(MAX_ANSWER + 1)
        finally:
            connection.close()
        if len(data) > MAX_ANSWER:
            raise WitnessSilentError("answers too much")
        return answer.status, data.decode("utf-8")
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise WitnessSilentError(f"cannot be asked: {error or type(error).__name__}") from error
