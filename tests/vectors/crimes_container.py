"""Cases of the container: zip files that another program made, or that somebody made on purpose."""

from __future__ import annotations

import zlib
from dataclasses import replace

from vector_case import Files, Member, approved, bare_trust, case, month, trust_json, zip_of

from evidence.encoding import jcs

STATEMENT = f"statements/{'a' * 64}.jws"
INDEX = Member("index.json", jcs({"files": [], "v": 1}))
SMALL = Member(STATEMENT, b"a statement " * 9)
BUNDLE_FORMAT = "BUNDLE_FORMAT"


def beside_trust(data: bytes) -> Files:
    """Show a container; what is in it does not matter, as it is refused whole."""
    return {"bundle.evb": data, "trust.json": bare_trust()}


def of(*members: Member, **around: bytes) -> Files:
    """Show a container of these members."""
    return beside_trust(zip_of(members, **around))


def whole(method: int, *left_out: str, **changed: bytes) -> Files:
    """Pack an approved month into a container of our own making, with files left out or replaced."""
    world = approved()
    bundle = world.pack(readings=())
    files = {**bundle.files(), "index.json": bundle.expected_index(), **changed}
    members = [Member(name, files[name], method) for name in sorted(files) if name not in left_out]
    return {"bundle.evb": zip_of(members), "trust.json": trust_json(world.trust())}


@case("container/stored", "an approved month whose files are stored, not deflated")
def _() -> Files:
    return whole(0)


@case("container/index-missing", "index.json is left out", BUNDLE_FORMAT)
def _() -> Files:
    return whole(8, "index.json")


@case("container/index-of-other-files", "index.json lists nothing", BUNDLE_FORMAT)
def _() -> Files:
    return whole(8, **{"index.json": INDEX.data})


@case("container/index-with-a-line-break", "index.json is not canonical", BUNDLE_FORMAT)
def _() -> Files:
    world = approved()
    index = world.pack(readings=()).expected_index()
    return whole(8, **{"index.json": index + b"\n"})


@case("container/statement-under-another-name", "a copy of a statement under a name that is not its sid", BUNDLE_FORMAT)
def _() -> Files:
    world = approved()
    bundle = world.pack(readings=())
    return month(world, statements={**bundle.statements, "a" * 64: world.segments[0].jws.encode()})


@case("container/receipt-without-its-statement", "a receipt that belongs to nothing here", BUNDLE_FORMAT)
def _() -> Files:
    world = approved()
    bundle = world.pack(readings=())
    return month(world, proofs={**bundle.proofs, "a" * 64: bundle.proofs[world.segments[0].sid]})


for label, name in {
    "path-escape": "../x",
    "path-absolute": "/etc/passwd",
    "path-dots": "content/..",
    "path-backslash": "content\\" + "a" * 64,
    "name-of-no-folder": "readme.txt",
    "name-in-capitals": "content/" + "A" * 64,
    "name-with-a-leading-zero": "readings/01-1.json",
    "name-with-a-line-break": "index.json\n",
    "folder": "content/",
}.items():

    @case(f"container/{label}", f"a file is called {name[:40]!r}", BUNDLE_FORMAT)
    def _(name: str = name) -> Files:
        return of(INDEX, replace(SMALL, name=name))


@case("container/name-twice", "two files of one name", BUNDLE_FORMAT)
def _() -> Files:
    return of(INDEX, SMALL, SMALL)


@case("container/case-twins", "two names that differ in letter case only", BUNDLE_FORMAT)
def _() -> Files:
    return of(INDEX, replace(INDEX, name="INDEX.JSON"))


@case("container/link", "a symbolic link", BUNDLE_FORMAT)
def _() -> Files:
    return of(INDEX, replace(SMALL, mode=0o120777, data=b"/etc/passwd"))


@case("container/bomb", "2 MiB of zeros in 2 kB", BUNDLE_FORMAT)
def _() -> Files:
    return of(INDEX, replace(SMALL, data=bytes(2 * 1024**2)))


@case("container/too-large", "a file that says to unpack to 3 GiB", BUNDLE_FORMAT)
def _() -> Files:
    return of(INDEX, replace(SMALL, size=3 * 1024**3))


