"""Remembers what each device said of itself, so that another device in its place is noticed (check Q34).

A change is kept, signed as an event that names before and after, and, unless maintenance is marked between the two
looks, said by the next reading of each channel of the device.
"""

from __future__ import annotations

import logging

from evidence.errors import EvidenceError
from evidence.judge_device import IdentityChange
from gateway.chain import append_event
from gateway.device_store import keep_clock, keep_identity, known_identity
from gateway.errors import GatewayError
from gateway.nameplate import EVERY, Told
from gateway.pipeline import Pipeline
from gateway.store import Store

log = logging.getLogger("cunzheng.gateway")


class DeviceRegister:
    """Compares what devices say of themselves with what they said before."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._noted: dict[str, Told] = {}

    def is_news(self, told: Told) -> bool:
        """Tell whether something is to be kept: another word than the last, or the last one long ago.

        For devices that say who they are with every message.
        """
        last = self._noted.get(told.device)
        if last is None or told.read - last.read >= EVERY:
            return True
        return any(last.identity.get(point) != value for point, value in told.identity.items())

    async def note(self, told: Told) -> None:
        """Take in what a device said; a store that refuses leaves the comparison to the next look."""
        try:
            changes = await self._pipeline.writer.do(lambda store: self._compared(store, told))
        except (GatewayError, EvidenceError) as error:
            log.error("device not noted device=%s reason=%r", told.device, str(error))
            return
        self._noted[told.device] = told
        for change in changes:
            log.warning(
                "device identity changed device=%s point=%s before=%r after=%r",
                change.device,
                change.point,
                change.before,
                change.after,
            )
        self._pipeline.judge.device_changed(changes, told.channels)

    def _compared(self, store: Store, told: Told) -> list[IdentityChange]:
        known = known_identity(store, told.device)
        changes = []
        for point, value in told.identity.items():
            before = known.get(point)
            if before is not None and before.value != value:
                changes.append(IdentityChange(told.device, point, before.value, value, before.seen, told.read))
        for change in changes:
            append_event(store, self._pipeline.signer, "maintenance", change.event_data())
        keep_identity(store, told.device, told.identity.items(), told.read)
        if told.clock is not None:
            keep_clock(store, told.device, told.clock.shown, told.clock.read, told.clock.offset_s)
        return changes
