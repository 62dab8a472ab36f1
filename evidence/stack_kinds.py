"""Members of configurations and segments that only channels of a stack (CEMS) have."""

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from evidence.members import Closed, Id, Number, Sid, Text, matching

_LETTERS = re.compile(r"[NFMSDCTB-]{60}\Z", re.ASCII)
_RULE = re.compile(r"Q[0-9]{2}\Z", re.ASCII)

Letters = Annotated[str, matching(_LETTERS, "60 letters, one a minute")]
RuleId = Annotated[str, matching(_RULE, "the id of a quality rule")]


class OverrideData(Closed):
    """A site's own limit of a rule, or the rule turned off."""

    rule: RuleId
    reason: Annotated[str, Field(min_length=1, max_length=2000)]
    limit: Id | None = None
    value: Number | None = None
    off: Literal["yes"] | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> "OverrideData":
        if (self.limit is None) != (self.value is None) or (self.limit is None) != (self.off is not None):
            raise ValueError("an override has a limit and its value, or turns the rule off")
        return self


class RulesData(Closed):
    """A rule set by name, version and digest, with what a site overrides."""

    id: Id
    version: Text
    hash: Sid
    overrides: Annotated[list[OverrideData], Field(min_length=1)] | None = None


class StackData(Closed):
    """What a channel measures in a stack, and the rules its hours are judged by."""

    quantity: Id
    samples: Number
    share: Number
    rules: RulesData


class DerivationData(Closed):
    """How a derived channel is computed: rule, parts by channel, constants, basis, rule set."""

    rule: Id
    inputs: Annotated[dict[Id, Id], Field(min_length=1)]
    constants: dict[Id, Number] | None = None
    basis: Literal["dry", "wet"] | None = None
    rules: RulesData
