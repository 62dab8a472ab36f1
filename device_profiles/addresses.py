"""Five ways to write one register, one way on the wire.

wire0     the address on the wire, from 0
number1   the register number, from 1
plc5      40001 holding, 30001 input, 10001 discrete, 1 coil
plc6      400001 holding, 300001 input, 100001 discrete, 1 coil
"""

from __future__ import annotations

from .model import Table

HIGHEST = 65535
_TABLE_OF_DIGIT = {0: Table.COIL, 1: Table.DISCRETE, 3: Table.INPUT, 4: Table.HOLDING}


def wire_address(written: int, base: str, table: Table | None) -> tuple[Table, int]:
    """Find table and wire address; a plc number names its table itself.

    Raises: ValueError with the reason.
    """
    if base in ("plc5", "plc6"):
        unit = 10_000 if base == "plc5" else 100_000
        digit, number = divmod(written, unit)
        named = _TABLE_OF_DIGIT.get(digit)
        if named is None or number < 1:
            raise ValueError(f"{written} is no {base} address")
        if table is not None and table is not named:
            raise ValueError(f"{written} is in table {named.value}, not {table.value}")
        return named, number - 1
    if table is None:
        table = Table.HOLDING
    address = written - 1 if base == "number1" else written
    if not 0 <= address <= HIGHEST:
        raise ValueError(f"{written} is outside the address range of {base}")
    return table, address
