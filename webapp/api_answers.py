"""How the machine interface answers: JSON, and every error as {code, detail}."""

from __future__ import annotations

import logging
from typing import Any

from flask import Blueprint, Response, current_app
from sqlalchemy.exc import DataError, SQLAlchemyError
from werkzeug.exceptions import HTTPException

from evidence.errors import EvidenceError
from sync import MessageError
from webapp.errors import LogRefusedError, ReceiptAwaitedError
from webapp.request_signatures import RequestRefusedError

logger = logging.getLogger(__name__)
RETRY_SECONDS = "5"


def answer(text: str, status: int = 200) -> Response:
    """Answer with a JSON text."""
    return Response(text, status, content_type="application/json")


def answer_json(value: Any, status: int = 200) -> Response:
    """Answer with a value."""
    return answer(current_app.json.dumps(value), status)


def refusal(status: int, code: str, detail: str) -> Response:
    """Answer with an error."""
    response = answer_json({"code": code, "detail": detail}, status)
    if status in (429, 503):
        response.headers["Retry-After"] = RETRY_SECONDS
    return response


def handle_errors(blueprint: Blueprint) -> None:
    """Turn what a view raises into answers; a fault of ours never shows its insides."""

    @blueprint.errorhandler(RequestRefusedError)
    def _request(error: RequestRefusedError) -> Response:
        return refusal(401, error.code, error.detail)

    @blueprint.errorhandler(EvidenceError)
    def _evidence(error: EvidenceError) -> Response:
        return refusal(422, error.code.value, error.detail)

    @blueprint.errorhandler(MessageError)
    def _message(error: MessageError) -> Response:
        return refusal(400, "MESSAGE", str(error))

    @blueprint.errorhandler(HTTPException)
    def _http(error: HTTPException) -> Response:
        return refusal(error.code or 500, (error.name or "error").upper().replace(" ", "_"), error.description or "")

    @blueprint.errorhandler(DataError)
    def _data(error: DataError) -> Response:
        logger.error("database refuses a value", exc_info=error)
        return refusal(400, "MESSAGE", "a value that the database cannot hold")

    @blueprint.errorhandler(SQLAlchemyError)
    def _database(error: SQLAlchemyError) -> Response:
        logger.error("database failed error=%s", type(error).__name__, exc_info=error)
        return refusal(503, "DATABASE", "the database did not answer; try again")

    @blueprint.errorhandler(OSError)
    def _storage(error: OSError) -> Response:
        logger.error("storage failed error=%s", error.strerror, exc_info=error)
        return refusal(503, "STORAGE", "the centre could not write; try again")

    @blueprint.errorhandler(ReceiptAwaitedError)
    def _awaited(error: ReceiptAwaitedError) -> Response:
        return refusal(503, "RECEIPT_AWAITED", error.en)

    @blueprint.errorhandler(LogRefusedError)
    def _log(error: LogRefusedError) -> Response:
        logger.critical("log refused detail=%s", error.en)
        return refusal(503, "LOG_STOPPED", "the log is stopped; the administrator must look at it")
