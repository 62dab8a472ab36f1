"""When things were signed (C1 step 11): each statement's time lies between its anchor and its place in the log.

The times come from outside the plant: cosignatures of witnesses and, where there are any, time-stamps. A log without
either says nothing of time, and then nothing is said here. A statement that came late is marked, not refused: a
gateway without a network stores and forwards.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from evidence.case import Case
from evidence.encoding import parse_time, time_text
from evidence.errors import Code, EvidenceError
from evidence.note import Checkpoint, parse_checkpoint
from evidence.receipt import Receipt
from evidence.stamp import StampLibraryMissingError, stamped_at
from evidence.timeline import Mark, Timeline, cosigned_at
from evidence.verdict import Verdict
from evidence.verify_month import Signed
from evidence.verify_statements import as_text

CLOCK_TOLERANCE = timedelta(minutes=5)
"""As far as the signer's clock may be off against the witnesses'."""
LATE_AFTER = timedelta(hours=24)
"""A statement that is shown to be in the log only so long after its own time was committed late."""
OVERDUE_AFTER = timedelta(days=30)
"""A statement that has no receipt so long after its own time should have one."""


def check_times_of_log(case: Case) -> None:
    """Checkpoints and time-stamps hold, and the statements' times fit between them."""
    checkpoints = _checkpoints(case)
    marks = [*_cosigned(case, checkpoints), *_stamped(case, checkpoints)]
    _check_anchors(case, checkpoints)
    timeline = Timeline(marks)
    late: dict[str, list[tuple[timedelta, Signed]]] = defaultdict(list)
    for one in case.signed:
        if one.index is None:
            _check_overdue(case, one)
        elif marks:
            with case.examining("between", one.sid):
                delay = check_between(one, one.index, timeline)
                if delay is not None and delay > LATE_AFTER:
                    late[one.signer.owner_id].append((delay, one))
    for owner, found in sorted(late.items()):
        delay, worst = max(found, key=lambda pair: (pair[0], pair[1].sid))
        words = f"{len(found)} statements of {owner} are shown to be logged only later, the latest {_hours(delay)} h"
        case.findings.add(Code.LATE_COMMITMENT, f"{words} after its own time", worst.sid)


def check_between(signed: Signed, index: int, timeline: Timeline) -> timedelta | None:
    """Check a statement's time against anchor and log; return how much later it is shown to be logged.

    Raises:
        EvidenceError: ``TIME_CONTRADICTION``.
    """
    said = parse_time(signed.payload["t"])
    anchor = signed.payload.get("anchor")
    after = None if anchor is None else timeline.last_before(anchor["size"])
    if anchor is not None and after is not None and said < after - CLOCK_TOLERANCE:
        words = f"signed at {signed.payload['t']}, yet it knows a log of {anchor['size']} cosigned {time_text(after)}"
        raise EvidenceError(Code.TIME_CONTRADICTION, words, signed.sid)
    before = timeline.first_with(index)
    if before is None:
        return None
    if said > before + CLOCK_TOLERANCE:
        words = f"signed at {signed.payload['t']}, yet the log had it by {time_text(before)}"
        raise EvidenceError(Code.TIME_CONTRADICTION, words, signed.sid)
    return before - said


def _checkpoints(case: Case) -> dict[int, list[Checkpoint]]:
    """Gather the checkpoints of good receipts and those held beside them; two different of one size contradict."""
    notes: dict[str, str] = {}
    for one in case.signed:
        if one.index is not None:
            notes.setdefault(Receipt.from_text(as_text(case.bundle.proofs[one.sid])).checkpoint, "")
    found: dict[int, list[Checkpoint]] = defaultdict(list)
    for name in sorted(case.bundle.checkpoints, key=int):
        with case.examining("checkpoint"):
            note = as_text(case.bundle.checkpoints[name])
            checkpoint = parse_checkpoint(note)
            if str(checkpoint.size) != name:
                raise EvidenceError(Code.BUNDLE_FORMAT, f"file {name} holds a checkpoint of {checkpoint.size}")
            cosigned_at(note, case.trust)
            notes.setdefault(note, name)
    for note in notes:
        checkpoint = parse_checkpoint(note)
        others = found[checkpoint.size]
        if any(other.root != checkpoint.root for other in others):
            case.findings.add(Code.LOG_EQUIVOCATION, f"the log signed two different trees of {checkpoint.size} entries")
        others.append(checkpoint)
    return found


def _cosigned(case: Case, checkpoints: dict[int, list[Checkpoint]]) -> Iterable[Mark]:
    for size, same in checkpoints.items():
        for checkpoint in same:
            try:
                time = cosigned_at(checkpoint.note, case.trust)
            except EvidenceError as error:  # a witness states a time that no calendar has
                case.findings.catch(error)
                continue
            if time is not None:
                yield Mark(size, time, is_cosigned=True)


def _stamped(case: Case, checkpoints: dict[int, list[Checkpoint]]) -> list[Mark]:
    stamps = case.bundle.stamps
    if stamps and not case.trust.tsa:
        words = f"{len(stamps)} time-stamps, and no stamping authority is trusted: they were not looked at"
        case.findings.add(Code.TSA_FAIL, words, None, Verdict.VALID_WITH_WARNINGS)
        return []
    marks = []
    for name in sorted(stamps, key=int):
        try:
            with case.examining("stamp"):
                marks.append(Mark(int(name), _stamp_time(case, name, checkpoints), is_cosigned=False))
        except StampLibraryMissingError:
            words = f"{len(stamps)} time-stamps were not looked at: install cunzheng[tsa]"
            case.findings.add(Code.TSA_FAIL, words, None, Verdict.VALID_WITH_WARNINGS)
            break
    return marks


def _stamp_time(case: Case, name: str, checkpoints: dict[int, list[Checkpoint]]) -> datetime:
    if int(name) not in checkpoints:
        raise EvidenceError(Code.TSA_FAIL, f"the checkpoint of {name} that is stamped is not here")
    note = checkpoints[int(name)][0].note
    text = note[: note.rindex("\n\n") + 1]
    return stamped_at(case.bundle.stamps[name], text, case.trust.tsa)


def _check_anchors(case: Case, checkpoints: dict[int, list[Checkpoint]]) -> None:
    """An anchor is a checkpoint that this log has signed."""
    for one in case.signed:
        anchor = one.payload.get("anchor")
        if anchor is None:
            continue
        for checkpoint in checkpoints.get(anchor["size"], []):
            if checkpoint.root.hex() != anchor["root"]:
                words = f"anchored to another tree of {anchor['size']} entries than the log has signed"
                case.findings.add(Code.LOG_EQUIVOCATION, words, one.sid)


def _check_overdue(case: Case, signed: Signed) -> None:
    """A statement waits for its receipt no longer than a gateway can be without a network."""
    if signed.sid not in case.bundle.proofs and case.now - parse_time(signed.payload["t"]) > OVERDUE_AFTER:
        words = f"signed at {signed.payload['t']}, and the log still does not have it"
        case.findings.add(Code.PENDING_OVERDUE, words, signed.sid)


def _hours(delay: timedelta) -> int:
    return round(delay / timedelta(hours=1))
