"""Copies browser packages from node_modules to webapp/static/vendor, each checked against setup/vendor.json.

The manifest is committed, the copies are not. A file whose checksum differs is refused and nothing is
copied: a package that changed under its version number must not reach a browser. Uses only the standard
library, so that it runs before anything is installed.
"""

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = ROOT / "setup" / "vendor.json"
VENDOR = ROOT / "webapp" / "static" / "vendor"


class VendorError(Exception):
    """A package file is missing or is not the one the manifest names."""


@dataclass(frozen=True)
class VendoredFile:
    """One line of the manifest."""

    package: str
    version: str
    source: str
    target: str
    sha256: str


def read_manifest(path: Path = MANIFEST) -> list[VendoredFile]:
    """Return the files that belong in the vendor folder."""
    entries = json.loads(path.read_text(encoding="utf-8"))["files"]
    return [VendoredFile(e["package"], e["version"], e["from"], e["to"], e["sha256"]) for e in entries]


def read_checked(file: VendoredFile, node_modules: Path) -> bytes:
    """Return the bytes of one package file.

    Raises:
        VendorError: the package, its version or its checksum is not the manifest's.
    """
    folder = node_modules / file.package
    try:
        version = json.loads((folder / "package.json").read_text(encoding="utf-8"))["version"]
        content = (folder / file.source).read_bytes()
    except OSError as error:
        raise VendorError(f"{file.package}: cannot read {error.filename}; run npm ci") from error
    if version != file.version:
        raise VendorError(f"{file.package}: version {version}, but setup/vendor.json names {file.version}")
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise VendorError(f"{file.package}/{file.source}: sha256 {found}, but setup/vendor.json names {file.sha256}")
    return content


def copy_all(files: list[VendoredFile], node_modules: Path, vendor: Path) -> int:
    """Copy every file after all have been checked; return how many changed."""
    contents = [(vendor / file.target, read_checked(file, node_modules)) for file in files]
    changed = 0
    for target, content in contents:
        if target.is_file() and target.read_bytes() == content:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        changed += 1
    return changed


def main() -> int:
    """Copy, or say in one line what is wrong."""
    try:
        changed = copy_all(read_manifest(), ROOT / "node_modules", VENDOR)
    except VendorError as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 1
    if changed:
        print(f"set-up: {changed} browser file(s) copied to webapp/static/vendor", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
