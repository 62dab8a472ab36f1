"""The trust bundle for anyone: `/trust/<file>`, the same files that a USB stick carries.

Whoever asks for the timestamp gets one that is not older than a day: the centre signs it anew with its own key. The
offline signatures are never made here.
"""

from __future__ import annotations

import logging

from flask import Blueprint, Response, abort

from webapp import keyfile, trust_file
from webapp.api_answers import handle_errors
from webapp.center import Center, current_center
from webapp.errors import CenterError
from webapp.extensions import limiter
from webapp.trust_repository import TIMESTAMP, TrustRepository

logger = logging.getLogger(__name__)
blueprint = Blueprint("trust", __name__)
handle_errors(blueprint)
_FOREVER = "public, max-age=31536000, immutable"
_BRIEFLY = "public, max-age=5"


def _public_limit() -> str:
    return f"{current_center().settings.limits.public_per_minute}/minute"


def repository_of(center: Center) -> TrustRepository:
    """The trust bundle of a centre."""
    return TrustRepository(center.settings.trust_dir)


def refresh(center: Center) -> bool:
    """Sign registry, snapshot and timestamp anew where that is due; says whether it was.

    Raises:
        NotReadyError: there is no bundle, or its online key is gone.
    """
    repository = repository_of(center)
    online = keyfile.read(center.settings.trust_key_file)
    with repository.locked():
        with center.database.reading() as session:
            trust = trust_file.trust_of(center, session)
        return repository.refresh(trust, online, center.now())


@blueprint.get("/trust/<path:name>")
@limiter.limit(_public_limit)
def file(name: str) -> Response:
    """Give a file of the bundle."""
    center = current_center()
    repository = repository_of(center)
    if not repository.is_published:
        abort(404, "this centre has no trust bundle; use /trust.json")
    if name == TIMESTAMP:
        try:
            refresh(center)
        except (CenterError, OSError) as error:
            # What is published is still as good as its own dates say.
            logger.error("trust bundle not renewed error=%s", error)
    data = repository.read(name)
    if data is None:
        abort(404, "no such file in the trust bundle")
    response = Response(data, content_type="application/json")
    response.headers["Cache-Control"] = _BRIEFLY if name == TIMESTAMP else _FOREVER
    return response
