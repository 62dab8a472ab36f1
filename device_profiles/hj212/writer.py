"""Packets to frames, strictly as the standard says: for answers, simulators and test data."""

from __future__ import annotations

import re

from .crc import annex_crc, crc_text
from .edition import ANSWER_BIT, PACKET_BIT, table, version_bits
from .encryption import encrypt
from .errors import PacketError, WriteError
from .packet import Packet, read_packet
from .stream import MARK, TAIL, Frame

_MN = re.compile(r"[0-9A-F]{24}\Z", re.ASCII)


def write_frame(segment: bytes, key: bytes | None = None) -> bytes:
    """Put length, check sum and tail around a data segment; with a key, encrypt its data area last.

    Raises: WriteError for a segment longer than four digits can say.
    """
    if len(segment) > 9999:
        raise WriteError(f"{len(segment)} characters do not fit a frame")
    sent = segment if key is None else encrypt(segment, key)
    return MARK + b"%04d" % len(segment) + sent + crc_text(annex_crc(segment)).encode("ascii") + TAIL


def write_packet(packet: Packet, key: bytes | None = None, *, is_answer: bool = False) -> bytes:
    """Write a packet as one frame.

    An answer repeats MN and PW of what it answers, also where these deviate.

    Raises: WriteError where a field is not as the standard wants it; nothing is repaired.
    """
    rules = table(packet.edition)
    _refuse_wrong_head(packet, is_answer=is_answer)
    pairs = [("QN", packet.qn), ("ST", packet.st), ("CN", packet.cn), ("PW", packet.pw), ("MN", packet.mn)]
    pairs.append(("Flag", str(packet.flag)))
    if packet.pnum is not None:
        pairs += [("PNUM", str(packet.pnum)), ("PNO", str(packet.pno))]
    if packet.is_backfill:
        pairs.append(("RF", "1"))
    cp = ";".join(",".join(f"{name}={value}" for name, value in item) for item in packet.items)
    head = ";".join(f"{name}={value}" for name, value in pairs)
    segment = f"{head};CP=&&{cp}&&".encode()
    if len(cp) > rules.longest_cp or len(segment) > rules.longest_segment:
        raise WriteError(f"{len(segment)} characters with {len(cp)} in CP are too many; split it into packets")
    try:
        again = read_packet(Frame(b"", segment, ""))
    except PacketError as error:
        raise WriteError(str(error)) from error
    if (again.items, again.mn, again.pw) != (packet.items, packet.mn, packet.pw):
        raise WriteError("a value holds a character that separates fields")
    return write_frame(segment, key)


def _refuse_wrong_head(packet: Packet, *, is_answer: bool) -> None:
    if not packet.qn:
        raise WriteError("no QN")
    if not is_answer and not _MN.match(packet.mn):
        raise WriteError(f"MN {packet.mn!r} is not 24 characters of 0-9 and A-F")
    if not is_answer and len(packet.pw) != 6:
        raise WriteError("PW has not 6 characters")
    flag = packet.flag
    claims = None if flag is None else flag & ~(ANSWER_BIT | PACKET_BIT)
    is_answer_flag = is_answer and flag == table(packet.edition).answer_flag
    if claims != version_bits(packet.edition) and not is_answer_flag:
        raise WriteError(f"Flag {flag} does not claim HJ 212-{packet.edition}")
    has_numbers = packet.pnum is not None and packet.pno is not None
    if has_numbers != bool((flag or 0) & PACKET_BIT) or (packet.pnum is None) != (packet.pno is None):
        raise WriteError("PNUM and PNO go with bit D of the Flag, and only with it")
    if packet.pnum is not None and packet.pno is not None and not 1 <= packet.pno <= packet.pnum:
        raise WriteError(f"PNO {packet.pno} of {packet.pnum}")
