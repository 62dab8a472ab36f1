"""The zip file around a bundle: one form for its records, files unpacked piece by piece, all else refused.

Every byte outside the packed data follows from names, sizes and check sums, so no two readers of zip files can see
two different bundles. Nothing is believed before it is compared, and memory is bounded by the number of files, however
large they are. What the names mean is `bundle.py`; opening the file is the caller's.
"""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Never

from evidence.errors import BundleError

MAX_FILES = 20_000
MAX_BYTES = 2 * 1024**3
"""Files and unpacked bytes of a bundle, at most."""
MAX_RATIO = 200
"""Largest ratio of unpacked to packed size of a file above 1 MiB (a zip bomb is far beyond)."""
RATIO_FLOOR = 1024**2
EPOCH = (1980, 1, 1, 0, 0, 0)
PLAIN_FILE = 0o100644 << 16
_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
"""A zip file's records without names (APPNOTE 4.3.7, 4.3.12, 4.3.16)."""
_DOS_EPOCH = (0, 0x21)
"""`EPOCH` as a zip file writes it: time and date."""
_MADE_BY, _NEEDED = 0x0314, 20
"""Unix, version 2.0: a plain file, stored or deflated."""
_STORED, _DEFLATED = 0, 8
_LONGEST_NAME = 200
_CHUNK = 1 << 18


@dataclass(frozen=True)
class Member:
    """One file of the container; ``start`` is where its packed bytes begin."""

    name: str
    size: int
    packed: int
    crc: int
    is_deflated: bool
    start: int


def members(source: BinaryIO, is_name: Callable[[str], bool]) -> list[Member]:
    """Read the directory and compare it with every local record.

    Raises:
        BundleError: anything is not as a bundle has it; ``is_name`` tells which names are.
    """
    try:
        found = _directory(source, is_name)
        position = 0
        for member in found:
            local = _local(member)
            source.seek(position)
            if source.read(len(local)) != local:
                _other_record(member.name)
            position += len(local) + member.packed
        return found
    except (OSError, ValueError, struct.error) as error:
        raise BundleError(f"not a readable zip: {error}") from error


def chunks(source: BinaryIO, member: Member) -> Iterator[bytes]:
    """Unpack one file piece by piece; packed bytes that say nothing are refused too.

    Raises:
        BundleError: size or check sum is not what the directory says, possibly after pieces were given.
    """
    size = crc = 0
    try:
        for piece in _unpacked(source, member):
            size, crc = size + len(piece), zlib.crc32(piece, crc)
            if size > member.size:
                break
            yield piece
    except (OSError, zlib.error) as error:
        raise BundleError(f"{member.name} cannot be unpacked: {error}") from error
    if size != member.size:
        raise BundleError(f"size of {member.name} is not what the zip says")
    if crc != member.crc:
        raise BundleError(f"check sum of {member.name} is wrong")


def _directory(source: BinaryIO, is_name: Callable[[str], bool]) -> list[Member]:
    whole = source.seek(0, io.SEEK_END)
    if whole < _END.size:
        raise BundleError("not a readable zip: too short")
    source.seek(whole - _END.size)
    end = source.read(_END.size)
    signature, _, _, _, count, length, start, _ = _END.unpack(end)
    if signature != b"PK\x05\x06" or start + length + _END.size != whole:
        raise BundleError("not a zip, or bytes before, between or after the files, or a comment among them")
    if count > MAX_FILES:
        raise BundleError(f"{count} files, at most {MAX_FILES}")
    if end != _END.pack(b"PK\x05\x06", 0, 0, count, count, length, start, 0):
        raise BundleError("not a readable zip: its end is not as a bundle has it")
    if length > count * (_CENTRAL.size + _LONGEST_NAME):
        raise BundleError("its directory is longer than names of files")
    source.seek(start)
    table = source.read(length)
    found, position, at = [], 0, 0
    for _ in range(count):
        member, at = _entry(table, at, position, is_name)
        position = member.start + member.packed
        found.append(member)
    if at != length or position != start:
        raise BundleError("bytes before, between or after the files, or a comment among them")
    _check_sizes(found)
    return found


