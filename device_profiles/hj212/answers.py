"""What the standard wants answered to a packet: 9014 to data, 9013 to a notice, 9011 to a request."""

from __future__ import annotations

from enum import StrEnum

from .edition import table
from .errors import WriteError
from .packet import Packet

_ANSWER_SYSTEM = "91"


class AnswerKind(StrEnum):
    """The answers, by command code."""

    REQUEST = "9011"
    NOTICE = "9013"
    DATA = "9014"


def answer_to(packet: Packet, kind: AnswerKind, *, result: int | None = None) -> Packet:
    """Build the answer to a packet: same QN, ST 91, the Flag of answers, no values.

    `result` is the QnRtn of a request's answer (1 ready, 2 refused, 3 to 9 what was wrong, 100 unknown) and belongs
    to that answer alone.

    Raises: WriteError where the packet has no QN that could be repeated, or `result` does not fit the kind.
    """
    if not packet.qn:
        raise WriteError("an answer repeats the QN, and the packet has none")
    if (kind is AnswerKind.REQUEST) != (result is not None):
        raise WriteError("QnRtn belongs to the answer of a request, and to no other")
    items = () if result is None else ((("QnRtn", str(result)),),)
    return Packet(
        qn=packet.qn,
        st=_ANSWER_SYSTEM,
        cn=kind.value,
        pw=packet.pw,
        mn=packet.mn,
        flag=table(packet.edition).answer_flag,
        pnum=None,
        pno=None,
        is_backfill=False,
        cp="" if result is None else f"QnRtn={result}",
        items=items,
        edition=packet.edition,
    )
