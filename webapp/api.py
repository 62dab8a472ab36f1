"""The gateways' interface: enrolment, statements up, news down, contents, raw tiles, live values.

Every call but enrolment is signed by the gateway's key (`request_signatures`); what it may say is decided
by admission, statement by statement.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any

from flask import Blueprint, Response, abort, g, request
from sqlalchemy.orm import Session
from werkzeug.exceptions import UnsupportedMediaType

from evidence.encoding import MAX_SAFE_INTEGER, parse_decimal, parse_time, sha256_hex, strict_json
from evidence.errors import Code, EvidenceError
from evidence.reading import Flag
from evidence.roles import GATEWAY
from evidence.statement import parse_envelope
from sync import ContentRef, Live, PulledItem, PullResult, Push, PushResult, TileRefusal, TileWanted, read_tile
from sync.fields import Fields, parse
from webapp import (
    challenges,
    content_types,
    enrolment,
    store_contents,
    store_keys,
    store_log,
    store_plants,
    store_readings,
    submission,
    tile_wants,
    trust_file,
)
from webapp.api_answers import answer, answer_json, handle_errors
from webapp.api_trust import repository_of
from webapp.center import Center, current_center
from webapp.extensions import limiter
from webapp.models import Gateway, LiveSample, LogEntry
from webapp.request_signatures import RequestRefusedError, SignedMessage, Signer, verify_request

blueprint = Blueprint("api", __name__, url_prefix="/api/v1")
handle_errors(blueprint)

PULLED_KINDS = ("declare", "review", "ledger", "lab", "month")
DEVICE_KINDS = ("segment", "event")
"""What a gateway needs of the other devices of its plant, to recompute a month that stands on all of them."""
PULL_ITEMS = 200
WANTS = 50
LIVE_SAMPLES = 1000
"""Live values in one message: a gateway sends the newest one of each channel."""
LIVE_KEPT = timedelta(hours=48)
LIVE_AHEAD = timedelta(minutes=5)
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_CHANNEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,63}\Z")


def _gateway_limit() -> str:
    return f"{current_center().settings.limits.gateway_per_minute}/minute"


def _enrol_limit() -> str:
    return f"{current_center().settings.limits.login_per_minute}/minute"


def signed(view: Callable[..., Response]) -> Callable[..., Response]:
    """Let a request in only when a gateway signed it; sets `g.gateway`."""

    @wraps(view)
    def checked(*args: Any, **kwargs: Any) -> Response:
        center = current_center()
        message = SignedMessage(request.method, _target(center), _headers(), request.get_data())
        with center.database.reading() as session:
            signer = verify_request(message, find_key=lambda kid: store_keys.find(session, kid), now=center.now())
        if request.method == "POST" and request.mimetype != "application/json":
            raise UnsupportedMediaType("a message has the content type application/json")
        g.gateway = _admit(center, signer)
        return view(*args, **kwargs)

    return checked


def _admit(center: Center, signer: Signer) -> Gateway:
    if GATEWAY not in signer.entry.roles:
        raise RequestRefusedError("ROLE", "this key is not a gateway's")
    with center.database.writing() as session:
        store_keys.forget_nonces(session, center.now())
        if not store_keys.burn(session, signer.entry.kid, signer.nonce, signer.expires):
            raise RequestRefusedError("NONCE_USED", "this request was received before; sign a new one")
        gateway = store_plants.find_gateway(session, signer.entry.owner_id)
        if gateway is None:
            raise RequestRefusedError("ROLE", f"there is no gateway {signer.entry.owner_id}")
        store_plants.note_seen(session, gateway.id, center.now())
        return gateway


def _target(center: Center) -> str:
    """The address as the gateway wrote it: behind a proxy only the settings know its beginning."""
    start = center.settings.web.public_url.rstrip("/") or request.host_url.rstrip("/")
    raw = request.environ.get("RAW_URI") or request.environ.get("REQUEST_URI") or request.full_path.rstrip("?")
    return start + str(raw)


def _headers() -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        headers[name.lower()] = f"{headers[name.lower()]}, {value}" if name.lower() in headers else value
    return headers


# --- enrolment -------------------------------------------------------------------------------------


@blueprint.post("/enrol/start")
@limiter.limit(_enrol_limit)
def enrol_start() -> Response:
    """Answer a one-time code with a nonce and what the gateway must know of its plant."""
    center = current_center()
    fields = Fields(parse(request.get_data()))
    code = fields.text("code")
    fields.end()
    invitation = enrolment.start(center, code)
    with center.database.reading() as session:
        plan = store_contents.data(session, invitation.plant.id, invitation.plant.plan_sha256) or b"{}"
        epoch = store_plants.newest_epoch(session, invitation.gw) + 1
    return answer_json(
        {
            "nonce": invitation.nonce,
            "gw": invitation.gw,
            "epoch": epoch,
            "plant": invitation.plant.id,
            "plan": strict_json(plan),
            "origin": center.log.origin,
            "log_vkey": center.log.vkey.text,
            "sm2": invitation.plant.sm2_from is not None,
        }
    )


@blueprint.post("/enrol/finish")
@limiter.limit(_enrol_limit)
def enrol_finish() -> Response:
    """Take the enrolment statement; answer with the approval, receipts and the trust file."""
    center = current_center()
    fields = Fields(parse(request.get_data()))
    code, statement, sm2 = fields.text("code"), fields.text("statement"), fields.optional_text("sm2")
    fields.end()
    done = enrolment.finish(center, code, statement, sm2)
    with center.database.reading() as session:
        trust = trust_file.trust_of(center, session).to_json()
    enrolled: dict[str, Any] = {"approve": done.approve, "receipts": list(done.receipts), "trust": trust}
    repository = repository_of(center)
    if repository.is_published:
        enrolled["trust_root"] = repository.root_file().decode("utf-8")
    return answer_json(enrolled)


# --- statements ------------------------------------------------------------------------------------


@blueprint.post("/statements")
@limiter.limit(_gateway_limit)
@signed
def push() -> Response:
    """Log a batch of statements, oldest first; each is answered on its own."""
    center = current_center()
    message = Push.from_json(request.get_data())
    if len(message.items) > center.settings.limits.batch_items:
        abort(413, f"at most {center.settings.limits.batch_items} statements in one batch")
    return answer(PushResult(tuple(submission.submit(center, message.items))).to_json())


@blueprint.get("/pull")
@limiter.limit(_gateway_limit)
@signed
def pull() -> Response:
    """Give what was logged about the gateway's plant by others, the files it names, and tiles asked for."""
    center = current_center()
    after = _number("after", -1)
    challenges.fix_due(center, g.gateway.plant)
    with center.database.reading() as session:
        # What waits for cosignatures is given when it has a receipt.
        size = center.log.shown_size(session)
        rows = [row for row in _pulled_rows(session, after) if row.idx < size]
        receipts = center.log.receipts(session, [row.idx for row in rows])
        items = tuple(
            PulledItem(row.idx, row.jws, receipt.to_text())
            for row, receipt in zip(rows, receipts, strict=True)
            if receipt is not None
        )
        digests = {subject["sha256"] for row in rows for subject in parse_envelope(row.jws).payload.get("subjects", ())}
        if after < 0:
            plant = store_plants.find(session, g.gateway.plant)
            digests |= {plant.plan_sha256, plant.parameters_sha256} if plant is not None else set()
        sizes = store_contents.sizes(session, digests)
        wants = store_readings.open_wants(session, g.gateway.id, WANTS)
    result = PullResult(
        items,
        rows[-1].idx if len(rows) == PULL_ITEMS else max(size - 1, 0),
        tuple(ContentRef(sha256, sizes[sha256]) for sha256 in sorted(sizes)),
        tuple(TileWanted(want.id, want.epoch, want.tile) for want in wants),
    )
    return answer(result.to_json())


