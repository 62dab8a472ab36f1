"""The gateway's errors, named by what the caller does next.

GatewayError                  what, which one, what to do; in Chinese and English
├── MisuseError               the user's input is wrong: show it, change the input (exit 3)
├── RefusedError              the answer is "not so": show it, nothing was changed (exit 1)
│   ├── ConflictError         an import contradicts what is stored
│   ├── NoLongerKeptError     it was kept, and is older than the retention
│   ├── TrustRefusedError     a trust bundle is not taken (`trust_client.py`); says why by a fault's name
│   ├── IntegrityError        the store and the raw tiles do not agree
│   │   └── GarbledError      a row or the schema holds what this program never wrote
│   └── DamagedError          the database file itself is malformed
└── UnreachableError          could not connect or could not tell: try again (exit 2)
    ├── StoreError            SQLite refused: locked, unreadable
    │   └── DiskFullError     the disk takes nothing more: stop taking in until it does
    └── UplinkError           the centre did not answer as agreed

DeviceError                   a read failed; carries the flag and reason a reading gets
├── DeviceBusyError           retry: time-out, busy, a broken answer
├── DeviceGoneError           no connection: back off
└── DeviceConfigurationError  the device says the request is wrong: do not hammer

A bad *measurement* is never an exception, it is a reading with a flag.
"""

from __future__ import annotations

Words = tuple[str, str]
"""One thing said in Chinese and in English."""


class GatewayError(Exception):
    """Anything the gateway tells a person; `str()` is the English line."""

    exit_code = 1

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.zh = zh
        self.en = en


class MisuseError(GatewayError):
    """The input is wrong; nothing was done."""

    exit_code = 3


class RefusedError(GatewayError):
    """The question was understood and the answer is no."""

    exit_code = 1


class ConflictError(RefusedError):
    """An import says something else than what is already stored."""


class NoLongerKeptError(RefusedError):
    """What is asked for is older than the retention and was let go."""


class IntegrityError(RefusedError):
    """The database and the files beside it do not agree."""


class GarbledError(IntegrityError):
    """SQLite reads the file, but a row or the schema holds what this program never wrote there."""


class DamagedError(RefusedError):
    """SQLite cannot make sense of the database file; no repetition changes that."""


class UnreachableError(GatewayError):
    """Could not connect or could not tell; the same call may work later."""

    exit_code = 2


class StoreError(UnreachableError):
    """SQLite refused; the transaction was rolled back."""


class DiskFullError(StoreError):
    """The disk is full or cannot be written; what is stored stays."""


class UplinkError(UnreachableError):
    """The centre could not be reached or broke the protocol; retry later."""


class DeviceError(GatewayError):
    """A device could not be read; becomes a reading with flag B and `reason`."""

    exit_code = 2

    def __init__(self, zh: str, en: str, reason: str) -> None:
        super().__init__(zh, en)
        self.reason = reason


class DeviceBusyError(DeviceError):
    """Try again at the next poll."""


class DeviceGoneError(DeviceError):
    """There is no connection; back off before the next try."""


class DeviceConfigurationError(DeviceError):
    """The device rejects the request itself (exception 01, 02, 03)."""

    exit_code = 3
