"""Browser files are the ones the manifest names, and set-up refuses others."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def vendor() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "setup" / "vendor.py"
    spec = importlib.util.spec_from_file_location("cunzheng_setup_vendor", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def make_package(node_modules: Path, content: bytes, version: str = "1.0.0") -> None:
    folder = node_modules / "thing"
    folder.mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps({"version": version}))
    (folder / "thing.js").write_bytes(content)


def entry(vendor: ModuleType, content: bytes) -> object:
    return vendor.VendoredFile("thing", "1.0.0", "thing.js", "thing.js", hashlib.sha256(content).hexdigest())


def test_copied_files_match_the_manifest(vendor: ModuleType) -> None:
    found = {
        file.target: hashlib.sha256((vendor.VENDOR / file.target).read_bytes()).hexdigest()
        for file in vendor.read_manifest()
    }
    assert found == {file.target: file.sha256 for file in vendor.read_manifest()}


def test_manifest_and_package_json_name_the_same_versions(vendor: ModuleType, root: Path) -> None:
    wanted = json.loads((root / "package.json").read_text(encoding="utf-8"))["dependencies"]
    assert {file.package: file.version for file in vendor.read_manifest()} == wanted


def test_second_copy_changes_nothing(vendor: ModuleType, tmp_path: Path) -> None:
    make_package(tmp_path / "node_modules", b"good")
    files = [entry(vendor, b"good")]
    assert vendor.copy_all(files, tmp_path / "node_modules", tmp_path / "vendor") == 1
    assert vendor.copy_all(files, tmp_path / "node_modules", tmp_path / "vendor") == 0


def test_changed_package_is_refused_and_nothing_copied(vendor: ModuleType, tmp_path: Path) -> None:
    make_package(tmp_path / "node_modules", b"evil")
    with pytest.raises(vendor.VendorError, match="sha256"):
        vendor.copy_all([entry(vendor, b"good")], tmp_path / "node_modules", tmp_path / "vendor")
    assert not (tmp_path / "vendor").exists()


def test_other_version_is_refused(vendor: ModuleType, tmp_path: Path) -> None:
    make_package(tmp_path / "node_modules", b"good", version="1.0.1")
    with pytest.raises(vendor.VendorError, match=r"1\.0\.1"):
        vendor.read_checked(entry(vendor, b"good"), tmp_path / "node_modules")
