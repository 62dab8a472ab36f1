"""Zips made by hand to deceive: each is refused whole, with a reason, before anything large is unpacked."""

import io
import re
import struct
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from evidence.bundle import MAX_FILES, Bundle, BundleWriter, read_bundle, write_bundle
from evidence.errors import BundleError, Code

CONTENT = f"content/{'a' * 64}"
STATEMENT = f"statements/{'b' * 64}.jws"


@dataclass
class Record:
    """One file of a zip as a forger writes it; None: what is true."""

    name: str = CONTENT
    data: bytes = b"what it says"
    method: int = 8
    size: int | None = None
    packed: int | None = None
    crc: int | None = None
    flags: int = 0
    attributes: int = 0o100644 << 16
    offset: int | None = None
    extra: bytes = b""
    comment: bytes = b""
    made_by: int = 0x0314
    needed: int = 20
    local: dict[str, Any] | None = None
    """What the local record says instead; the directory stays."""
    behind: bytes = b""
    is_absent: bool = False

    def body(self) -> bytes:
        if self.method != 8:
            return self.data
        packing = zlib.compressobj(6, zlib.DEFLATED, -15)
        return packing.compress(self.data) + packing.flush() + self.behind

    def fields(self) -> tuple[int, ...]:
        body = self.body()
        return (
            self.method, 0, 0x21,
            zlib.crc32(self.data) if self.crc is None else self.crc,
            len(body) if self.packed is None else self.packed,
            len(self.data) if self.size is None else self.size,
            len(self.name.encode()),
        )  # fmt: skip

    def front(self) -> bytes:
        if self.is_absent:
            return b""
        said = replace(self, local=None, **(self.local or {}))
        head = struct.pack("<4s2H", b"PK\x03\x04", said.needed, said.flags)
        return head + struct.pack("<3H3L2H", *said.fields(), len(said.extra)) + said.name.encode() + said.extra

    def directory(self, position: int) -> bytes:
        offset = position if self.offset is None else self.offset
        head = struct.pack("<4s3H", b"PK\x01\x02", self.made_by, self.needed, self.flags)
        lengths = (len(self.extra), len(self.comment), 0, 0, self.attributes, offset)
        tail = struct.pack("<3H3L", *self.fields()[:6]) + struct.pack("<5H2L", self.fields()[6], *lengths)
        return head + tail + self.name.encode() + self.extra + self.comment


def zipped(*records: Record, count: int | None = None, end: dict[str, int] | None = None, before: bytes = b"") -> bytes:
    out, table = before, b""
    for record in records:
        table += record.directory(len(out))
        out += record.front() + (b"" if record.is_absent else record.body())
    number = len(records) if count is None else count
    said = {
        "disk": 0,
        "here": number,
        "all": number,
        "length": len(table),
        "start": len(out),
        "comment": 0,
        **(end or {}),
    }
    tail = struct.pack(
        "<4s4H2LH", b"PK\x05\x06", said["disk"], 0, said["here"], said["all"], said["length"], said["start"],
        said["comment"],
    )  # fmt: skip
    return out + table + tail


def test_the_forgers_tool_makes_good_zips_when_told_nothing_else() -> None:
    opened = read_bundle(io.BytesIO(zipped(Record(), Record(STATEMENT, b"x", method=0))))
    assert (opened.content["a" * 64], opened.statements["b" * 64]) == (b"what it says", b"x")


