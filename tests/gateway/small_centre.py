"""A small honest centre over real HTTP, with dials for the ways in which a centre or a network fails.

Keeps its log in memory. Checks request signatures, keeps chains in order, answers with real receipts.
"""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from http_message_signatures import HTTPMessageVerifier, HTTPSignatureKeyResolver
from http_message_signatures.algorithms import ED25519

from evidence.encoding import sha256_hex, time_text
from evidence.keys import SigningKey
from evidence.merkle import inclusion_proof, leaf_hash
from evidence.merkle import root as merkle_root
from evidence.note import ED25519_NOTE, NoteKey, sign_checkpoint
from evidence.receipt import Receipt
from evidence.registry import KeyEntry, PlantEntry, Registry
from evidence.roles import GATEWAY, REGISTRAR
from evidence.statement import Statement, parse, sign
from evidence.tiles import TILE_WIDTH, Tile, tile_hash
from evidence.trust import Trust

ORIGIN = "log.example/evidence"
LOG_KEY = SigningKey.from_seed(bytes(range(32)))
LOG = NoteKey(ORIGIN, ED25519_NOTE, LOG_KEY.public.raw)
REGISTRAR_KEY = SigningKey.from_seed(bytes(range(50, 82)))
CODE = "one-time-code"
NONCE = "nonce-of-the-centre"
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class Dials:
    """Ways to fail; all off by default."""

    down: bool = False
    lose_answers: int = 0
    forge_receipts: bool = False
    status: int | None = None
    refuse: str | None = None
    garbage: bool = False
    other_key: bool = False
    lose_enrolments: int = 0
    ended_key: str | None = None
    no_quorum: bool = False
    sm2_from: int | None = None


