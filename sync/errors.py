"""Errors of the store-and-forward protocol.

MessageError
    the other side sent something that is no message; names the member and what is wrong with it.
"""


class MessageError(ValueError):
    """A received text is not the message it should be."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}" if where else what)
        self.where = where
        self.what = what