SMALL = Record()
ZEROS = bytes(8 * 1024**2)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (lambda: zipped(Record("../" + CONTENT)), "no such file"),
        (lambda: zipped(Record("/" + CONTENT)), "no such file"),
        (lambda: zipped(Record("content/../index.json")), "no such file"),
        (lambda: zipped(Record("content\\" + "a" * 64)), "no such file"),
        (lambda: zipped(Record("C:" + CONTENT)), "no such file"),
        (lambda: zipped(Record("content/")), "no such file"),
        (lambda: zipped(Record(CONTENT + "\n")), "no such file"),
        (lambda: zipped(Record(CONTENT + "\0")), "no such file"),
        (lambda: zipped(Record(CONTENT.replace("a", "\u0430", 1))), "no such file"),
        (lambda: zipped(Record(CONTENT.upper())), "no such file"),
        (lambda: zipped(Record("Index.json")), "no such file"),
        (lambda: zipped(Record(""), SMALL), "no such file"),
        (lambda: zipped(SMALL, SMALL), "named twice"),
        (lambda: zipped(Record(attributes=0o120777 << 16)), "not a plain file"),
        (lambda: zipped(Record(attributes=0o040755 << 16)), "not a plain file"),
        (lambda: zipped(Record(attributes=0o100755 << 16)), "zip record"),
        (lambda: zipped(Record(flags=1)), "encrypted"),
        (lambda: zipped(Record(flags=8)), "zip record"),
        (lambda: zipped(Record(flags=0x800)), "zip record"),
        (lambda: zipped(Record(method=12)), "unknown way"),
        (lambda: zipped(Record(method=99)), "unknown way"),
        (lambda: zipped(Record(extra=b"\x01\x00\x04\x00abcd")), "zip record"),
        (lambda: zipped(Record(comment=b"see here")), "zip record"),
        (lambda: zipped(Record(made_by=20)), "zip record"),
        (lambda: zipped(Record(needed=45)), "zip record"),
        (lambda: zipped(Record(local={"name": CONTENT.replace("a", "d")})), "zip record"),
        (lambda: zipped(Record(local={"crc": 1})), "zip record"),
        (lambda: zipped(Record(local={"size": 1})), "zip record"),
        (lambda: zipped(Record(local={"flags": 8})), "zip record"),
        (lambda: zipped(Record(crc=1)), "check sum"),
        (lambda: zipped(Record(method=0, crc=1)), "check sum"),
        (lambda: zipped(Record(size=11)), "is not what the zip says"),
        (lambda: zipped(Record(size=13)), "is not what the zip says"),
        (lambda: zipped(Record(size=0)), "is not what the zip says"),
        (lambda: zipped(Record(data=ZEROS, size=100)), "is not what the zip says"),
        (lambda: zipped(Record(method=0, size=11)), "is not what the zip says"),
        (lambda: zipped(Record(behind=b"x")), "is not what the zip says"),
        (lambda: zipped(Record(behind=bytes(1024**2))), "is not what the zip says"),
        (lambda: zipped(Record(data=b"", method=8, behind=b"\xff" * 9)), "is not what the zip says"),
        (lambda: zipped(Record(method=8, packed=3)), "bytes before, between or after"),
        (lambda: zipped(Record(data=ZEROS)), "200:1"),
        (lambda: zipped(Record(data=ZEROS), Record(STATEMENT, bytes(60_000), method=0)), "200:1"),
        (lambda: zipped(*(Record(f"content/{n:064x}", size=2**32 - 1) for n in range(9))), "2 GiB"),
        (lambda: zipped(Record(STATEMENT, bytes(65_536), method=0)), "larger than any such file"),
        # One set of packed bytes shown as several files: what the smallest bombs are made of.
        (lambda: zipped(SMALL, Record(f"content/{'c' * 64}", offset=0, is_absent=True)), "zip record"),
        (lambda: zipped(Record(offset=1), SMALL), "zip record"),
        (lambda: zipped(replace(SMALL, offset=99)), "zip record"),
        (lambda: zipped(SMALL, before=b"MZ"), "zip record"),
        (lambda: zipped(SMALL) + b"x", "not a zip"),
        (lambda: zipped(SMALL) + zipped(SMALL), "not a zip"),
        (lambda: zipped(SMALL, count=0), "directory is longer"),
        (lambda: zipped(SMALL, count=2), "not a readable zip"),
        (lambda: zipped(SMALL, count=MAX_FILES + 1), "at most 20000"),
        (lambda: zipped(SMALL, count=65_535), "at most 20000"),
        (lambda: zipped(SMALL, end={"disk": 1}), "its end"),
        (lambda: zipped(SMALL, end={"here": 2}), "its end"),
        (lambda: zipped(SMALL, end={"comment": 3}), "its end"),
        (lambda: zipped(SMALL, end={"start": 3}), "not a zip"),
        (lambda: zipped(SMALL, end={"length": 3}), "not a zip"),
        (lambda: zipped(SMALL, end={"start": 2**32 - 1}), "not a zip"),
        (lambda: zipped(SMALL)[:-1], "not a zip"),
        (lambda: zipped(SMALL)[1:], "not a zip"),
        (lambda: b"", "too short"),
        (lambda: bytes(22), "not a zip"),
    ],
)  # fmt: skip
def test_deceiving_zip_is_refused_whole(data: Callable[[], bytes], words: str) -> None:
    with pytest.raises(BundleError, match=re.escape(words)) as caught:
        read_bundle(io.BytesIO(data()))
    assert caught.value.code is Code.BUNDLE_FORMAT
    assert len(caught.value.detail) < 300