class _QuietServer(ThreadingHTTPServer):
    """Says nothing of clients that went away, as killed gateways do."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print what is a defect of ours."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@dataclass
class SmallCentre:
    """The centre's state and its HTTP server; use as a context manager."""

    dials: Dials = field(default_factory=Dials)
    log: list[str] = field(default_factory=list)
    keys: dict[str, KeyEntry] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    wants: list[dict[str, Any]] = field(default_factory=list)
    tiles: list[dict[str, Any]] = field(default_factory=list)
    live: list[dict[str, Any]] = field(default_factory=list)
    nonces: set[str] = field(default_factory=set)
    seconds: dict[str, str] = field(default_factory=dict)
    pushes: int = 0
    used: bool = False
    reusable: bool = True

    def __enter__(self) -> SmallCentre:
        registrar = KeyEntry(
            REGISTRAR_KEY.kid, REGISTRAR_KEY.jwk, "registrar", "registrar", frozenset({REGISTRAR}), region=""
        )
        self.keys[REGISTRAR_KEY.kid] = registrar
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"centre": self})
        self._server = _QuietServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def trust(self) -> Trust:
        plants = [PlantEntry("P-0001", "Asia/Shanghai", "420100", self.dials.sm2_from)]
        issued = datetime.now(UTC).replace(microsecond=0)  # a gateway holds its own clock against it
        return Trust(LOG, Registry.of(self.keys.values(), plants), len(self.log), issued, issued + timedelta(days=3650))

    def append(self, jws: str) -> int:
        """Log a statement of anybody."""
        if jws not in self.log:
            self.log.append(jws)
        return self.log.index(jws)

    def hashes(self) -> list[bytes]:
        return [leaf_hash(jws.encode()) for jws in self.log]

    def checkpoint(self) -> str:
        key = SigningKey.from_seed(bytes(32)) if self.dials.other_key else LOG_KEY
        return sign_checkpoint(ORIGIN, len(self.log), merkle_root(self.hashes()), key)

    def receipt(self, jws: str) -> str:
        index = self.log.index(jws)
        path = inclusion_proof(self.hashes(), index)
        if self.dials.forge_receipts and path:
            path[0] = bytes(32)
        return Receipt(index, tuple(path), self.checkpoint()).to_text()

    # -- answers -------------------------------------------------------------------------------------------

    def push(self, items: list[dict[str, Any]]) -> dict[str, Any]:
        self.pushes += 1
        known = {parse(jws).sid for jws in self.log}
        logged, results = [], []
        for item in items:
            statement = parse(item["jws"])
            entry = self.keys[statement.kid]
            statement.verify_signature(entry.public)
            prev = statement.payload.get("prev")
            if self.dials.sm2_from is not None and "sm2" not in item:
                results.append(
                    {"sid": statement.sid, "status": "refused", "code": "SM2_MISSING", "detail": "sign twice"}
                )
                continue
            self.seconds.update({statement.sid: item["sm2"]} if "sm2" in item else {})
            if statement.kid == self.dials.ended_key:
                results.append({"sid": statement.sid, "status": "refused", "code": "KEY_SUPERSEDED", "detail": "ended"})
            elif self.dials.refuse and statement.kind == "segment":
                results.append({"sid": statement.sid, "status": "refused", "code": self.dials.refuse, "detail": "no"})
            elif prev is not None and prev not in known:
                results.append({"sid": statement.sid, "status": "held", "missing": prev})
            else:
                self.append(statement.jws)
                known.add(statement.sid)
                logged.append(statement)
                results.append({"sid": statement.sid, "status": "logged"})
        for statement in logged:
            one = next(one for one in results if one["sid"] == statement.sid)
            if self.dials.no_quorum:
                one["status"] = "waiting"
            else:
                one["receipt"] = self.receipt(statement.jws)
        return {"results": results}

    def newest_epoch(self) -> int:
        """The newest epoch of the one gateway."""
        return max((parse(jws).payload.get("epoch", 0) for jws in self.log), default=0)

    def pull(self, after: int, epoch: int = 0) -> dict[str, Any]:
        kinds = {"declare", "review", "ledger", "lab", "month"}

        def is_pulled(statement: Statement) -> bool:
            is_others = (statement.payload.get("gw"), statement.payload.get("epoch")) != ("GW-0001", epoch)
            return statement.kind in kinds or (bool(epoch) and statement.kind in ("segment", "event") and is_others)

        items = [
            {"index": index, "jws": jws, "receipt": self.receipt(jws)}
            for index, jws in enumerate(self.log)
            if index > after and is_pulled(parse(jws))
        ]
        return {"items": items, "next": max(len(self.log) - 1, 0), "contents": [], "wants": self.wants}

    def tile(self, path: str) -> bytes | None:
        tile = Tile.parse(path)
        hashes = self.hashes()
        for _ in range(tile.level):
            full = len(hashes) // TILE_WIDTH
            hashes = [tile_hash(hashes[at * TILE_WIDTH : (at + 1) * TILE_WIDTH]) for at in range(full)]
        found = hashes[tile.number * TILE_WIDTH :][: tile.width]
        return b"".join(found) if len(found) == tile.width else None

    def enrol(self, jws: str) -> dict[str, Any]:
        statement: Statement = parse(jws)
        approve = sign(
            {
                "v": 1,
                "kind": "key",
                "plant": "P-0001",
                "t": time_text(NOW),
                "op": "approve",
                "kid": statement.kid,
                "owner": {"type": "gateway", "id": "GW-0001"},
                "roles": [GATEWAY],
                "scope": {"plants": ["P-0001"]},
            },
            REGISTRAR_KEY,
        )
        self.used = True
        self.append(jws)
        index = self.append(approve.jws)
        self.register(statement.payload["jwk"], "GW-0001", GATEWAY, index, owner_type="gateway")
        return {
            "approve": approve.jws,
            "receipts": [self.receipt(jws), self.receipt(approve.jws)],
            "trust": self.trust().to_json(),
        }

    def register(
        self, jwk: dict[str, str], owner: str, role: str, index: int = 0, *, owner_type: str = "person"
    ) -> None:
        from evidence.keys import thumbprint

        kid = thumbprint(jwk)
        self.keys[kid] = KeyEntry(
            kid, jwk, owner_type, owner, frozenset({role}), frozenset({"P-0001"}), from_index=index
        )

    def content(self, data: bytes) -> str:
        digest = sha256_hex(data)
        self.contents[digest] = data
        return digest


class _OneKey(HTTPSignatureKeyResolver):
    def __init__(self, centre: SmallCentre) -> None:
        self._centre = centre

    def resolve_public_key(self, key_id: str) -> Any:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        entry = self._centre.keys.get(key_id)
        return None if entry is None else Ed25519PublicKey.from_public_bytes(entry.public.raw)


