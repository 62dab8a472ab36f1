"""The file that says: this log comes from a backup, and nobody has said yet that it is the newest.

It lies in the log's folder from before the first restored row is there until `center confirm`.
"""

from __future__ import annotations

import json
from pathlib import Path

from webapp.errors import LogRefusedError
from webapp.tile_files import write_durably


def mark_file(folder: Path) -> Path:
    """The mark of a log's folder."""
    return folder / "restored.json"


def mark(folder: Path, *, size: int, made: str | None = None) -> None:
    """Say that the log was restored from a backup of this size and, if known, time."""
    write_durably(mark_file(folder), json.dumps({"size": size, "made": made}).encode())


def is_restored(folder: Path) -> bool:
    """Tell whether a restore waits to be confirmed."""
    return mark_file(folder).exists()


def require_confirmed(folder: Path) -> None:
    """Refuse a restored log that nobody confirmed.

    Raises:
        LogRefusedError: it waits to be confirmed.
    """
    try:
        restored = json.loads(mark_file(folder).read_bytes())
    except FileNotFoundError:
        return
    zh, en = (f"（备份于 {made}）", f" (backup of {made})") if (made := restored["made"]) else ("", "")
    raise LogRefusedError(
        f"本中心的日志（{restored['size']} 条）是恢复的{zh}，确认之前不签名；"
        "请用最新的检查点运行 cunzheng center confirm",
        f"the log of this centre ({restored['size']} entries) was restored{en} and signs nothing until that is "
        "confirmed; run cunzheng center confirm with the newest checkpoint",
    )
