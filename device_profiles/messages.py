"""Every kind of MQTT message by a profile: where to listen, and what was said.

One way for the gateway, whatever the format: JSON messages stand for themselves, Sparkplug needs a memory, which goes
in and comes out.
"""

from __future__ import annotations

from .errors import PayloadError
from .payload import decode_batch, topic_for
from .profile import Profile
from .quality import Fired
from .sparkplug import Memory, Said, decode_sparkplug, filters_for, parts_of, topic_parts

__all__ = ["Memory", "Said", "decode_messages", "filters_of", "listens"]


def filters_of(profile: Profile, device: str) -> tuple[str, ...]:
    """List the topic filters to subscribe to for a device; for Sparkplug it is called `group/edge/device`.

    Raises: PayloadError for a name that does not fit.
    """
    if profile.mqtt is not None and profile.mqtt.format == "sparkplug":
        return filters_for(device)
    return (topic_for(profile, device),)


def listens(profile: Profile, device: str, topic: str) -> bool:
    """Tell whether a message on this topic is to be shown to this device's decoder."""
    if profile.mqtt is None or profile.mqtt.format != "sparkplug":
        return topic == topic_for(profile, device)
    try:
        said = topic_parts(topic)
    except PayloadError:
        return False
    return (said.group, said.edge) == parts_of(device)[:2]


def decode_messages(
    profile: Profile,
    device: str,
    topic: str,
    payload: bytes,
    retained: bool = False,
    *,
    state: Memory | None = None,
    fired: Fired | None = None,
) -> Said:
    """Decode one message; keep `state` of the answer for the device's next one.

    Raises: PayloadError.
    """
    if profile.mqtt is not None and profile.mqtt.format == "sparkplug":
        return decode_sparkplug(profile, device, topic, payload, state, fired=fired)
    readings = decode_batch(profile, topic, payload, retained, fired=fired)
    return Said(tuple(one for one in readings if one.values))
