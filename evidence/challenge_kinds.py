"""The retention challenge as an ``inspect`` statement states it; what it must agree with is ``challenge.py``."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from evidence.challenge import MOST_DRAWS
from evidence.members import Closed, Count, GatewayId, Positive, Sid


class ChallengedTile(Closed):
    """One raw tile that was asked for, and what became of it."""

    gw: GatewayId
    epoch: Positive
    tile: Count
    state: Literal["proven", "refused", "missing"]


class ChallengeData(Closed):
    """Which tiles of a month were asked for, and why just these.

    ``asked`` is the size of the log at the request, ``seed`` the checkpoint that fixed the tiles, verbatim.
    """

    month: Sid
    asked: Count
    seed: Annotated[str, Field(max_length=4000)]
    tiles: Annotated[list[ChallengedTile], Field(min_length=1, max_length=MOST_DRAWS)]
    result: Literal["passed", "failed"]

    @model_validator(mode="after")
    def _each_tile_once(self) -> "ChallengeData":
        if len({(one.gw, one.epoch, one.tile) for one in self.tiles}) != len(self.tiles):
            raise ValueError("a tile is named twice")
        return self
