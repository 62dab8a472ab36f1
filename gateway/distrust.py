"""A log that was proven to lie is not believed again, whatever it shows later, until a person enrols anew.

The proof is a file that anyone can check alone (`cunzheng verify FILE`); it lies in `evidence/` of the data folder.
"""

from __future__ import annotations

from pathlib import Path

from evidence.encoding import sha256_hex
from evidence.errors import Code
from gateway.logwatch import LogHistoryError
from gateway.rawtile import write_file
from gateway.store import Store
from gateway.writer import Writer

_PROVEN = "log-proven-false"


def keep_evidence(writer: Writer, folder: Path, evidence: bytes) -> Path:
    """Keep the proof, and remember that the log is not to be believed."""
    path = folder / f"{Code.LOG_EQUIVOCATION}-{sha256_hex(evidence)[:12]}.json"
    if not path.exists():
        write_file(path, evidence)
    writer.call(lambda store: store.put(_PROVEN, str(path)))
    return path


def require_trusted(store: Store) -> None:
    """Go on only with a log that was not proven to lie.

    Raises:
        LogHistoryError: it was.
    """
    path = store.get(_PROVEN)
    if path:
        raise LogHistoryError(
            f"中心端日志已被证明出现两个历史，不再信任；证据见 {path}，请上报，核实后重新登记（enrol --again）",
            f"the centre's log was proven to show two histories and is not believed any more; the proof is {path}: "
            "report it, and enrol again (enrol --again) when that is settled",
        )


def trust_again(store: Store) -> None:
    """Begin anew: an enrolment says whom to trust from now on."""
    store.put(_PROVEN, "")
