"""Calls the centre as a gateway does: real HTTP, signed with the library a gateway uses; with dials to do it wrong."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from http_message_signatures import HTTPMessageSigner, HTTPSignatureKeyResolver, algorithms

from evidence.keys import SigningKey

COVERED = ("@method", "@target-uri", "content-digest", "content-type")


class _Key(HTTPSignatureKeyResolver):
    def __init__(self, key: SigningKey) -> None:
        self._key = key

    def resolve_public_key(self, key_id: str) -> Any:
        raise LookupError

    def resolve_private_key(self, key_id: str) -> Any:
        return self._key.raw_private


class Caller:
    """Signs and sends; every argument of `call` beyond the body is a dial."""

    def __init__(self, base: str, key: SigningKey) -> None:
        self.base, self.key = base, key
        self.http = httpx.Client(trust_env=False, timeout=30)

    def call(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        content_type: str = "application/json",
        sent: bytes | None = None,
        created: datetime | None = None,
        life: timedelta = timedelta(minutes=4),
        nonce: str | None = None,
        tag: str = "cunzheng",
        key_id: str | None = None,
        covered: tuple[str, ...] | None = None,
        signed_path: str | None = None,
    ) -> httpx.Response:
        """Sign a request and send it, or what `sent` and `path` say instead."""
        headers = {"Content-Type": content_type} if body else {}
        request = httpx.Request(method, self.base + (signed_path or path), content=body, headers=headers)
        signer = HTTPMessageSigner(signature_algorithm=algorithms.ED25519, key_resolver=_Key(self.key))
        start = created or datetime.now(UTC)
        signer.sign(
            request,
            key_id=key_id or self.key.kid,
            created=start,
            expires=start + life,
            nonce=nonce or secrets.token_urlsafe(16),
            tag=tag,
            include_alg=False,
            covered_component_ids=covered or (COVERED if body else COVERED[:2]),
            body=body if body and (covered is None or "content-digest" in covered) else None,
        )
        request.headers.pop("content-length", None)
        out = httpx.Request(
            method, self.base + path, content=body if sent is None else sent, headers=dict(request.headers)
        )
        return self.http.send(out)

    def close(self) -> None:
        """Close the connections."""
        self.http.close()