# --- contents --------------------------------------------------------------------------------------


def _pulled_rows(session: Session, after: int) -> list[LogEntry]:
    plant, epoch = g.gateway.plant, _number("epoch", -1)
    rows = store_log.plant_entries(session, plant, kinds=PULLED_KINDS, after=after, limit=PULL_ITEMS)
    if epoch >= 0:
        rows += store_log.device_entries_of_others(
            session, plant, g.gateway.id, epoch, kinds=DEVICE_KINDS, after=after, limit=PULL_ITEMS
        )
    return sorted(rows, key=lambda row: row.idx)[:PULL_ITEMS]


def _number(name: str, default: int) -> int:
    number: int = request.args.get(name, default, type=int)
    if abs(number) > MAX_SAFE_INTEGER:
        abort(422, f"{name} is no number of this protocol")
    return number


@blueprint.get("/content/<sha256>")
@limiter.limit(_gateway_limit)
@signed
def get_content(sha256: str) -> Response:
    """Give a file of the gateway's plant."""
    with current_center().database.reading() as session:
        row = store_contents.find(session, g.gateway.plant, sha256)
    if row is None:
        abort(404, f"no file {sha256[:12]} of plant {g.gateway.plant}")
    return Response(row.data, content_type=row.type)


@blueprint.put("/content/<sha256>")
@limiter.limit(_gateway_limit)
@signed
def put_content(sha256: str) -> Response:
    """Take a file; its name is its digest, its type is told by its bytes."""
    center = current_center()
    data = request.get_data()
    if not _SHA256.match(sha256) or sha256_hex(data) != sha256:
        raise EvidenceError(Code.CONTENT_HASH, f"the bytes are not those of {sha256[:12]}")
    claimed = request.mimetype
    if not content_types.is_claim_right(claimed, data):
        abort(415, f"the file is not {claimed}, or is of a type that is not taken")
    with center.database.writing() as session:
        store_contents.add(session, g.gateway.plant, sha256, claimed, data, center.now())
    return answer_json({"sha256": sha256, "size": len(data)}, 201)


