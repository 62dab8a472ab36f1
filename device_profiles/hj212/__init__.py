"""HJ 212, the national transmission protocol of automatic monitoring, without I/O: bytes to packets and back.

`FrameStream` cuts a byte stream into frames, `read_packet` reads one, `groups` gives its values by time;
`answer_to` builds what the standard wants answered. What differs between the editions stands in `tables/`.
"""

from .answers import AnswerKind, answer_to
from .crc import annex_crc, crc_text, modbus_crc
from .deviation import Deviation
from .edition import Command, Edition, Factor, FieldRule, Table, edition_of_flag, table
from .encryption import KEY_BYTES, decrypt, encrypt
from .errors import PacketError, WriteError
from .packet import Item, Packet, read_packet
from .readings import FactorValue, Group, PacketSeries, groups, number_of
from .stream import Broken, Fault, Frame, FrameStream
from .times import parse_time, parse_zone, time_of
from .writer import write_frame, write_packet

__all__ = [
    "KEY_BYTES",
    "AnswerKind",
    "Broken",
    "Command",
    "Deviation",
    "Edition",
    "Factor",
    "FactorValue",
    "Fault",
    "FieldRule",
    "Frame",
    "FrameStream",
    "Group",
    "Item",
    "Packet",
    "PacketError",
    "PacketSeries",
    "Table",
    "WriteError",
    "annex_crc",
    "answer_to",
    "crc_text",
    "decrypt",
    "edition_of_flag",
    "encrypt",
    "groups",
    "modbus_crc",
    "number_of",
    "parse_time",
    "parse_zone",
    "read_packet",
    "table",
    "time_of",
    "write_frame",
    "write_packet",
]