for label, what, member in (
    ("encrypted", "a file marked as encrypted", replace(SMALL, flags=0x1)),
    ("with-data-descriptor", "a file whose sizes are said to follow", replace(SMALL, flags=0x8)),
    ("with-utf8-flag", "a file whose name is marked as UTF-8", replace(SMALL, flags=0x800)),
    ("compressed-by-bzip2", "a file compressed in another way", replace(SMALL, method=12)),
    ("other-date", "a file with a date of its own", replace(SMALL, date=0x5A21)),
    ("other-mode", "a file that may be executed", replace(SMALL, mode=0o100755)),
    ("made-on-dos", "a file made on another system", replace(SMALL, made_by=20)),
    ("with-an-extra-field", "a file with an extra field", replace(SMALL, extra=b"UT\x01\x00\x00")),
    ("says-too-little", "a file that says to be one byte shorter", replace(SMALL, size=len(SMALL.data) - 1)),
    ("says-too-much", "a file that says to be one byte longer", replace(SMALL, size=len(SMALL.data) + 1)),
    ("wrong-check-sum", "a file with another check sum", replace(SMALL, crc=zlib.crc32(SMALL.data) ^ 1)),
    ("hidden-behind-deflate", "a byte behind the end of deflated data", replace(SMALL, packed=SMALL.body() + b"x")),
    ("deflate-cut-off", "deflated data without their end", replace(SMALL, packed=SMALL.body()[:-1])),
    ("deflate-damaged", "deflated data of a reserved block type", replace(SMALL, packed=b"\x07" + SMALL.body()[1:])),
    ("stored-longer-than-said", "stored data longer than said", replace(SMALL, method=0, packed=SMALL.data + b"x")),
):

    @case(f"container/{label}", what, BUNDLE_FORMAT)
    def _(member: Member = member) -> Files:
        return of(INDEX, member)


@case("container/bytes-before", "four bytes before the first file", BUNDLE_FORMAT)
def _() -> Files:
    return of(INDEX, SMALL, before=b"junk")


@case("container/bytes-after", "four bytes after the end", BUNDLE_FORMAT)
def _() -> Files:
    return of(INDEX, SMALL, after=b"junk")


@case("container/with-a-comment", "a comment of the zip", BUNDLE_FORMAT)
def _() -> Files:
    return of(INDEX, SMALL, comment=b"hello")


@case("container/twice-over", "the container twice, one behind the other", BUNDLE_FORMAT)
def _() -> Files:
    return beside_trust(zip_of([INDEX, SMALL]) * 2)


@case(
    "container/bytes-between",
    "another file's record between two files, which the directory does not name",
    BUNDLE_FORMAT,
)
def _() -> Files:
    first, second = zip_of([INDEX]), zip_of([INDEX, SMALL])
    cut = first.index(b"PK\x01\x02")
    return beside_trust(second[:cut] + first[:cut] + second[cut:])


@case("container/local-name-differs", "directory and record name a file differently", BUNDLE_FORMAT)
def _() -> Files:
    data = zip_of([INDEX, SMALL])
    return beside_trust(data.replace(b"a" * 64, b"b" * 64, 1))


@case("container/cut-off", "the end of the container is missing", BUNDLE_FORMAT)
def _() -> Files:
    return beside_trust(zip_of([INDEX, SMALL])[:-30])


@case("container/counts-one-less", "the directory's end counts one file less", BUNDLE_FORMAT)
def _() -> Files:
    data = bytearray(zip_of([INDEX, SMALL]))
    data[-14] = data[-12] = 1
    return beside_trust(bytes(data))


@case("container/no-zip", "a text", BUNDLE_FORMAT)
def _() -> Files:
    return beside_trust("这不是证据包\n".encode())


@case("container/nothing", "a file of no bytes", BUNDLE_FORMAT)
def _() -> Files:
    return beside_trust(b"")


@case("container/deflated-to-nothing", "a file of no bytes whose deflated form is missing", BUNDLE_FORMAT)
def _() -> Files:
    return of(replace(INDEX, data=b"", packed=b""))
