"""How long to wait before a peer is tried again: soon while nobody is there, ever longer while it refuses.

A peer that is away costs nobody anything but a connection that is not made, and is to be found as soon as it is back.
One that answers and refuses, or takes a connection only to end it, is a case for a person: asking fast would only
press it. Every pause is drawn below its bound, so that many gateways do not come back in step.
"""

from __future__ import annotations

import random

AWAY_S = 1.0
"""The longest pause while nobody is there, on the plant's network: a broker, a device."""
CENTRE_AWAY_S = 1.5
"""The same for the centre, which many gateways look for at once."""
_FIRST_AWAY_S = 0.25
_FIRST_REFUSED_S = 1.0
_LEAST_SHARE = 0.75
_MOST_DOUBLINGS = 20


class Patience:
    """Counts tries in vain at one peer; `longest_s` bounds the pauses while it refuses, `away_s` while it is away."""

    def __init__(self, longest_s: float, away_s: float = AWAY_S, draw: random.Random | None = None) -> None:
        self._longest_s, self._away_s = longest_s, min(away_s, longest_s)
        self._draw = draw or random.Random()
        self._missed = self._refusals = 0

    def well(self) -> None:
        """Note that the peer is there and does what it should."""
        self._missed = self._refusals = 0

    def away(self) -> float:
        """Note that nobody was there; return the seconds to wait. What it refused before is not forgotten by that."""
        self._missed += 1
        return self._pause(_FIRST_AWAY_S, self._missed, self._away_s)

    def refused(self, asked_s: float = 0.0) -> float:
        """Note that the peer is there and refuses; return the seconds to wait.

        `asked_s`: how long it asked to be left alone, which is kept up to the longest pause.
        """
        self._missed, self._refusals = 0, self._refusals + 1
        return max(self._pause(_FIRST_REFUSED_S, self._refusals, self._longest_s), min(asked_s, self._longest_s))

    def _pause(self, first_s: float, times: int, most_s: float) -> float:
        bound = min(first_s * (1 << min(times - 1, _MOST_DOUBLINGS)), most_s)
        return bound * (_LEAST_SHARE + (1 - _LEAST_SHARE) * self._draw.random())
