"""Which captured values belonged to a month when it was declared: the log's order decides.

Segments are pinned by the cover, captured values are not. Recomputing a declared body therefore takes
the ledger statements that stood in the log before the technician's declaration. Where the place of a
statement in the log is unknown, its own clock stands in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from evidence.statement import Statement


def as_declared(
    statements: Iterable[Statement], declaration: Statement, log_index: Mapping[str, int]
) -> list[Statement]:
    """Leave out the ledger statements that came after a declaration; keep everything else."""
    return [
        statement
        for statement in statements
        if statement.kind != "ledger" or _is_before(statement, declaration, log_index)
    ]


def _is_before(statement: Statement, declaration: Statement, log_index: Mapping[str, int]) -> bool:
    if statement.sid in log_index and declaration.sid in log_index:
        return log_index[statement.sid] < log_index[declaration.sid]
    return bool(statement.payload["t"] <= declaration.payload["t"])
