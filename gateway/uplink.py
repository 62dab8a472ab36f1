"""Requests to the centre, signed by RFC 9421: the only file that knows the HTTP client.

Statements do not depend on this signature; it keeps strangers off the doors. Covered are method, target, digest of
the body and content type, with created, expires, nonce, key id and tag. Every failure becomes an UplinkError.
"""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Final

import httpx
from http_message_signatures import HTTPMessageSigner, HTTPSignatureKeyResolver
from http_message_signatures import SigningKey as LibraryKey
from http_message_signatures.algorithms import ED25519

from evidence.keys import SigningKey
from gateway.clock import Clock
from gateway.errors import MisuseError, UplinkError

TAG: Final = "cunzheng"
COVERED: Final = ("@method", "@target-uri", "content-digest", "content-type")
LIFETIME: Final = timedelta(minutes=4)
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
_RETRY_AFTER_MAX_S: Final = 3_600


@dataclass
class _Message:
    """What the signer needs of a request."""

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)


class _OwnKey(HTTPSignatureKeyResolver):
    """The gateway signs with one key, its own."""

    def __init__(self, key: SigningKey) -> None:
        self._key = key

    def resolve_private_key(self, key_id: str) -> LibraryKey:
        """Return the private key."""
        return self._key.raw_private


class RefusedByCentreError(UplinkError):
    """The centre answered with a status that is no success; `status` says which."""

    def __init__(self, status: int, path: str, said: str, retry_after: timedelta | None) -> None:
        super().__init__(f"中心端对 {path} 回答 {status}: {said}", f"the centre answered {status} to {path}: {said}")
        self.status = status
        self.said = said
        self.retry_after = retry_after

    @property
    def is_final(self) -> bool:
        """Tell whether asking again in the same way is useless."""
        return 400 <= self.status < 500 and self.status not in (408, 425, 429)

    @property
    def is_away(self) -> bool:
        """Tell whether a proxy said in the centre's place that nobody is there."""
        return self.status == HTTPStatus.BAD_GATEWAY


class CentreAwayError(UplinkError):
    """Nobody answered: no connection, or one that ended or stood still before the answer."""


class Uplink:
    """A client of the centre's API; `key` is None before enrolment, then nothing is signed."""

    def __init__(
        self, url: str, key: SigningKey | None, clock: Clock, *, timeout_s: float, ca_file: Path | None = None
    ) -> None:
        """Prepare the client; nothing is connected yet.

        Raises:
            MisuseError: the CA file cannot be used.
        """
        self.url = url
        self._key, self._clock = key, clock
        self._signer = (
            None if key is None else HTTPMessageSigner(signature_algorithm=ED25519, key_resolver=_OwnKey(key))
        )
        verify: ssl.SSLContext | bool = True
        if ca_file is not None:
            try:
                verify = ssl.create_default_context(cafile=str(ca_file))
            except (OSError, ssl.SSLError) as error:
                raise MisuseError(
                    f"[centre] 的 ca_file {ca_file} 无法使用: {error}", f"[centre] ca_file {ca_file}: {error}"
                ) from error
        self._client = httpx.Client(timeout=timeout_s, follow_redirects=False, trust_env=False, verify=verify)

    def __enter__(self) -> Uplink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def get(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        """Fetch something.

        Raises:
            CentreAwayError: nobody answered.
            UplinkError: an answer that is no success, or a centre that is not trusted.
        """
        return self._request("GET", path, b"", query)

    def post(self, path: str, body: str | bytes) -> bytes:
        """Send JSON and return the answer.

        Raises:
            UplinkError: as `get`.
        """
        return self._request("POST", path, body.encode("utf-8") if isinstance(body, str) else body, None)

    def _request(self, method: str, path: str, body: bytes, query: Mapping[str, str] | None) -> bytes:
        request = self._client.build_request(
            method, f"{self.url}{path}", params=query, content=body, headers={"Content-Type": "application/json"}
        )
        request.headers.update(self._signature(request, body))
        try:
            answer = self._client.send(request)
        except httpx.HTTPError as error:
            kind = UplinkError if _is_distrusted(error) else CentreAwayError
            raise kind(
                f"无法连接中心端 {self.url}: {_said(error)}", f"cannot reach the centre {self.url}: {_said(error)}"
            ) from error
        self._note_time(answer)
        if len(answer.content) > MAX_ANSWER_BYTES:
            raise UplinkError(f"{path} 的回答过大", f"the answer of {path} is too large")
        if answer.status_code not in (200, 201, 202, 204):
            raise RefusedByCentreError(answer.status_code, f"{method} {path}", _reason(answer), _retry_after(answer))
        return answer.content

    def _note_time(self, answer: httpx.Response) -> None:
        """Tell the clock what time the centre has; a refusal says it as well."""
        try:
            self._clock.heard(parsedate_to_datetime(answer.headers.get("Date", "")).astimezone(UTC))
        except (ValueError, TypeError):
            return

    def _signature(self, request: httpx.Request, body: bytes) -> dict[str, str]:
        if self._signer is None or self._key is None:
            return {}
        message = _Message(request.method, str(request.url), {"Content-Type": "application/json"})
        now = self._clock.request_time()
        self._signer.sign(
            message,
            key_id=self._key.kid,
            created=now,
            expires=now + LIFETIME,
            nonce=secrets.token_urlsafe(18),
            label="sig",
            tag=TAG,
            include_alg=False,
            covered_component_ids=COVERED,
            body=body,
        )
        return message.headers


def _is_distrusted(error: BaseException | None) -> bool:
    """Tell whether the centre's certificate was not accepted, which the library says only further down."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _reason(answer: httpx.Response) -> str:
    """Take code and detail of the centre's own refusals, else the beginning of whatever came."""
    try:
        said = answer.json()
        return f"{said['code']}: {said['detail']}"[:300]
    except (ValueError, KeyError, TypeError):
        return " ".join(answer.text[:300].split()) or answer.reason_phrase


def _retry_after(answer: httpx.Response) -> timedelta | None:
    text = answer.headers.get("Retry-After", "")
    if not text.isascii() or not text.isdigit():
        return None
    return timedelta(seconds=min(int(text), _RETRY_AFTER_MAX_S))
