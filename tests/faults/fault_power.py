"""What a power cut can leave on a disk, worked out from the system calls of a real process.

`record` runs a program under `strace` and keeps every call that changes a file, in order. `Disk` then plays the calls
up to a cut: what was synced is there; of the rest any part may be, down to single sectors of one write. A new, renamed
or deleted name counts once its folder was synced; before, the names of a folder change in order up to some point.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512
CALLS = (
    "openat,creat,write,pwrite64,writev,pwritev,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,ftruncate,"
    "truncate,fallocate,mkdir,mkdirat,rmdir,link,linkat"
)
_HEAD = re.compile(r"^(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)$")
_RESULT = re.compile(r"\) += (-?\d+)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_HANDLE = re.compile(r"^(\d+)<([^>]*)>")
_UNFINISHED = " <unfinished ...>"


@dataclass(frozen=True)
class Call:
    """One call that changed something, or said something: then `name` is "say"."""

    name: str
    path: str
    data: bytes = b""
    at: int = 0
    to: str = ""


def record(program: Sequence[str], folder: Path, trace: Path) -> list[Call]:
    """Run a program to its end and return what it did below `folder`, and what it said, in order."""
    command = ["strace", "-f", "-qq", "-y", "-xx", "-s", "99999999", "-e", f"trace={CALLS}", "-o", str(trace)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)])}
    done = subprocess.run([*command, *program], capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    return list(_calls(trace, str(folder)))


def _calls(trace: Path, below: str) -> Iterator[Call]:
    begun: dict[str, str] = {}
    sizes: dict[str, int] = {}
    with trace.open() as lines:
        for line in lines:
            head = _HEAD.match(line.rstrip("\n"))
            if head is None:
                continue
            process, resumed, name, rest = head.groups()
            if rest.endswith(_UNFINISHED):
                begun[process] = rest.removesuffix(_UNFINISHED)
                continue
            if resumed:
                name, rest = resumed, begun.pop(process) + rest
            result = _RESULT.search(rest)
            if result is None or int(result[1]) < 0:
                continue
            call = _call(name, rest, int(result[1]), sizes)
            if call is not None and (call.name == "say" or _is_below(call.path, below)):
                if call.name == "write":
                    sizes[call.path] = max(sizes.get(call.path, 0), call.at + len(call.data))
                yield call


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _call(name: str, rest: str, result: int, sizes: dict[str, int]) -> Call | None:
    texts = [bytes.fromhex(one.replace("\\x", "")) for one in _TEXT.findall(rest)]
    handle = _HANDLE.match(rest)
    number, path = (int(handle[1]), _path(handle[2])) if handle else (-1, "")
    if name in ("write", "pwrite64"):
        data = texts[0][:result]
        if number == 1:
            return Call("say", "", data)
        if name == "pwrite64":
            return Call("write", path, data, int(rest[: _RESULT.search(rest).start()].rsplit(", ", 1)[1]))  # type: ignore[union-attr]
        return Call("write", path, data, sizes.get(path, 0))
    if name in ("fsync", "fdatasync"):
        return Call("sync", path)
    if name == "ftruncate":
        return Call("truncate", path, at=int(rest[: _RESULT.search(rest).start()].rsplit(", ", 1)[1]))  # type: ignore[union-attr]
    if name == "openat":
        opened = texts[-1].decode()
        flags = rest.rsplit('", ', 1)[1]
        if "O_CREAT" not in flags or not os.path.isabs(opened):
            return None
        if "O_TRUNC" in flags:
            sizes[opened] = 0
        return Call("open", opened, at=int("O_TRUNC" in flags))
    if name in ("mkdir", "mkdirat"):
        return Call("mkdir", texts[-1].decode())
    if name in ("unlink", "unlinkat"):
        sizes.pop(texts[-1].decode(), None)
        return Call("unlink", texts[-1].decode())
    if name.startswith("rename"):
        sizes[texts[1].decode()] = sizes.pop(texts[0].decode(), 0)
        return Call("rename", texts[0].decode(), to=texts[1].decode())
    raise AssertionError(f"{name} changes files in a way that is not played: {rest[:200]}")


def _path(text: str) -> str:
    return re.sub(r"\\x([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), text).removesuffix(" (deleted)")


@dataclass
class _File:
    safe: bytearray = field(default_factory=bytearray)
    waiting: list[tuple[int, bytes | None]] = field(default_factory=list)
    """Writes (where, what) and cuts (length, None) since the last sync, in order."""


@dataclass(frozen=True)
class _Renaming:
    """One change of names, all or nothing: `gone` ends, `name` stands for `file` (None: for a folder)."""

    folder: str
    gone: str = ""
    name: str = ""
    file: _File | None = None


class Disk:
    """The files of one folder while calls are played."""

    def __init__(self, deaf_to: str = "") -> None:
        """Begin empty; `deaf_to` is the end of the names whose syncs do nothing, as on a lying disk."""
        self._names: dict[str, _File | None] = {}
        self._safe: dict[str, _File | None] = {}
        self._waiting: list[_Renaming] = []
        self._deaf_to = deaf_to

    def play(self, call: Call) -> None:
        """Do one call."""
        path = call.path
        if call.name == "open":
            if path not in self._names:
                self._rename(_Renaming(os.path.dirname(path), name=path, file=_File()))
            elif call.at:
                self._file(path).waiting.append((0, None))
        elif call.name == "mkdir":
            self._rename(_Renaming(os.path.dirname(path), name=path))
        elif call.name == "unlink":
            self._rename(_Renaming(os.path.dirname(path), gone=path))
        elif call.name == "rename":
            self._rename(_Renaming(os.path.dirname(call.to), path, call.to, self._file(path)))
        elif call.name == "write":
            self._file(path).waiting.append((call.at, call.data))
        elif call.name == "truncate":
            self._file(path).waiting.append((call.at, None))
        elif call.name == "sync" and not (self._deaf_to and path.endswith(self._deaf_to)):
            self._sync(path)

    def after_cut(self, rng: random.Random) -> dict[str, bytes | None]:
        """Return one of the states that a cut may leave: path → content, None for a folder."""
        names = dict(self._safe)
        for folder in {one.folder for one in self._waiting}:
            waiting = [one for one in self._waiting if one.folder == folder]
            for one in waiting[: rng.randint(0, len(waiting))]:
                _apply_name(names, one)
        made: dict[str, bytes | None] = {}
        for path in sorted(names):
            parent = os.path.dirname(path)
            if parent in self._names and parent not in made:
                continue  # its folder's own name was lost
            found = names[path]
            made[path] = None if found is None else _content(found, rng)
        return made

    def _file(self, path: str) -> _File:
        found = self._names[path]
        assert found is not None, path
        return found

    def _rename(self, one: _Renaming) -> None:
        _apply_name(self._names, one)
        self._waiting.append(one)

    def _sync(self, path: str) -> None:
        if path not in self._names or self._names[path] is None:
            for one in self._waiting:
                if one.folder == path:
                    _apply_name(self._safe, one)
            self._waiting = [one for one in self._waiting if one.folder != path]
            return
        file = self._file(path)
        for where, what in file.waiting:
            _apply(file.safe, where, what)
        file.waiting.clear()


def _apply_name(names: dict[str, _File | None], one: _Renaming) -> None:
    if one.gone:
        names.pop(one.gone, None)
    if one.name:
        names[one.name] = one.file


def _apply(content: bytearray, where: int, what: bytes | None) -> None:
    if what is None:
        del content[where:]
        content.extend(bytes(where - len(content)))
        return
    content.extend(bytes(max(0, where - len(content))))
    content[where : where + len(what)] = what


def _content(file: _File, rng: random.Random) -> bytes:
    """Apply none, all, the first or any of the waiting writes; any one of them perhaps only in part."""
    content = bytearray(file.safe)
    how = rng.choice(("none", "all", "first", "some", "torn"))
    until = rng.randint(0, len(file.waiting))
    for number, (where, what) in enumerate(file.waiting):
        if how == "none" or (how == "first" and number >= until) or (how in ("some", "torn") and rng.random() < 0.4):
            continue
        if what is None or how != "torn":
            _apply(content, where, what)
            continue
        for at in range(0, len(what), SECTOR):
            if rng.random() < 0.7:
                _apply(content, where + at, what[at : at + SECTOR])
    return bytes(content)


def write_state(state: dict[str, bytes | None], below: str, folder: Path) -> None:
    """Put a state into a folder of its own."""
    for path, content in state.items():
        target = folder / os.path.relpath(path, below)
        if content is None:
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
