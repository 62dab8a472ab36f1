"""A person confirms a statement with openssl and sha256sum: the very lines of docs/protocol.md, run in a shell."""

from __future__ import annotations

import io
import json
import re
import subprocess
import zipfile
from pathlib import Path

import pytest
from make_vectors import committed
from vector_case import flipped

from evidence.encoding import unb64u

FILES = committed()["bundle/honest"]
KEYS = {key["kid"]: key["jwk"] for key in json.loads(FILES["trust.json"])["registry"]["keys"]}
GOOD = {"Ed25519": "Signature Verified Successfully", "ES256": "Verified OK"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The unpacked bundle."""
    zipfile.ZipFile(io.BytesIO(FILES["bundle.evb"])).extractall(tmp_path)
    return tmp_path


def header_of(file: Path) -> dict[str, str]:
    header: dict[str, str] = json.loads(unb64u(file.read_text().partition(".")[0]))
    return header


def statements(folder: Path, alg: str) -> list[Path]:
    return [file for file in sorted(folder.glob("statements/*.jws")) if header_of(file)["alg"] == alg]


def by_hand(root: Path, folder: Path, file: Path) -> str:
    """Run the lines of the document for a statement and return what they print."""
    text = (root / "docs" / "protocol.md").read_text(encoding="utf-8")
    first, *others = re.findall(r"^```sh\n(.*?)^```", text.partition("## 2.")[0], re.MULTILINE | re.DOTALL)
    header = header_of(file)
    jwk = KEYS[header["kid"]]
    (rest,) = (block for block in others if ("-rawin" in block) == (header["alg"] == "Ed25519"))
    done = subprocess.run(
        ["sh", "-c", first + rest],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "S": file.stem, "X": jwk["x"], "Y": jwk.get("y", "")},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert len((folder / "sg").read_bytes()) == 64
    return done.stdout + done.stderr


@pytest.mark.parametrize("alg", GOOD)
def test_lines_of_the_document_confirm_every_statement(root: Path, folder: Path, alg: str) -> None:
    files = statements(folder, alg)
    assert len(files) > 3
    for file in files:
        said = by_hand(root, folder, file)
        assert GOOD[alg] in said
        assert f"{file.stem}  si" in said
        assert f'"kid":"{header_of(file)["kid"]}"' in said


@pytest.mark.parametrize("alg", GOOD)
@pytest.mark.parametrize("position", [-90, -3], ids=["payload", "signature"])
def test_lines_of_the_document_refuse_a_changed_statement(root: Path, folder: Path, alg: str, position: int) -> None:
    file = statements(folder, alg)[0]
    file.write_bytes(flipped(file.read_bytes(), position, 2))
    said = by_hand(root, folder, file)
    assert GOOD[alg] not in said
    assert "ailure" in said
    assert (f"{file.stem}  si" in said) == (position == -3)