# --- raw tiles and live values ---------------------------------------------------------------------


@blueprint.post("/tiles")
@limiter.limit(_gateway_limit)
@signed
def tiles() -> Response:
    """Take the raw readings of a tile that somebody asked for, when they prove themselves, or why there are none."""
    center = current_center()
    message = read_tile(request.get_data())
    if isinstance(message, TileRefusal):
        with center.database.writing() as session:
            tile_wants.refuse(session, g.gateway.id, g.gateway.plant, message, center.now())
        return answer_json({"id": message.id, "status": "refused"})
    try:
        with center.database.writing() as session:
            tile_wants.take(session, g.gateway.id, g.gateway.plant, message, center.now())
    except EvidenceError as error:
        with center.database.writing() as session:
            tile_wants.note_wrong(session, g.gateway.id, message, error, center.now())
        raise
    return answer_json({"id": message.id, "status": "proven"})


@blueprint.post("/live")
@limiter.limit(_gateway_limit)
@signed
def live() -> Response:
    """Take live values of declared channels for the plant page; kept two days, never evidence."""
    center = current_center()
    message = Live.from_json(request.get_data())
    if len(message.samples) > LIVE_SAMPLES:
        abort(413, f"at most {LIVE_SAMPLES} live values in one message")
    now = center.now()
    rows = [row for sample in message.samples if (row := _live_row(sample, now)) is not None]
    with center.database.reading() as session:
        units = _declared_units(session, {row.channel for row in rows})
    rows = [row for row in rows if units.get(row.channel) == row.unit]
    with center.database.writing() as session:
        _keep_live(session, rows, now)
    return answer_json({"kept": len(rows)})


def _live_row(sample: Any, now: datetime) -> LiveSample | None:
    time = parse_time(sample.time)
    if sample.value is not None:
        parse_decimal(sample.value)
    is_good = _CHANNEL.match(sample.channel) and sample.flag in set(Flag) and len(sample.unit) <= 32
    if not is_good or len(sample.value or "") > 64:
        raise EvidenceError(Code.SCHEMA, f"live value of {sample.channel[:64]!r} is malformed")
    if not now - LIVE_KEPT <= time <= now + LIVE_AHEAD:
        return None
    return LiveSample(
        plant=g.gateway.plant,
        channel=sample.channel,
        time=time,
        value=sample.value,
        unit=sample.unit,
        flag=sample.flag,
        gw=g.gateway.id,
    )


def _declared_units(session: Session, channels: Iterable[str]) -> dict[str, str]:
    """Look up the unit that the gateway declared last for each of these channels, where it did."""
    units = {}
    for channel in channels:
        declared = store_log.newest_declaration(session, g.gateway.plant, channel, g.gateway.id)
        if declared is not None:
            units[channel] = str(parse_envelope(declared.jws).payload["data"]["unit"])
    return units


def _keep_live(session: Session, rows: list[LiveSample], now: datetime) -> None:
    store_readings.add_live(session, rows)
    store_readings.forget_live(session, now - LIVE_KEPT)
