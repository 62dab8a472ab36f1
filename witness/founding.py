"""Makes a new witness: settings where there are none, key, and memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evidence.keys import SigningKey
from evidence.note import ED25519_COSIGNATURE, NoteKey
from witness import keyfile, settings
from witness.memory import Memory
from witness.settings import Settings


@dataclass(frozen=True)
class Founded:
    """A witness that may run; `is_new` tells whether its key was made now."""

    settings: Settings
    vkey: str
    is_new: bool

    @property
    def policy_line(self) -> str:
        """What the policy file of the centre says of it."""
        name = self.settings.name.rpartition("/")[2]
        return f"witness {name} {self.vkey} http://{self.settings.host}:{self.settings.port}{self.settings.prefix}"


def write_settings(config: Path, name: str, logs: tuple[str, ...], host: str, port: int) -> None:
    """Write settings for a witness.

    Raises:
        WitnessError: a value is not allowed; nothing was written.
    """
    settings.checked({"name": name, "logs": logs, "host": host, "port": port}, config)
    config.write_text(settings.written(name, logs, host, port), encoding="utf-8")


def found(config: Path) -> Founded:
    """Make key and memory of the witness of some settings, unless they are there.

    Raises:
        WitnessError: the settings are wrong, or key and memory do not belong together.
    """
    chosen = settings.load(config)
    try:
        key, is_new = keyfile.make(chosen.key_file), True
    except FileExistsError:
        key, is_new = keyfile.read(chosen.key_file), False
    vkey = vkey_of(chosen, key)
    memory = Memory.make(chosen.memory_file, vkey) if is_new else Memory.open(chosen.memory_file, vkey)
    memory.close()
    return Founded(chosen, vkey, is_new)


def vkey_of(chosen: Settings, key: SigningKey) -> str:
    """Return what is published of a witness's key."""
    return NoteKey(chosen.name, ED25519_COSIGNATURE, key.public.raw).text
