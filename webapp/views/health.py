"""Whether this process can do its work, for the machine that watches it."""

from __future__ import annotations

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import SQLAlchemyError

from webapp import store_log
from webapp.center import current_center
from webapp.chores import known_damage

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> ResponseReturnValue:
    """Answer 200 when the database answers; names nothing that is not public."""
    try:
        with current_center().database.reading() as db:
            size = store_log.size_of(db)
    except SQLAlchemyError:
        return jsonify(status="database unreachable"), 503
    is_damaged = bool(known_damage(current_center().log.folder))
    return jsonify(status="log damaged; run center check" if is_damaged else "ok", log_size=size)
