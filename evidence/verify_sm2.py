"""Second signatures (B7): there where a plant's policy asks for them, good, and nowhere else.

Asked for is every statement that a gateway of the plant signs, from the log index on that the registry names.
"""

from evidence.case import Case
from evidence.errors import Code, EvidenceError
from evidence.registry import PlantEntry
from evidence.sm2 import Sm2LibraryMissingError, verify_sm2
from evidence.statement import Statement
from evidence.verify_month import Signed


def asks_for_second(plant: PlantEntry, statement: Statement, index: int | None) -> bool:
    """Tell whether a plant's policy wants a statement signed twice; one that is not logged yet counts as new."""
    is_new = plant.sm2_from is not None and (index is None or index >= plant.sm2_from)
    return is_new and "gw" in statement.payload


def check_second_signatures(case: Case) -> None:
    """Every second signature that a policy asks for is here and good, and there is no other."""
    asked = [one for one in case.signed if _asks(case, one)]
    try:
        for one in asked:
            with case.examining("sm2", one.sid):
                _check(case, one)
    except Sm2LibraryMissingError as error:
        case.findings.add(Code.SM2_MISSING, f"{len(asked)} second signatures could not be judged: {error}")
    for sid in sorted(set(case.bundle.sm2) - {one.sid for one in asked}):
        with case.examining("sm2"):
            case.findings.add(Code.CONTENT_EXTRA, "a second signature that no plant's policy asks for", sid)


def _asks(case: Case, one: Signed) -> bool:
    plant = case.trust.registry.plants.get(one.statement.plant)
    return plant is not None and asks_for_second(plant, one.statement, one.index)


def _check(case: Case, one: Signed) -> None:
    if one.sid not in case.bundle.sm2:
        raise EvidenceError(Code.SM2_MISSING, "the second signature is not here", one.sid)
    check_second(one, case.bundle.sm2[one.sid])


def check_second(one: Signed, signature: bytes) -> None:
    """Check a second signature against the key that the registry gives beside the first.

    Raises:
        EvidenceError: ``SM2_MISSING`` (no such key), ``SIGNATURE``, ``ENCODING``.
        Sm2LibraryMissingError: the library is not there.
    """
    if one.signer.sm2 is None:
        raise EvidenceError(Code.SM2_MISSING, f"the registry has no SM2 key beside {one.signer.kid[:12]}", one.sid)
    try:
        verify_sm2(one.signer.sm2, signature, signing_input(one.statement.jws))
    except EvidenceError as error:
        raise EvidenceError(error.code, error.detail, one.sid) from error


def signing_input(jws: str) -> bytes:
    """Return what both signatures are over: header and payload as they stand in the JWS."""
    return jws.rpartition(".")[0].encode("ascii")
