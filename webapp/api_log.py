"""The public side of the log: checkpoint, tiles and the trust file, for anyone who checks the centre."""

from __future__ import annotations

from flask import Blueprint, Response, abort

from evidence.errors import EvidenceError
from evidence.tiles import TILE_HEIGHT, TILE_WIDTH, Tile
from webapp import trust_file
from webapp.api_answers import answer_json, handle_errors
from webapp.center import current_center
from webapp.extensions import limiter
from webapp.tile_files import ENTRIES

blueprint = Blueprint("log", __name__)
handle_errors(blueprint)
_FOREVER = "public, max-age=31536000, immutable"
_BRIEFLY = "public, max-age=5"


def _public_limit() -> str:
    return f"{current_center().settings.limits.public_per_minute}/minute"


@blueprint.get("/log/checkpoint")
@limiter.limit(_public_limit)
def checkpoint() -> Response:
    """Give the newest published checkpoint."""
    published = current_center().log.published()
    if published is None:
        abort(404, "the log is empty")
    response = Response(published.note, content_type="text/plain; charset=utf-8")
    response.headers["Cache-Control"] = _BRIEFLY
    return response


@blueprint.get("/log/tile/<path:rest>")
@limiter.limit(_public_limit)
def tile(rest: str) -> Response:
    """Give a tile of hashes or of entries, as far as it is published."""
    log = current_center().log
    published = log.published()
    try:
        wanted = Tile.parse(f"tile/{rest}")
    except EvidenceError:
        abort(404, "no such tile")
    level = max(wanted.level, 0)
    available = 0 if published is None else published.size >> TILE_HEIGHT * level
    if wanted.number * TILE_WIDTH + wanted.width > available:
        abort(404, "this tile is not published yet")
    try:
        if wanted.level == ENTRIES:
            data = log.tiles.read_entries(wanted.number, wanted.width)
        else:
            data = log.tiles.read(wanted)
    except FileNotFoundError:
        abort(404, "no such tile")
    response = Response(data, content_type="application/octet-stream")
    response.headers["Cache-Control"] = _FOREVER
    return response


@blueprint.get("/trust.json")
@limiter.limit(_public_limit)
def trust() -> Response:
    """Give the trust file: log key, registry and plants as of now."""
    center = current_center()
    with center.database.reading() as session:
        response = answer_json(trust_file.trust_of(center, session).to_json())
    response.headers["Cache-Control"] = _BRIEFLY
    return response
