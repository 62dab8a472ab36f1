"""The errors of this sub-package.

PacketError   the logger did wrong: a frame with a good check sum whose content cannot be read
WriteError    we were about to do wrong: a packet that the standard does not allow to be sent

Bytes that are no frame are no errors: the stream hands them over as `Broken`, and goes on.
"""

from __future__ import annotations


class PacketError(ValueError):
    """A data segment cannot be read. `code` is stable, `detail` is for a person."""

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        self.detail = detail
        super().__init__(f"{code}: {detail}")


class WriteError(ValueError):
    """A packet is not as the standard wants it; nothing was written."""