class Zeros(io.RawIOBase):
    """A file of a given front and back with zeros between, of any length, in no memory."""

    def __init__(self, front: bytes, between: int, back: bytes) -> None:
        self._front, self._back = front, back
        self._end = len(front) + between + len(back)
        self._at = 0

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset if whence == 0 else self._end + offset
        return self._at

    def read(self, size: int = -1) -> bytes:
        stop = self._end if size < 0 else min(self._end, self._at + size)
        piece = bytearray(stop - self._at)
        for start, part in ((0, self._front), (self._end - len(self._back), self._back)):
            low, high = max(start, self._at), min(start + len(part), stop)
            if low < high:
                piece[low - self._at : high - self._at] = part[low - start : high - start]
        self._at = stop
        return bytes(piece)


GIGABYTE = 1024**3


def large_stored_file() -> Any:
    """A good zip of one stored file of a gigabyte of zeros."""
    crc, zeros = 0, bytes(1024**2)
    for _ in range(GIGABYTE // len(zeros)):
        crc = zlib.crc32(zeros, crc)
    record = Record(data=b"", method=0, size=GIGABYTE, packed=GIGABYTE, crc=crc)
    front, start = record.front(), len(record.front()) + GIGABYTE
    table = record.directory(0)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(table), start, 0)
    return Zeros(front, GIGABYTE, table + end)


@pytest.fixture
def traced() -> Iterator[None]:
    """Count memory while a test runs."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("traced")
def test_file_of_a_gigabyte_is_hashed_in_little_memory_and_never_read_whole() -> None:
    opened = read_bundle(large_stored_file())
    with pytest.raises(BundleError, match="larger than anything"):
        opened.content["a" * 64]
    assert opened.expected_index().startswith(b'{"files":[{"name":"content/')
    assert tracemalloc.get_traced_memory()[1] < 8 * 1024**2


def test_file_that_changes_after_the_bundle_was_opened_is_refused() -> None:
    source = io.BytesIO(zipped(Record(method=0)))
    opened = read_bundle(source)
    assert opened.content["a" * 64] == b"what it says"
    swapped = Record(method=0, data=b"what it lies")
    source.seek(0)
    source.write(zipped(swapped))
    with pytest.raises(BundleError):
        opened.content["a" * 64]


def test_as_many_files_as_a_bundle_may_hold_and_one_more() -> None:
    for more, is_good in ((0, True), (1, False)):
        out = io.BytesIO()
        writer = BundleWriter(out)
        for number in range(MAX_FILES - 1 + more):
            writer.add(f"content/{number:064x}", b"")
        writer.close()
        if is_good:
            assert len(read_bundle(out).content) == MAX_FILES - 1
        else:
            with pytest.raises(BundleError, match="at most"):
                read_bundle(out)


def test_packed_one_by_one_is_the_bundle_that_was_packed_at_once() -> None:
    bundle = Bundle({"b" * 64: b"x"}, {"b" * 64: b"y"}, {"a" * 64: b"z"})
    out = io.BytesIO()
    writer = BundleWriter(out)
    for name, data in bundle.files().items():
        writer.add(name, data)
    writer.close()
    assert out.getvalue() == write_bundle(bundle)
    assert read_bundle(out) == replace(bundle, index=bundle.expected_index())
