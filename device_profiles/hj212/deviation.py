"""Ways in which real loggers deviate from the standard and are understood all the same. Noted, never repaired."""

from __future__ import annotations

from enum import StrEnum


class Deviation(StrEnum):
    """What was not as the standard says in a frame that was accepted."""

    CRC_LOWER_CASE = "crc-lower-case"
    CRC_NONSTANDARD = "crc-nonstandard"
    """The Modbus check sum in place of that of annex A; accepted only where the operator allows it."""
    LENGTH_THREE_DIGITS = "length-3-digits"
    EMPTY_PW = "empty-pw"
    PW_LENGTH = "pw-length"
    SHORT_MN = "short-mn"
    MN_LENGTH = "mn-length"
    MN_CHARACTERS = "mn-characters"
    """Not only 0-9 and A-F."""
    NO_QN = "no-qn"
    NO_FLAG = "no-flag"
    UNKNOWN_EDITION = "unknown-edition"
    EDITION_BEFORE_ISSUE = "edition-before-issue"
    """The Flag names an edition that was not issued when the frame says it was sent."""
    PNO_BEFORE_PNUM = "pno-before-pnum"
    PACKET_BIT = "packet-bit"
    """PNUM and PNO do not go together with bit D of the Flag."""
    COMMA_BEFORE_SEMICOLON = "comma-before-semicolon"
    SEMICOLON_AT_END = "semicolon-at-end"
    LONG_CP = "long-cp"
    DATATIME_17 = "datatime-17"
    DATATIME_BEFORE = "datatime-of-packet-before"
    """A later packet of a series without DataTime; that of the packet before it holds."""
