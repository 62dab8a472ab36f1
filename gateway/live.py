"""The latest value of each channel, for the plant's page at the centre. Never evidence, may be lost."""

from __future__ import annotations

from evidence.encoding import decimal_text, time_text
from evidence.reading import Reading
from gateway.uplink import Uplink
from sync.messages import Live, LiveSample

LIVE = "/api/v1/live"


class LiveBoard:
    """Collects the newest reading of each channel and posts what changed."""

    def __init__(self, channels: frozenset[str]) -> None:
        self._channels = channels
        self._newest: dict[str, Reading] = {}

    def show(self, channels: frozenset[str]) -> None:
        """Collect these channels from now on."""
        self._channels = channels
        self._newest = {name: one for name, one in self._newest.items() if name in channels}

    def note(self, reading: Reading) -> None:
        """Remember a reading if it is newer than the one held."""
        held = self._newest.get(reading.channel)
        if reading.channel in self._channels and (held is None or held.time <= reading.time):
            self._newest[reading.channel] = reading

    def post(self, uplink: Uplink) -> int:
        """Post what is held; return how many values went.

        Raises:
            UplinkError: the centre did not take them; they are dropped.
        """
        taken, self._newest = self._newest, {}
        if not taken:
            return 0
        samples = tuple(
            LiveSample(
                channel=one.channel,
                time=time_text(one.time),
                value=None if one.value is None else decimal_text(one.value),
                unit=one.unit,
                flag=one.flag.value,
            )
            for one in taken.values()
        )
        uplink.post(LIVE, Live(samples).to_json())
        return len(samples)
