"""Bytes as they arrive to frames, without ever losing step: whatever stands between two frames is set aside whole.

A frame begins with `##` and four digits and must end, after as many bytes as they say, with a check sum and CR LF. A
beginning that does not lead there is given up and the search goes on right behind it, so a frame that follows noise,
a cut frame or a wrong length is found. Text ends at CR LF: a frame whose length reaches beyond it is given up at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from .crc import annex_crc, crc_text, modbus_crc
from .deviation import Deviation
from .encryption import area_of, decrypt

MARK = b"##"
TAIL = b"\r\n"
CRC_CHARACTERS = 4
LONGEST_SEGMENT = 1024
"""Bytes of a data segment (HJ 212-2017, 6.3.1); longer ones are split into packets."""
_MOST_ASIDE = 4096
"""Bytes set aside at once: more noise than this comes as several pieces."""
_HEX = re.compile(rb"[0-9A-Fa-f]{4}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MN = re.compile(rb"(?:^|;)MN=([^;]*)")
_TEXT = bytes(range(0x20, 0x7F))
_NO_KEYS = MappingProxyType[str, bytes]({})


class Fault(StrEnum):
    """Why bytes are no frame."""

    NOISE = "noise"
    HEADER = "header"
    LENGTH = "length"
    TAIL = "tail"
    CRC = "crc"
    CRC_NONSTANDARD = "crc-nonstandard"
    ENCRYPTED = "encrypted"
    CUT = "cut"


@dataclass(frozen=True, slots=True)
class Frame:
    """Bytes that are a frame: the data segment, decrypted where it was encrypted, and what deviated."""

    raw: bytes
    segment: bytes
    crc: str
    deviations: tuple[Deviation, ...] = ()
    is_encrypted: bool = False


@dataclass(frozen=True, slots=True)
class Broken:
    """Bytes that are no frame, as they came, and why."""

    raw: bytes
    fault: Fault
    detail: str


@dataclass(frozen=True, slots=True)
class _Head:
    start: int
    length: int


class FrameStream:
    """One connection's bytes. `feed` gives what has become complete, `finish` what never will."""

    def __init__(
        self,
        *,
        allow_nonstandard_crc: bool = False,
        keys: Mapping[str, bytes] = _NO_KEYS,
        longest: int = LONGEST_SEGMENT,
    ) -> None:
        """`keys` are the SM4 keys by MN; `longest` bounds the data segment and so the memory."""
        self._allow_nonstandard, self._keys, self._longest = allow_nonstandard_crc, keys, longest
        self._buffer = b""
        self._aside = bytearray()
        self._why: tuple[Fault, str] | None = None

    def feed(self, data: bytes) -> list[Frame | Broken]:
        """Take what arrived, in pieces of any size; return frames and broken bytes in their order."""
        self._buffer += data
        found: list[Frame | Broken] = []
        at = 0
        while (step := self._step(at, found)) is not None:
            at = step
        self._buffer = self._buffer[at:]
        return found

    def finish(self) -> list[Frame | Broken]:
        """End the stream: what is left is broken."""
        found: list[Frame | Broken] = []
        if self._buffer:
            fault = Fault.CUT if self._buffer.startswith(MARK) else Fault.NOISE
            self._set_aside(self._buffer, fault, "the connection ended", found)
            self._buffer = b""
        self._flush(found)
        return found

    @property
    def pending(self) -> int:
        """Bytes that wait for more."""
        return len(self._buffer) + len(self._aside)

    # -- one step: something is consumed, or None says that more bytes are needed -----------------------------

    def _step(self, at: int, found: list[Frame | Broken]) -> int | None:
        buffer = self._buffer
        begin = buffer.find(MARK, at)
        if begin < 0:
            # A last "#" may be the first half of a mark.
            begin = max(at, len(buffer) - buffer.endswith(b"#"))
            if begin == at:
                return None
        if begin > at:
            self._set_aside(buffer[at:begin], Fault.NOISE, "bytes outside a frame", found)
            return begin
        head = self._head(at)
        if head is None:
            return None
        if isinstance(head, tuple):
            return self._give_up(at, at + len(MARK), *head, found)
        end = head.start + head.length + CRC_CHARACTERS + len(TAIL)
        line_end = buffer.find(TAIL, at, end)
        if 0 <= line_end < end - len(TAIL) and not buffer[at:line_end].translate(None, _TEXT):
            have = line_end - head.start - CRC_CHARACTERS
            return self._give_up(
                at, line_end + len(TAIL), Fault.LENGTH, f"says {head.length} characters, has {have}", found
            )
        if len(buffer) < end:
            return self._wait_or_skip(at, found)
        frame = self._complete(at, head, end)
        if isinstance(frame, Frame):
            self._flush(found)
            found.append(frame)
            return end
        return self._give_up(at, end, frame.fault, frame.detail, found)

    def _head(self, at: int) -> _Head | tuple[Fault, str] | None:
        """Read the length behind the mark; None where its digits have not all arrived."""
        buffer, start = self._buffer, at + len(MARK)
        digits = 0
        while digits < 4 and start + digits < len(buffer) and 0x30 <= buffer[start + digits] <= 0x39:
            digits += 1
        if digits < 4 and start + digits == len(buffer):
            return None
        if digits < 3:
            return Fault.HEADER, "no four digits of length behind ##"
        length = int(buffer[start : start + digits])
        if length > self._longest:
            return Fault.LENGTH, f"says {length} characters; at most {self._longest} are allowed"
        return _Head(start + digits, length)

    def _wait_or_skip(self, at: int, found: list[Frame | Broken]) -> int | None:
        """Wait for the rest of a frame, unless a whole frame stands inside what should be its text."""
        begin = self._buffer.find(MARK, at + 1)
        while begin >= 0:
            head = self._head(begin)
            if isinstance(head, _Head):
                end = head.start + head.length + CRC_CHARACTERS + len(TAIL)
                if len(self._buffer) >= end and isinstance(self._complete(begin, head, end), Frame):
                    return self._give_up(at, begin, Fault.CUT, "the next frame begins before its end", found)
            begin = self._buffer.find(MARK, begin + 1)
        return None

    def _complete(self, at: int, head: _Head, end: int) -> Frame | Broken:
        raw = self._buffer[at:end]
        segment = self._buffer[head.start : head.start + head.length]
        printed = raw[-len(TAIL) - CRC_CHARACTERS : -len(TAIL)]
        if not raw.endswith(TAIL):
            return Broken(raw, Fault.TAIL, "no CR LF where the length says")
        if not _HEX.match(printed):
            return Broken(raw, Fault.CRC, "the check sum is not four hexadecimal characters")
        given = int(printed, 16)
        crc = printed.decode("ascii")
        deviations = []
        if head.start - at < len(MARK) + 4:
            deviations.append(Deviation.LENGTH_THREE_DIGITS)
        if crc != crc.upper():
            deviations.append(Deviation.CRC_LOWER_CASE)
        computed = annex_crc(segment)
        area = area_of(segment)
        if area is not None and not _is_text(segment[slice(*area)]):
            # A cipher's bytes fit the weak check sum of annex A now and then; they are no text all the same.
            return self._decrypted(raw, segment, area, crc, tuple(deviations))
        if given == computed:
            return Frame(raw, segment, crc, tuple(deviations))
        if given == modbus_crc(segment):
            if self._allow_nonstandard:
                return Frame(raw, segment, crc, (*deviations, Deviation.CRC_NONSTANDARD))
            detail = f"{crc} is the Modbus check sum; that of annex A is {crc_text(computed)}"
            return Broken(raw, Fault.CRC_NONSTANDARD, detail)
        return Broken(raw, Fault.CRC, f"says {crc}, computed {crc_text(computed)}")

    def _decrypted(
        self, raw: bytes, segment: bytes, area: tuple[int, int], crc: str, deviations: tuple[Deviation, ...]
    ) -> Frame | Broken:
        """Try the key of the logger that the plain head names."""
        named = _MN.search(segment[: area[0]])
        mn = "" if named is None else named.group(1).decode("ascii", "replace")
        key = self._keys.get(mn)
        if key is None:
            return Broken(raw, Fault.ENCRYPTED, f"data area of {mn!r} is no text and there is no SM4 key for it")
        plain = decrypt(segment, key)
        if int(crc, 16) != annex_crc(plain) or not _is_text(plain[slice(*area)]):
            return Broken(raw, Fault.ENCRYPTED, f"data area of {mn!r} does not fit its check sum with the SM4 key")
        return Frame(raw, plain, crc, deviations, is_encrypted=True)

    # -- what is set aside --------------------------------------------------------------------------------------

    def _give_up(self, at: int, end: int, fault: Fault, detail: str, found: list[Frame | Broken]) -> int:
        """Set aside from `at` to the next mark, the line's end or `end`, whichever comes first."""
        following = self._buffer.find(MARK, at + 1, end + 1)
        if following < 0 and self._buffer[end - 1 : end] == b"#":
            following = end - 1
        cut = end if following < 0 else min(following, end)
        line_end = self._buffer.find(TAIL, at, cut)
        if line_end >= 0:
            cut = line_end + len(TAIL)
        self._set_aside(self._buffer[at:cut], fault, detail, found)
        return cut

    def _set_aside(self, piece: bytes, fault: Fault, detail: str, found: list[Frame | Broken]) -> None:
        if self._why is None or (self._why[0] is Fault.NOISE and fault is not Fault.NOISE):
            self._why = (fault, detail)
        self._aside += piece
        if len(self._aside) >= _MOST_ASIDE or self._aside.endswith(TAIL):
            self._flush(found)

    def _flush(self, found: list[Frame | Broken]) -> None:
        if self._aside and self._why is not None:
            whole = bytes(self._aside)
            found += [
                Broken(whole[start : start + _MOST_ASIDE], *self._why) for start in range(0, len(whole), _MOST_ASIDE)
            ]
        self._aside.clear()
        self._why = None


def _is_text(area: bytes) -> bool:
    """Tell plain text, Chinese too, from what a cipher leaves."""
    try:
        return _CONTROL.search(area.decode("utf-8")) is None
    except UnicodeDecodeError:
        return False
