"""The bundle for inspectors (``.evb``): a zip of statements, proofs, contents and disclosed readings.

Nothing in a bundle is a trust anchor, and its names mean nothing until checked. ``index.json`` is a
convenience that must follow from the other files byte for byte.
"""

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from evidence.encoding import jcs, sha256_hex
from evidence.errors import BundleError

MAX_FILES = 20_000
MAX_BYTES = 2 * 1024**3
MAX_RATIO = 200
"""Largest ratio of unpacked to packed size of a file above 1 MiB (a zip bomb is far beyond)."""
_RATIO_FLOOR = 1024**2
INDEX = "index.json"
_NAMES = re.compile(
    r"(?:statements/[0-9a-f]{64}\.jws|proofs/[0-9a-f]{64}\.tlog-proof|content/[0-9a-f]{64}"
    r"|readings/[1-9][0-9]{0,8}-(?:0|[1-9][0-9]{0,15})\.json|sm2/[0-9a-f]{64}\.sm2|index\.json)\Z",
    re.ASCII,
)
_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
"""A zip file's records without names (APPNOTE 4.3.7, 4.3.12, 4.3.16)."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
_DOS_EPOCH = (0, 0x21)
"""The same as a zip file writes it: time and date."""
_MADE_BY, _NEEDED = 0x0314, 20
"""Unix, version 2.0: a plain file, stored or deflated."""
_PLAIN_FILE = 0o100644 << 16


@dataclass(frozen=True)
class Bundle:
    """The files of a bundle by kind; keys are sid, sha256 or ``epoch-index``."""

    statements: Mapping[str, bytes] = field(default_factory=dict)
    proofs: Mapping[str, bytes] = field(default_factory=dict)
    content: Mapping[str, bytes] = field(default_factory=dict)
    readings: Mapping[str, bytes] = field(default_factory=dict)
    sm2: Mapping[str, bytes] = field(default_factory=dict)
    index: bytes | None = None

    def files(self) -> dict[str, bytes]:
        """Return the files by name, without the index."""
        files = {f"statements/{sid}.jws": data for sid, data in self.statements.items()}
        files.update({f"proofs/{sid}.tlog-proof": data for sid, data in self.proofs.items()})
        files.update({f"content/{digest}": data for digest, data in self.content.items()})
        files.update({f"readings/{name}.json": data for name, data in self.readings.items()})
        files.update({f"sm2/{sid}.sm2": data for sid, data in self.sm2.items()})
        return files

    def expected_index(self) -> bytes:
        """Return the index that follows from the other files."""
        entries = [
            {"name": name, "size": len(data), "sha256": sha256_hex(data)} for name, data in sorted(self.files().items())
        ]
        return jcs({"v": 1, "files": entries})


def write_bundle(bundle: Bundle) -> bytes:
    """Pack a bundle; the same files give the same bytes."""
    out = io.BytesIO()
    files = {**bundle.files(), INDEX: bundle.expected_index()}
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, date_time=_EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = _PLAIN_FILE
            archive.writestr(info, files[name])
    return out.getvalue()


def read_bundle(source: BinaryIO) -> Bundle:
    """Unpack a bundle, refusing it whole when any limit or name is broken.

    Raises:
        BundleError: ``BUNDLE_FORMAT`` with what was found.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            infos = _checked(archive)
            _check_container(infos, source)
            files = {info.filename: _read(source, info) for info in infos}
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        EOFError,
        NotImplementedError,
        ValueError,
        OSError,
        zlib.error,
    ) as error:
        raise BundleError(f"not a readable zip: {error}") from error
    groups: dict[str, dict[str, bytes]] = {
        "statements": {},
        "proofs": {},
        "content": {},
        "readings": {},
        "sm2": {},
    }
    for name, data in files.items():
        folder, _, rest = name.partition("/")
        if rest:
            groups[folder][rest.partition(".")[0]] = data
    return Bundle(**groups, index=files.get(INDEX))


def _checked(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    infos = archive.infolist()
    if len(infos) > MAX_FILES:
        raise BundleError(f"{len(infos)} files, at most {MAX_FILES}")
    unpacked, packed = sum(info.file_size for info in infos), sum(info.compress_size for info in infos)
    if unpacked > MAX_BYTES:
        raise BundleError("more than 2 GiB unpacked")
    if unpacked > max(_RATIO_FLOOR, MAX_RATIO * packed):
        raise BundleError(f"packed more than {MAX_RATIO}:1")
    seen: set[str] = set()
    for info in infos:
        if not _NAMES.match(info.filename):
            raise BundleError(f"no such file belongs in a bundle: {info.filename[:80]!r}")
        if info.filename.lower() in seen:
            raise BundleError(f"file named twice: {info.filename[:80]}")
        seen.add(info.filename.lower())
        if (info.external_attr >> 16) & 0o170000 not in (0, 0o100000):
            raise BundleError(f"not a plain file: {info.filename[:80]}")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BundleError(f"compressed in an unknown way: {info.filename[:80]}")
        if info.flag_bits & 0x1:
            raise BundleError(f"encrypted: {info.filename[:80]}")
        if info.file_size > max(_RATIO_FLOOR, MAX_RATIO * info.compress_size):
            raise BundleError(f"packed more than {MAX_RATIO}:1: {info.filename[:80]}")
    return infos


def _check_container(infos: list[zipfile.ZipInfo], source: BinaryIO) -> None:
    """Insist on the one container that these files have, so that every reader of zip files sees the same.

    Each byte outside the packed data follows from names, sizes and check sums; a file that was unpacked and packed by
    another program is refused, its contents may be verified after exporting anew.
    """
    position, directory = 0, []
    for info in infos:
        name = info.filename.encode("ascii")
        common = (info.compress_type, *_DOS_EPOCH, info.CRC, info.compress_size, info.file_size, len(name))
        local = _LOCAL.pack(b"PK\x03\x04", _NEEDED, 0, *common, 0) + name
        source.seek(position)
        if info.header_offset != position or source.read(len(local)) != local:
            raise BundleError(f"its zip record is not as a bundle has it: {info.filename[:80]}")
        central = (*common, 0, 0, 0, 0, _PLAIN_FILE, position)
        directory.append(_CENTRAL.pack(b"PK\x01\x02", _MADE_BY, _NEEDED, 0, *central) + name)
        position += len(local) + info.compress_size
    table, count = b"".join(directory), len(directory)
    source.seek(position)
    if source.read() != table + _END.pack(b"PK\x05\x06", 0, 0, count, count, len(table), position, 0):
        raise BundleError("bytes before, between or after the files, or a comment among them")


def _read(source: BinaryIO, info: zipfile.ZipInfo) -> bytes:
    """Unpack one file whose record was checked; packed bytes that say nothing are refused too."""
    source.seek(info.header_offset + _LOCAL.size + len(info.filename))
    packed = source.read(info.compress_size)
    if info.compress_type == zipfile.ZIP_STORED:
        data, is_whole = packed, True
    else:
        inflating = zlib.decompressobj(-zlib.MAX_WBITS)
        data = inflating.decompress(packed, info.file_size + 1)
        is_whole = inflating.eof and not inflating.unused_data
    if len(data) != info.file_size or not is_whole:
        raise BundleError(f"size of {info.filename[:80]} is not what the zip says")
    if zlib.crc32(data) != info.CRC:
        raise BundleError(f"check sum of {info.filename[:80]} is wrong")
    return data