@dataclass
class _Message:
    method: str
    url: str
    headers: dict[str, str]


class _SteppedVerifier(HTTPMessageVerifier):
    """The tests' clock is not the machine's."""

    def validate_created_and_expires(self, sig_input: Any, max_age: Any = None) -> None:
        assert 0 < sig_input.params["expires"] - sig_input.params["created"] <= 300


class _Handler(BaseHTTPRequestHandler):
    centre: SmallCentre
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Be quiet."""

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _answer(self, body: bytes) -> None:
        dials = self.centre.dials
        if dials.down:
            self.close_connection = True
            return
        if dials.status is not None:
            self._send(dials.status, b'{"code":"X","detail":"dialled"}')
            return
        with self.centre._lock:
            status, answer = self._route(body)
        if dials.lose_enrolments and self.path.endswith("/enrol/finish"):
            dials.lose_enrolments -= 1
            self.close_connection = True
            return
        if dials.lose_answers and self.path.startswith("/api/v1/statements"):
            dials.lose_answers -= 1
            self.close_connection = True
            return
        self._send(status, b"{garbage" if dials.garbage and self.path.startswith("/api") else answer)

    def _send(self, status: int, answer: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _route(self, body: bytes) -> tuple[int, bytes]:
        centre, url = self.centre, urlsplit(self.path)
        if url.path.startswith("/api/v1/enrol"):
            asked = json.loads(body)
            starts_again = url.path.endswith("start") and self.centre.used and not self.centre.reusable
            if asked["code"] != CODE or starts_again:
                return 422, b'{"code":"KEY_UNKNOWN","detail":"this code is wrong"}'
            if url.path.endswith("start"):
                offer = {
                    "nonce": NONCE,
                    "gw": "GW-0001",
                    "epoch": centre.newest_epoch() + 1,
                    "plant": "P-0001",
                    "plan": {},
                    "origin": ORIGIN,
                    "log_vkey": LOG.text,
                    "sm2": self.centre.dials.sm2_from is not None,
                }
                return 200, json.dumps(offer).encode()
            self.centre.seconds["enrolment"] = asked.get("sm2", "")
            return 200, json.dumps(centre.enrol(asked["statement"])).encode()
        if url.path == "/log/checkpoint":
            return 200, centre.checkpoint().encode()
        if url.path.startswith("/log/"):
            tile = centre.tile(url.path.removeprefix("/log/"))
            return (404, b"no such tile") if tile is None else (200, tile)
        if url.path == "/trust.json":
            return 200, json.dumps(centre.trust().to_json()).encode()
        if not self._is_signed(body):
            return 401, b'{"code":"SIGNATURE","detail":"not signed"}'
        return self._signed_route(url.path, url.query, body)

    def _signed_route(self, path: str, query: str, body: bytes) -> tuple[int, bytes]:
        centre = self.centre
        if path == "/api/v1/statements":
            return 200, json.dumps(centre.push(json.loads(body)["items"])).encode()
        if path == "/api/v1/pull":
            return 200, json.dumps(
                centre.pull(
                    *(int(parse_qs(query).get(name, [other])[0]) for name, other in (("after", "-1"), ("epoch", "0")))
                )
            ).encode()
        if path.startswith("/api/v1/content/"):
            data = centre.contents.get(path.rpartition("/")[2])
            return (404, b"none") if data is None else (200, data)
        if path == "/api/v1/tiles":
            centre.tiles.append(json.loads(body))
            centre.wants = [one for one in centre.wants if one["id"] != json.loads(body)["id"]]
            return 200, b"{}"
        if path == "/api/v1/live":
            centre.live += json.loads(body)["samples"]
            return 200, b"{}"
        return 404, b"none"

    def _is_signed(self, body: bytes) -> bool:
        message = _Message(self.command, f"{self.centre.url}{self.path}", dict(self.headers.items()))
        verifier = _SteppedVerifier(signature_algorithm=ED25519, key_resolver=_OneKey(self.centre))
        covered = ("@method", "@target-uri", "content-digest", "content-type")
        try:
            (result,) = verifier.verify(
                message, max_age=None, expect_tag="cunzheng", require_components=covered, body=body
            )
        except Exception:
            return False
        if result.nonce is None or result.nonce in self.centre.nonces:
            return False
        self.centre.nonces.add(result.nonce)
        return True
