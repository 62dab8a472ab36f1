"""The log for those who check the centre: checkpoint, tiles of hashes and the trust file for anyone.

Entries tiles hold the statements of all plants, with what they produced: they are for those who may see all plants.
"""

from __future__ import annotations

from flask import Blueprint, Response, abort
from flask_login import current_user

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
    """Give a tile of hashes, or to some a tile of entries, as far as it is published."""
    log = current_center().log
    published = log.published()
    try:
        wanted = Tile.parse(f"tile/{rest}")
    except EvidenceError:
        abort(404, "no such tile")
    if wanted.level == ENTRIES:
        _check_reader()
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
    response.headers["Cache-Control"] = "no-store" if wanted.level == ENTRIES else _FOREVER
    return response


def _check_reader() -> None:
    if not current_user.is_authenticated:
        abort(401, "tiles of entries are for those who are logged in; tiles of hashes are for anyone")
    if not current_user.may_see_all:
        abort(403, "tiles of entries hold the statements of all plants; they are for administrators and the nation")


@blueprint.get("/trust.json")
@limiter.limit(_public_limit)
def trust() -> Response:
    """Give the trust file: log key, registry and plants as of now."""
    center = current_center()
    with center.database.reading() as session:
        response = answer_json(trust_file.trust_of(center, session).to_json())
    response.headers["Cache-Control"] = _BRIEFLY
    return response
