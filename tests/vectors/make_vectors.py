"""Write the conformance corpus anew: `python tests/vectors/make_vectors.py [--check]`.

Every folder follows from `crimes_*.py` alone; `--check` writes nothing and names the folders that are not as they
should be.
"""

from __future__ import annotations

import importlib
import io
import shutil
import sys
import zipfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER), str(FOLDER.parent / "evidence")]

from vector_case import CASES, Files  # noqa: E402 - found through the path above


def corpus() -> dict[str, Files]:
    """Make the files of every case, by the folder's name."""
    for module in sorted(FOLDER.glob("crimes_*.py")):
        importlib.import_module(module.stem)
    return {name: case.files() for name, case in sorted(CASES.items())}


def committed() -> dict[str, Files]:
    """Read the folders that are there."""
    folders = [path.parent for path in sorted(FOLDER.glob("*/*/case.json"))]
    return {
        str(folder.relative_to(FOLDER)): {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
        for folder in folders
    }


def is_same(name: str, made: bytes, there: bytes | None) -> bool:
    """Tell whether a file is what it should be; another zlib may deflate the same files to other bytes."""
    if made == there or there is None or not name.endswith(".evb"):
        return made == there
    try:
        return unpacked(made) == unpacked(there)
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError):
        return False


def unpacked(data: bytes) -> list[tuple[str, bytes]]:
    """List the files of a zip."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [(info.filename, archive.read(info)) for info in archive.infolist()]


def stale() -> list[str]:
    """Name the folders whose files are not those that the source makes."""
    made, there = corpus(), committed()
    return sorted(
        name
        for name in made.keys() | there.keys()
        if made.get(name, {}).keys() != there.get(name, {}).keys()
        or any(not is_same(file, data, there[name].get(file)) for file, data in made[name].items())
    )


def write() -> list[str]:
    """Write what is stale and remove what has no source any more; return their names."""
    changed, made = stale(), corpus()
    for name in changed:
        shutil.rmtree(FOLDER / name, ignore_errors=True)
        for file, data in made.get(name, {}).items():
            (FOLDER / name).mkdir(parents=True, exist_ok=True)
            (FOLDER / name / file).write_bytes(data)
    return changed


if __name__ == "__main__":
    names = stale() if "--check" in sys.argv[1:] else write()
    print("\n".join(names) or "nothing to do")
    sys.exit(bool(names) and "--check" in sys.argv[1:])
