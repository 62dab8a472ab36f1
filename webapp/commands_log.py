"""`cunzheng center check` and `center evidence`: whether the log is whole, and the proofs of cheating that it met."""

from __future__ import annotations

from pathlib import Path

import click

from webapp import fork_files, log_recovery, restored_mark, settings, store_log
from webapp.center import Center
from webapp.console import config_option, database_errors, json_option, open_center, say, tell, working
from webapp.errors import LogRefusedError
from webapp.log_scrub import Damage, scrub

_SHOWN = 20


@click.command(
    help=say(
        "检查数据库、密钥和整个日志：逐块核对，损坏处按块列出；能由数据库重写的块随即重写。",
        "Check database, keys and the whole log: damage is named by tile; tiles are written again from the rows.",
    )
)
@config_option
@json_option
def check(config: Path, as_json: bool) -> None:
    """Compare rows, tiles and checkpoints; mend tiles; recompute the log against every signed checkpoint."""
    with working("核对整个日志 …", "checking the whole log …"), database_errors():
        resting = Center.at_rest(settings.load(config))
        try:
            found = _damages(resting)
        finally:
            resting.database.close()
        with open_center(config, is_confirmed=False) as opened:
            if any(damage.is_of_tile for damage in found):
                log_recovery.mend_tiles(opened.log, opened.database)
            left = _damages(opened) if found else []
            if left:
                raise _refusal(left)
            with opened.database.reading() as session:
                size = log_recovery.check(opened.log, session)
                last = store_log.last_checkpoint(session)
            origin, folder = opened.log.origin, opened.log.folder
    root = None if last is None else last.root
    is_confirmed = not restored_mark.is_restored(folder)
    line = say(f"日志完好：{size} 条，根 {root}", f"log intact: {size} entries, root {root}")
    if not is_confirmed:
        line += say("；由备份恢复，确认之前不签名", "; restored, and signs nothing until that is confirmed")
    for damage in found[:_SHOWN]:
        line += f"\n  {damage.place}: " + say(f"{damage.zh}；已重写", f"{damage.en}; written again")
    facts = {
        "size": size,
        "root": root,
        "origin": origin,
        "confirmed": is_confirmed,
        "mended": [damage.place for damage in found],
    }
    tell(facts, line, as_json=as_json)


def _damages(center: Center) -> list[Damage]:
    return [damage for step in scrub(center.log, center.database) for damage in step]


def _refusal(damages: list[Damage]) -> LogRefusedError:
    zh = "；".join(f"{damage.place}：{damage.zh}" for damage in damages[:_SHOWN])
    en = "; ".join(f"{damage.place}: {damage.en}" for damage in damages[:_SHOWN])
    return LogRefusedError(f"日志已损坏：{zh}；请从备份恢复", f"the log is damaged: {en}; restore a backup")


@click.command(
    name="evidence",
    help=say(
        "列出并写出作假的证据：同一序号的两份声明（FORK）。任何人可用 cunzheng verify 单独核验。",
        "List and write proofs of cheating: two statements with one number (FORK). Anyone can check them alone.",
    ),
)
@config_option
@json_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help=say("把证据文件写入此目录。", "Write the files into this folder."),
)
def evidence_(config: Path, as_json: bool, out: Path | None) -> None:
    """Give the evidence of forks."""
    with open_center(config, is_confirmed=False) as opened, opened.database.reading() as session:
        files = fork_files.all_files(session)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for file in files:
            (out / file.name).write_bytes(file.data)
    listed = [{"name": file.name, "plant": file.fork.plant, "gw": file.fork.gw, "seq": file.fork.seq} for file in files]
    lines = [say(f"作假证据 {len(files)} 件", f"{len(files)} proofs of cheating")]
    lines += [f"  {file.name}  {file.fork.plant} {file.fork.gw} epoch {file.fork.epoch}" for file in files]
    tell({"evidence": listed}, "\n".join(lines), as_json=as_json)
