"""The mark of a restored log: nothing is signed before an operator has said which checkpoint is the newest.

A backup cannot know what was signed after it. If the log went on from an old one, there would be two checkpoints of
one size: a fork. So a restored centre stands still until the newest checkpoint seen elsewhere (a copy of the old log
folder, a receipt, a bundle) is shown to lie inside it, or the operator gives the number of entries as a word for that.
"""

from __future__ import annotations

from pathlib import Path

from evidence.bundle import read_bundle
from evidence.errors import EvidenceError
from evidence.note import Checkpoint, NoteKey, verify_checkpoint
from evidence.receipt import HEADER, Receipt
from evidence.tiles import TileTree
from webapp import store_log, store_users
from webapp.center import Center
from webapp.errors import CenterError, LogRefusedError
from webapp.restored_mark import is_restored, mark_file
from webapp.tile_files import sync_path

_ZIP = b"PK\x03\x04"


def newest_of(file: Path, log: NoteKey) -> Checkpoint:
    """Read the checkpoint that a checkpoint file, a receipt or a bundle stands on, signed by this log.

    Raises:
        CenterError: the file holds none, or another log's.
    """
    try:
        data = file.read_bytes()
        if data.startswith(_ZIP):
            with file.open("rb") as stream:
                proofs = read_bundle(stream).proofs.values()
                notes = {Receipt.from_text(proof.decode("utf-8")).checkpoint for proof in proofs}
        else:
            text = data.decode("utf-8")
            notes = {Receipt.from_text(text).checkpoint if text.startswith(HEADER) else text}
        return max((verify_checkpoint(note, log) for note in notes), key=lambda one: one.size)
    except OSError as error:
        raise CenterError(
            f"无法读取 {file}：{error.strerror}", f"cannot read {file}: {error.strerror}", exit_code=3
        ) from error
    except (EvidenceError, ValueError) as error:
        raise CenterError(
            f"{file} 中没有本日志 {log.name} 签名的检查点（{error}）；请给出检查点、回执或证据包文件",
            f"{file} holds no checkpoint signed by log {log.name} ({error}); name a checkpoint, receipt or bundle",
            exit_code=3,
        ) from error


def confirm(center: Center, *, newest: Checkpoint | None = None, accepted_size: int | None = None) -> int:
    """Let a restored log go on, if nothing beyond it was ever published; gives its size.

    Raises:
        CenterError: nothing waits to be confirmed, or the number is not that of the log.
        LogRefusedError: the newest checkpoint is not inside the restored log; going on would fork it.
    """
    if not is_restored(center.log.folder):
        raise CenterError("没有待确认的恢复", "there is no restore that waits to be confirmed")
    with center.database.writing() as session:
        size = store_log.take_turn(session)
        if newest is None:
            _require_number(size, accepted_size)
            said = f"accepted size {size}"
        else:
            _require_inside(center, size, newest)
            said = f"newest checkpoint {newest.size}"
        store_users.note_act(session, at=center.now(), actor="cli", action="log-confirm", object_=said)
    mark_file(center.log.folder).unlink(missing_ok=True)
    sync_path(center.log.folder)
    return size


def confirm_by_witnesses(center: Center) -> int | None:
    """Ask the witnesses for the newest checkpoint: they know it by themselves; gives the log's size when that is so.

    It is so when those that say nothing newer was seen leave too few for a quorum: no receipt beyond can exist then.
    None when too few answered.

    Raises:
        CenterError: nothing waits to be confirmed.
        LogRefusedError: a witness saw a larger log, or another history.
    """
    if not is_restored(center.log.folder):
        raise CenterError("没有待确认的恢复", "there is no restore that waits to be confirmed")
    if center.log.cosigning is None:
        return None
    agreeing = center.log.cosigning.confirmed_by()
    if center.policy.is_met(set(center.policy.witness_keys) - agreeing):
        return None
    with center.database.writing() as session:
        size = store_log.take_turn(session)
        said = f"{len(agreeing)} witnesses"
        store_users.note_act(session, at=center.now(), actor="cli", action="log-confirm", object_=said)
    mark_file(center.log.folder).unlink(missing_ok=True)
    sync_path(center.log.folder)
    return size


def _require_number(size: int, accepted: int | None) -> None:
    if accepted != size:
        raise CenterError(
            f"恢复后的日志有 {size} 条，不是 {accepted} 条；若已公布的检查点更大，请恢复更新的备份",
            f"the restored log has {size} entries, not {accepted}; if a larger checkpoint was published, "
            "restore a newer backup",
        )


def _require_inside(center: Center, size: int, newest: Checkpoint) -> None:
    if newest.size > size:
        raise LogRefusedError(
            f"最新检查点有 {newest.size} 条记录，本备份只有 {size} 条：继续签名会使日志分叉；请恢复更新的备份",
            f"the newest checkpoint has {newest.size} entries, this backup only {size}: going on would fork the log; "
            "restore a newer backup",
        )
    if newest.size and TileTree(center.log.tiles.read, newest.size).root() != newest.root:
        raise LogRefusedError(
            f"检查点（{newest.size} 条）与恢复的日志不是同一历史；请停机并保全二者",
            f"the checkpoint of {newest.size} entries is of another history than the restored log; "
            "stop and keep both as evidence",
        )
