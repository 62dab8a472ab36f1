"""What a verifier trusts, in one file: the log's key, the witness policy, and a snapshot of the key registry.

The file itself is trusted because of how it came: from the centre over TLS, or by hand. It ages; an old one
gives graded answers (``verify.py``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from evidence.encoding import parse_time, time_text
from evidence.errors import Code, EvidenceError
from evidence.note import NoteKey
from evidence.policy import NO_WITNESSES, Policy
from evidence.registry import Registry
from evidence.stamp import check_authority


@dataclass(frozen=True)
class Trust:
    """Trust anchors as of a log size and time."""

    log: NoteKey
    registry: Registry
    size: int
    issued: datetime
    expires: datetime
    policy: Policy = NO_WITNESSES
    tsa: tuple[str, ...] = ()
    """PEM certificates of those who certify the time-stamping authority."""

    @property
    def origin(self) -> str:
        """Name of the central log."""
        return self.log.name

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        optional = {"tsa": list(self.tsa)} if self.tsa else {}
        return {
            **optional,
            "v": 1,
            "log": self.log.text,
            "policy": self.policy.text,
            "size": self.size,
            "issued": time_text(self.issued),
            "expires": time_text(self.expires),
            "registry": self.registry.to_json(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Trust":
        """Read the JSON form.

        Raises:
            EvidenceError: ``SCHEMA`` or ``ENCODING``.
        """
        try:
            if value["v"] != 1:
                raise EvidenceError(Code.SCHEMA, f"trust file of version {value['v']!r}")
            if int(value["size"]) < 0:
                raise EvidenceError(Code.SCHEMA, "the size in the trust file is impossible")
            if not parse_time(value["issued"]) < parse_time(value["expires"]):
                raise EvidenceError(Code.SCHEMA, "the trust file expires before it was issued")
            log = NoteKey.parse(value["log"])
            return cls(
                log=log,
                registry=Registry.from_json(value["registry"]),
                size=int(value["size"]),
                issued=parse_time(value["issued"]),
                expires=parse_time(value["expires"]),
                policy=_policy(value, log),
                tsa=tuple(check_authority(pem) for pem in value.get("tsa", ())),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise EvidenceError(Code.SCHEMA, f"not a trust file: {error!r}") from error


def _policy(value: Mapping[str, Any], log: NoteKey) -> Policy:
    """Read the policy; files of before there was one state witnesses and how many of them are needed."""
    if "policy" not in value:
        return Policy.of_number((NoteKey.parse(text) for text in value["witnesses"]), int(value["quorum"]))
    policy = Policy.parse(value["policy"])
    if policy.logs and log not in policy.logs:
        raise EvidenceError(Code.SCHEMA, f"the policy of the trust file is not for log {log.name}")
    return policy
