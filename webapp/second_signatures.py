"""Second signatures at the centre: asked for where the plant's policy says so, checked when they come, and kept.

The log holds the statement alone; the second signature stands beside it and goes into the bundle.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from evidence.errors import Code, EvidenceError
from evidence.sm2 import Sm2LibraryMissingError, sm2_library, verify_sm2
from evidence.statement import Statement
from evidence.verify_month import Signed
from evidence.verify_sm2 import asks_for_second, check_second, signing_input
from webapp import store_log, store_plants, store_users
from webapp.center import Center
from webapp.errors import CenterError
from webapp.models import Plant, SecondSignature


def check(plant: Plant | None, signed: Signed, index: int, sm2: str | None) -> None:
    """Check a statement that would become entry `index`; nothing where nobody asks.

    Raises:
        EvidenceError: ``SM2_MISSING``, ``SIGNATURE`` or ``ENCODING``.
    """
    if plant is None or not asks_for_second(store_plants.entry(plant), signed.statement, index):
        return
    if sm2 is None:
        raise EvidenceError(Code.SM2_MISSING, f"plant {plant.id} signs twice, and the second signature did not come")
    try:
        check_second(signed, _bytes(sm2))
    except Sm2LibraryMissingError as error:
        raise EvidenceError(Code.SM2_MISSING, f"the centre cannot judge it: {error}") from error


def check_possession(statement: Statement, sm2: str | None) -> None:
    """Check that whoever enrols a second key holds it: it signs the enrolment, too.

    Raises:
        EvidenceError: ``SM2_MISSING``, ``SIGNATURE`` or ``ENCODING``.
    """
    public = statement.payload.get("sm2")
    if public is None:
        return
    if sm2 is None:
        raise EvidenceError(Code.SM2_MISSING, "a second key proves itself by a second signature", statement.sid)
    try:
        verify_sm2(public, _bytes(sm2), signing_input(statement.jws))
    except Sm2LibraryMissingError as error:
        raise EvidenceError(Code.SM2_MISSING, f"the centre cannot judge it: {error}", statement.sid) from error


def keep(session: Session, statement: Statement, sm2: str | None) -> None:
    """Keep the second signature of a statement that is being logged; it was checked where it is asked for."""
    plant = store_plants.find(session, statement.plant) if sm2 is not None else None
    if sm2 is not None and plant is not None and plant.sm2_from is not None and "gw" in statement.payload:
        session.add(SecondSignature(sid=statement.sid, plant=statement.plant, data=_bytes(sm2)))


def of_statements(session: Session, sids: Iterable[str]) -> dict[str, bytes]:
    """Get the second signatures of some statements."""
    rows = session.scalars(select(SecondSignature).where(SecondSignature.sid.in_(list(sids))))
    return {row.sid: row.data for row in rows}


def ask(center: Center, plant: str, *, is_wanted: bool) -> int | None:
    """Ask a plant's gateways for second signatures from the next log entry on, or never more; gives that entry.

    Raises:
        CenterError: no such plant, or this centre could not judge them.
    """
    if is_wanted:
        try:
            sm2_library()
        except Sm2LibraryMissingError as error:
            raise CenterError(
                "国密签名功能未安装；请安装 cunzheng[sm2]", "SM2 needs an extra; install cunzheng[sm2]", exit_code=3
            ) from error
    with center.database.writing() as session:
        row = store_plants.find(session, plant)
        if row is None:
            raise CenterError(f"没有企业 {plant}；请先添加", f"there is no plant {plant}; add it first")
        if is_wanted and row.sm2_from is None:
            row.sm2_from = store_log.size_of(session)
        elif not is_wanted:
            row.sm2_from = None
        act = "plant-sm2" if is_wanted else "plant-no-sm2"
        store_users.note_act(session, at=center.now(), actor="cli", action=act, object_=plant, plant=plant)
        return row.sm2_from


def _bytes(sm2: str) -> bytes:
    try:
        return bytes.fromhex(sm2)
    except ValueError as error:
        raise EvidenceError(Code.ENCODING, "a second signature is hexadecimal") from error
