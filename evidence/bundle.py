"""The bundle for inspectors (``.evb``): a zip of statements, proofs, contents and disclosed readings.

Nothing in a bundle is a trust anchor, and its names mean nothing until checked. ``index.json`` is a
convenience that must follow from the other files byte for byte. The zip itself is `container.py`.
"""

import hashlib
import io
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from evidence.container import EPOCH, MAX_BYTES, MAX_FILES, MAX_RATIO, PLAIN_FILE, Member, chunks, members
from evidence.encoding import jcs, sha256_hex
from evidence.errors import BundleError

__all__ = ["MAX_BYTES", "MAX_FILES", "MAX_RATIO", "Bundle", "BundleWriter", "Facts", "read_bundle", "write_bundle"]

INDEX = "index.json"
MAX_AT_ONCE = 64 * 1024**2
"""Largest file that is held in memory whole, in bytes; larger ones can only be hashed."""


@dataclass(frozen=True)
class Folder:
    """One kind of file: the form of its names without folder and ending, the ending, and its largest size."""

    names: str
    ending: str
    most_bytes: int = MAX_BYTES


FOLDERS: Mapping[str, Folder] = {
    "statements": Folder("[0-9a-f]{64}", ".jws", 65_535),
    "proofs": Folder("[0-9a-f]{64}", ".tlog-proof", 65_535),
    "content": Folder("[0-9a-f]{64}", ""),
    "readings": Folder("[1-9][0-9]{0,8}-(?:0|[1-9][0-9]{0,15})", ".json", 65_535),
    "tiles": Folder("[0-9a-f]{64}-(?:0|[1-9][0-9]{0,13})", ".json", 1024**2),
    "sm2": Folder("[0-9a-f]{64}", ".sm2", 65_535),
    "checkpoints": Folder("[1-9][0-9]{0,18}", ".note", 65_535),
    "stamps": Folder("[1-9][0-9]{0,18}", ".tsr", 65_535),
}
_NAMES = re.compile(
    "(?:"
    + "|".join(f"{folder}/{one.names}{re.escape(one.ending)}" for folder, one in FOLDERS.items())
    + rf"|{re.escape(INDEX)})\Z",
    re.ASCII,
)


@dataclass(frozen=True)
class Facts:
    """Size in bytes and SHA-256 of a file."""

    size: int
    sha256: str


class PackedFiles(Mapping[str, bytes]):
    """The files of one folder of an opened bundle, unpacked when asked for and never kept.

    The source must stay open. A file that is not any more what it was when the bundle was opened is refused.
    """

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._members: dict[str, tuple[Member, Facts]] = {}

    def take(self, key: str, member: Member) -> None:
        """Unpack a file once, to know its digest and that it can be unpacked."""
        digest = hashlib.sha256()
        for piece in chunks(self._source, member):
            digest.update(piece)
        self._members[key] = (member, Facts(member.size, digest.hexdigest()))

    def facts(self, key: str) -> Facts:
        """Return size and digest of a file without unpacking it again."""
        return self._members[key][1]

    def __getitem__(self, key: str) -> bytes:
        member, facts = self._members[key]
        if member.size > MAX_AT_ONCE:
            raise BundleError(f"{member.name} is larger than anything that is read whole")
        data = b"".join(chunks(self._source, member))
        if sha256_hex(data) != facts.sha256:
            raise BundleError(f"{member.name} changed while the bundle was read")
        return data

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, key: object) -> bool:
        return key in self._members


def facts_of(files: Mapping[str, bytes], key: str) -> Facts:
    """Return size and digest of one file of a bundle."""
    if isinstance(files, PackedFiles):
        return files.facts(key)
    return Facts(len(files[key]), sha256_hex(files[key]))


@dataclass(frozen=True)
class Bundle:
    """The files of a bundle by kind; keys are sid, sha256, ``epoch-index``, ``segment-tile`` or log size.

    A bundle that was opened holds :class:`PackedFiles`, one that is being made plain dictionaries.
    """

    statements: Mapping[str, bytes] = field(default_factory=dict)
    proofs: Mapping[str, bytes] = field(default_factory=dict)
    content: Mapping[str, bytes] = field(default_factory=dict)
    readings: Mapping[str, bytes] = field(default_factory=dict)
    tiles: Mapping[str, bytes] = field(default_factory=dict)
    sm2: Mapping[str, bytes] = field(default_factory=dict)
    checkpoints: Mapping[str, bytes] = field(default_factory=dict)
    stamps: Mapping[str, bytes] = field(default_factory=dict)
    index: bytes | None = None

    def folder(self, name: str) -> Mapping[str, bytes]:
        """Return the files of one folder."""
        files: Mapping[str, bytes] = getattr(self, name)
        return files

    def names(self) -> list[tuple[str, str, str]]:
        """Return name, folder and key of every file but the index, sorted by name."""
        return sorted(
            (f"{folder}/{key}{kind.ending}", folder, key)
            for folder, kind in FOLDERS.items()
            for key in self.folder(folder)
        )

    def files(self) -> dict[str, bytes]:
        """Return the files by name, without the index; all of them at once."""
        return {name: self.folder(folder)[key] for name, folder, key in self.names()}

    def expected_index(self) -> bytes:
        """Return the index that follows from the other files."""
        return _index((name, facts_of(self.folder(folder), key)) for name, folder, key in self.names())


def _index(files: Iterable[tuple[str, Facts]]) -> bytes:
    entries = [{"name": name, "size": facts.size, "sha256": facts.sha256} for name, facts in files]
    return jcs({"v": 1, "files": entries})


class BundleWriter:
    """Packs files one by one, so that nothing but their digests is held; the index comes last.

    The same files in the same order give the same bytes.
    """

    def __init__(self, out: BinaryIO) -> None:
        self._archive = zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=6)
        self._facts: dict[str, Facts] = {}

    def add(self, name: str, data: bytes) -> None:
        """Pack one file."""
        self._facts[name] = Facts(len(data), sha256_hex(data))
        self._write(name, data)

    def close(self) -> None:
        """Pack the index of all files and end the bundle."""
        self._write(INDEX, _index(sorted(self._facts.items())))
        self._archive.close()

    def _write(self, name: str, data: bytes) -> None:
        info = zipfile.ZipInfo(name, date_time=EPOCH)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = PLAIN_FILE
        self._archive.writestr(info, data)


def write_bundle(bundle: Bundle) -> bytes:
    """Pack a bundle; the same files give the same bytes."""
    out = io.BytesIO()
    writer = BundleWriter(out)
    for name, folder, key in bundle.names():
        writer.add(name, bundle.folder(folder)[key])
    writer.close()
    return out.getvalue()


def read_bundle(source: BinaryIO) -> Bundle:
    """Open a bundle, refusing it whole when any limit, name, size or check sum is broken.

    Every file is unpacked once, piece by piece, and none is kept: ``source`` is read again when a file is asked for.

    Raises:
        BundleError: ``BUNDLE_FORMAT`` with what was found.
    """
    found = members(source, lambda name: _NAMES.match(name) is not None)
    groups = {name: PackedFiles(source) for name in FOLDERS}
    outside = PackedFiles(source)
    for member in found:
        folder, _, rest = member.name.partition("/")
        most_bytes = FOLDERS[folder].most_bytes if rest else MAX_AT_ONCE
        if member.size > most_bytes:
            raise BundleError(f"{member.name} is larger than any such file")
        (groups[folder] if rest else outside).take(rest.partition(".")[0] or INDEX, member)
    return Bundle(**groups, index=outside.get(INDEX))
