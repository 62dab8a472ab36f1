"""What a device statement must agree with in the chain before it: clock, anchor, tree.

`check` comes before the statement is logged, `fold` after: the head of each chain is kept as a row.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from evidence.errors import Code, EvidenceError
from evidence.merkle import verify_consistency
from evidence.statement import Statement
from evidence.verify_month import Signed
from webapp import store_plants
from webapp.models import GatewayChain

EPOCHS_AHEAD = 16
"""How far a new epoch may be ahead of the newest one: so often a gateway may enrol before anything gets through."""


def check_epoch(session: Session, gw: str, epoch: int) -> None:
    """Check that a chain is there or may begin.

    Raises:
        EvidenceError: ``SEQ_REGRESSION``: it is older than the newest, or so far ahead that few could follow it.
    """
    if store_plants.chain(session, gw, epoch) is not None:
        return
    newest = store_plants.newest_epoch(session, gw)
    if epoch <= newest:
        raise EvidenceError(Code.SEQ_REGRESSION, f"epoch {epoch} is older than the newest one")
    if epoch > newest + EPOCHS_AHEAD:
        raise EvidenceError(Code.SEQ_REGRESSION, f"epoch {epoch} is too far ahead of the newest one, {newest}")


def check(session: Session, signed: Signed, consistency: Sequence[str] | None) -> None:
    """Check a statement that is the next of its chain.

    Raises:
        EvidenceError: ``CLOCK_STEP_UNDECLARED``, ``ANCHOR_STALE``, ``RANGE_GAP``,
            ``RANGE_OVERLAP`` or ``CONSISTENCY_FAIL``.
    """
    payload = signed.payload
    head = store_plants.chain(session, payload["gw"], payload["epoch"])
    if head is not None:
        _check_clock(payload["clk"]["boot"], payload["clk"]["mono"], signed.statement, head)
        anchor = payload["anchor"]
        if head.anchor_size and (anchor is None or anchor["size"] < head.anchor_size):
            raise EvidenceError(Code.ANCHOR_STALE, f"the statement before was anchored to a log of {head.anchor_size}")
    if signed.statement.kind == "segment":
        _check_tree(signed.statement, head, consistency)


def _check_clock(boot: str, mono: int, statement: Statement, head: GatewayChain) -> None:
    is_step = statement.kind == "event" and statement.payload["type"] == "clock-step"
    if boot == head.boot and mono < head.mono and not is_step:
        raise EvidenceError(Code.CLOCK_STEP_UNDECLARED, "the monotonic clock ran backwards within one boot")


def _check_tree(statement: Statement, head: GatewayChain | None, consistency: Sequence[str] | None) -> None:
    tree = statement.payload["tree"]
    end = 0 if head is None else head.tree_end
    if tree["start"] != end:
        code = Code.RANGE_GAP if tree["start"] > end else Code.RANGE_OVERLAP
        raise EvidenceError(code, f"the segment starts at reading {tree['start']}, the one before ended at {end}")
    if head is None or not end:
        return
    try:
        path = [bytes.fromhex(text) for text in consistency or ()]
    except ValueError as error:
        raise EvidenceError(Code.CONSISTENCY_FAIL, "the consistency proof is not hexadecimal") from error
    verify_consistency(end, tree["end"], path, bytes.fromhex(head.tree_root), bytes.fromhex(tree["root"]))


def fold(session: Session, statement: Statement) -> GatewayChain:
    """Move the head of the chain to a statement that was logged; gives the head."""
    payload = statement.payload
    old = store_plants.chain(session, payload["gw"], payload["epoch"])
    tree = payload.get("tree")
    anchor = payload["anchor"]
    head = GatewayChain(
        plant=statement.plant,
        gw=payload["gw"],
        epoch=payload["epoch"],
        seq=payload["seq"],
        sid=statement.sid,
        tree_end=tree["end"] if tree else (old.tree_end if old else 0),
        tree_root=tree["root"] if tree else (old.tree_root if old else ""),
        anchor_size=anchor["size"] if anchor else (old.anchor_size if old else 0),
        boot=payload["clk"]["boot"],
        mono=payload["clk"]["mono"],
    )
    return store_plants.save_chain(session, head)
