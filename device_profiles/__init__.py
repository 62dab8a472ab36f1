"""Device models described by data, and the one decoder that reads by them. Pure: no socket, no clock.

A profile is a YAML file in `definitions/` (or the site's own): adding a device is adding a file.
"""

from .catalogue import shipped, shipped_texts
from .decoder import decode, decode_block, decode_point
from .encoder import encode, encode_payload, encode_words
from .errors import EncodeError, Fault, PayloadError, ProfileError
from .identity import IDENTIFICATION_OBJECTS, Mismatch, mismatches
from .loader import content_hash, load, load_text
from .messages import Memory, Said, decode_messages, filters_of, listens
from .model import (
    Invalid,
    Mqtt,
    Parameter,
    Point,
    Role,
    Table,
    Totaliser,
    TotaliserRule,
    Transport,
)
from .orders import ByOrder, ByUnit, by_orders, by_units, declared_order
from .payload import PayloadReadings, decode_payload, device_of, topic_for
from .planner import ReadBlock
from .profile import Profile
from .quality import FLAG_OF, Decoded, Quality, Reason
from .schema import schema
from .units import UNITS, Unit, rate_per_hour
from .vectors import settings_of, shown_value
from .words import hex_text, hex_words

__all__ = [
    "FLAG_OF",
    "IDENTIFICATION_OBJECTS",
    "UNITS",
    "ByOrder",
    "ByUnit",
    "Decoded",
    "EncodeError",
    "Fault",
    "Invalid",
    "Memory",
    "Mismatch",
    "Mqtt",
    "Parameter",
    "PayloadError",
    "PayloadReadings",
    "Point",
    "Profile",
    "ProfileError",
    "Quality",
    "ReadBlock",
    "Reason",
    "Role",
    "Said",
    "Table",
    "Totaliser",
    "TotaliserRule",
    "Transport",
    "Unit",
    "by_orders",
    "by_units",
    "content_hash",
    "declared_order",
    "decode",
    "decode_block",
    "decode_messages",
    "decode_payload",
    "decode_point",
    "device_of",
    "encode",
    "encode_payload",
    "encode_words",
    "filters_of",
    "hex_text",
    "hex_words",
    "listens",
    "load",
    "load_text",
    "mismatches",
    "rate_per_hour",
    "schema",
    "settings_of",
    "shipped",
    "shipped_texts",
    "shown_value",
    "topic_for",
]
