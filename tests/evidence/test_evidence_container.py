"""The bundle's zip container: one form for its files, everything else refused whole."""

import io
import zipfile
import zlib
from dataclasses import replace
from typing import Any

import pytest
from evidence_world import World

from evidence.bundle import Bundle, read_bundle, write_bundle
from evidence.errors import BundleError


def test_bundle_is_packed_the_same_every_time_and_read_back(approved: World) -> None:
    bundle = approved.pack()
    packed = write_bundle(bundle)
    assert write_bundle(approved.pack()) == packed
    assert read_bundle(io.BytesIO(packed)) == bundle


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "content/..", "statements/x.jws", "INDEX.JSON", "content/" + "A" * 64, "a\\b"]
)
def test_bundle_with_a_strange_name_is_refused(approved: World, name: str) -> None:
    packed = io.BytesIO(write_bundle(approved.pack()))
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(BundleError):
        read_bundle(packed)


def test_bomb_duplicate_and_truncated_bundles_are_refused(approved: World) -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("index.json", b"0" * 50_000_000)
    double = io.BytesIO()
    with zipfile.ZipFile(double, "w") as archive:
        archive.writestr("index.json", b"{}")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("index.json", b"{}")
    whole = write_bundle(approved.pack())
    for data in (bomb.getvalue(), double.getvalue(), whole[:-30], whole[:100], b"", b"PK"):
        with pytest.raises(BundleError):
            read_bundle(io.BytesIO(data))


def test_any_flipped_bit_of_a_packed_bundle_is_refused_or_changes_no_file() -> None:
    """One file may be deflated in several ways; nothing else of a bundle has two forms."""
    bundle = Bundle({"a" * 64: b"a statement" * 9}, {"a" * 64: b"its proof"}, readings={"1-0": b"{}"})
    bundle = replace(bundle, index=bundle.expected_index())
    packed, unseen = write_bundle(bundle), 0
    for position in range(8 * len(packed)):
        changed = bytearray(packed)
        changed[position // 8] ^= 1 << position % 8
        try:
            assert read_bundle(io.BytesIO(changed)) == bundle
        except BundleError:
            continue
        unseen += 1
    assert unseen < len(packed)


def test_bundle_packed_by_another_program_is_refused(approved: World) -> None:
    again = io.BytesIO()
    with zipfile.ZipFile(again, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(approved.pack().files().items()):
            archive.writestr(name, data)
    with pytest.raises(BundleError, match="zip record"):
        read_bundle(again)


@pytest.mark.parametrize("hidden", [b"x", b"PK\x03\x04" + bytes(30)], ids=["byte", "record"])
def test_bytes_behind_the_end_of_packed_data_are_refused(hidden: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = Bundle({"a" * 64: b"a statement" * 9}, {"a" * 64: b"its proof"})
    assert read_bundle(io.BytesIO(write_bundle(bundle))).statements == bundle.statements
    monkeypatch.setattr(zipfile, "zlib", Hiding(hidden))
    with pytest.raises(BundleError, match="is not what the zip says"):
        read_bundle(io.BytesIO(write_bundle(bundle)))


class Hiding:
    """The zlib of a packer that puts something behind the end of each deflated file."""

    def __init__(self, hidden: bytes) -> None:
        self._hidden = hidden

    def __getattr__(self, name: str) -> Any:
        return getattr(zlib, name)

    def compressobj(self, *how: int) -> Any:
        packing, hidden = zlib.compressobj(*how), self._hidden

        class Packing:
            compress = staticmethod(packing.compress)

            @staticmethod
            def flush() -> bytes:
                return packing.flush() + hidden

        return Packing