def _entry(table: bytes, at: int, position: int, is_name: Callable[[str], bool]) -> tuple[Member, int]:
    """Read the directory's record at ``at``, of the file whose local record must be at ``position``."""
    (_, _, _, flags, method, _, _, crc, packed, size, name_length, _, _, _, _, attributes, _) = _CENTRAL.unpack_from(
        table, at
    )
    raw = table[at + _CENTRAL.size : at + _CENTRAL.size + name_length]
    name = raw.decode("ascii", "backslashreplace")
    if not is_name(name):
        raise BundleError(f"no such file belongs in a bundle: {name[:80]!r}")
    if (attributes >> 16) & 0o170000 not in (0, 0o100000):
        raise BundleError(f"not a plain file: {name}")
    if method not in (_STORED, _DEFLATED):
        raise BundleError(f"compressed in an unknown way: {name}")
    if flags & 0x1:
        raise BundleError(f"encrypted: {name}")
    member = Member(name, size, packed, crc, method == _DEFLATED, position + _LOCAL.size + len(raw))
    wanted = _CENTRAL.pack(b"PK\x01\x02", _MADE_BY, _NEEDED, 0, *_common(member), 0, 0, 0, 0, PLAIN_FILE, position)
    if table[at : at + _CENTRAL.size] != wanted:
        _other_record(name)
    return member, at + _CENTRAL.size + len(raw)


def _check_sizes(found: list[Member]) -> None:
    unpacked, packed = sum(member.size for member in found), sum(member.packed for member in found)
    if unpacked > MAX_BYTES:
        raise BundleError("more than 2 GiB unpacked")
    if unpacked > max(RATIO_FLOOR, MAX_RATIO * packed):
        raise BundleError(f"packed more than {MAX_RATIO}:1")
    seen: set[str] = set()
    for member in found:
        if member.name.lower() in seen:
            raise BundleError(f"file named twice: {member.name}")
        seen.add(member.name.lower())
        if member.size > max(RATIO_FLOOR, MAX_RATIO * member.packed):
            raise BundleError(f"packed more than {MAX_RATIO}:1: {member.name}")


def _common(member: Member) -> tuple[int, ...]:
    """The fields that the local record and the directory share, from the compression on."""
    method = _DEFLATED if member.is_deflated else _STORED
    return (method, *_DOS_EPOCH, member.crc, member.packed, member.size, len(member.name))


def _local(member: Member) -> bytes:
    return _LOCAL.pack(b"PK\x03\x04", _NEEDED, 0, *_common(member), 0) + member.name.encode("ascii")


def _other_record(name: str) -> Never:
    raise BundleError(f"its zip record is not as a bundle has it: {name[:80]}")


def _packed(source: BinaryIO, member: Member) -> Iterator[bytes]:
    for start in range(0, member.packed, _CHUNK):
        # Others may read from the same source between two pieces.
        source.seek(member.start + start)
        yield source.read(min(_CHUNK, member.packed - start))


def _unpacked(source: BinaryIO, member: Member) -> Iterator[bytes]:
    if not member.is_deflated:
        yield from _packed(source, member)
        return
    inflating = zlib.decompressobj(-zlib.MAX_WBITS)
    for packed in _packed(source, member):
        is_past_the_end, rest = inflating.eof, packed
        while rest and not inflating.eof:
            yield inflating.decompress(rest, _CHUNK)
            rest = inflating.unconsumed_tail
        if is_past_the_end or inflating.unused_data:
            raise BundleError(f"packed size of {member.name} is not what the zip says")
    while not inflating.eof and (piece := inflating.decompress(b"", _CHUNK)):
        yield piece
    if not inflating.eof:
        raise BundleError(f"packed data of {member.name} have no end; their size is not what the zip says")
