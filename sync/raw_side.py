"""What came over the wire beside a leaf: raw words or payload, times, reason. As one text in a TileAnswer.

Nothing here is committed to by the tree; it helps a person to understand a reading.
"""

from __future__ import annotations

from dataclasses import dataclass

from sync.errors import MessageError
from sync.fields import Fields, dump, parse, present


@dataclass(frozen=True)
class RawSide:
    """The raw side of one reading; `raw` is hexadecimal words or the message as it came."""

    raw: str
    reason: str | None = None
    device_time: str | None = None
    received: str | None = None
    seq: int | None = None
    imported: bool = False

    def to_text(self) -> str:
        """Write it as one JSON text."""
        return dump(
            present(
                {
                    "raw": self.raw,
                    "reason": self.reason or None,
                    "device_time": self.device_time or None,
                    "received": self.received,
                    "seq": self.seq,
                    "imported": 1 if self.imported else None,
                }
            )
        )

    @classmethod
    def from_text(cls, text: str) -> RawSide:
        """Read it; a text of another form is taken as the raw words themselves."""
        try:
            fields = Fields(parse(text))
            side = cls(
                fields.text("raw"),
                fields.optional_text("reason"),
                fields.optional_text("device_time"),
                fields.optional_text("received"),
                fields.optional_number("seq"),
                bool(fields.optional_number("imported")),
            )
            fields.end()
        except MessageError:
            return cls(text)
        return side
