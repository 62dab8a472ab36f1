"""The witnesses of the demonstration: two, each a process of its own; a receipt needs both.

On one machine they show how it works and protect nothing: real ones are run by others, elsewhere.
"""

from __future__ import annotations

from pathlib import Path

from cunzheng.demo.processes import Programs, free_port
from evidence.note import ED25519_NOTE, NoteKey
from webapp import keyfile
from webapp.settings import Settings
from witness.founding import found, write_settings

NAMES = ("city", "province")
POLICY = "policy.txt"


def set_up_witnesses(folder: Path, centre: Settings) -> None:
    """Make the witnesses, or give those that are there new ports, and write the policy that names them."""
    log = NoteKey(centre.log.origin, ED25519_NOTE, keyfile.read(centre.log_key_file).public.raw)
    lines = [f"log {log.text}"]
    for name in NAMES:
        place = folder / f"witness-{name}"
        place.mkdir(exist_ok=True)
        config = place / "witness.toml"
        write_settings(config, f"witness.demo.example/{name}", (log.text,), "127.0.0.1", free_port())
        lines.append(found(config).policy_line)
    lines += [f"group both all {' '.join(NAMES)}", "quorum both"]
    (folder / POLICY).write_text("\n".join(lines) + "\n", encoding="utf-8")


def start_witnesses(programs: Programs) -> None:
    """Start them; the centre asks again until they answer."""
    for name in NAMES:
        programs.start(f"witness-{name}", "witness", "run", "-c", f"witness-{name}/witness.toml")
