"""Witnesses in this process, over real HTTP on the loopback, and a centre that asks them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from device_double import bare_center

from evidence.encoding import sha256_hex
from evidence.keys import SigningKey
from evidence.note import NoteKey
from webapp.center import Center
from witness.judging import Answer, Witness
from witness.memory import Memory
from witness.server import WitnessServer
from witness.settings import Settings

ORIGIN = "log.example/evidence"


class OddWitness(Witness):
    """Answers late or something else, when a test turns that dial."""

    delay_s = 0.0
    instead: Answer | None = None

    def add_checkpoint(self, body: bytes) -> Answer:
        time.sleep(self.delay_s)
        return self.instead or super().add_checkpoint(body)


@dataclass
class LocalWitness:
    """One witness that can be stopped and started again on its port."""

    name: str
    folder: Path
    logs: dict[str, tuple[NoteKey, ...]]
    port: int = 0
    asked: int = 0
    server: WitnessServer | None = None
    witness: OddWitness | None = None
    evidence: dict[str, bytes] = field(default_factory=dict)

    @property
    def key(self) -> SigningKey:
        return SigningKey.from_seed(bytes.fromhex(sha256_hex(self.name.encode())))

    @property
    def note_key(self) -> NoteKey:
        return NoteKey(f"witness.example/{self.name}", 4, self.key.public.raw)

    @property
    def policy_line(self) -> str:
        return f"witness {self.name} {self.note_key.text} http://127.0.0.1:{self.port}"

    def start(self) -> None:
        path = self.folder / f"{self.name}.sqlite"
        vkey = self.note_key.text
        self.memory = Memory.open(path, vkey) if path.exists() else Memory.make(path, vkey)
        self.witness = OddWitness(
            self.note_key.name, self.key, self.memory, self.logs, lambda: int(time.time()), self.evidence.__setitem__
        )
        self.server = WitnessServer(Settings(name=self.note_key.name, port=self.port), self.witness)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.memory.close()
            self.server = None

    def latest_size(self) -> int:
        with self.memory.turn() as turn:
            latest = turn.latest(ORIGIN)
        return 0 if latest is None else latest.size


@dataclass
class Watched:
    """A centre and its witnesses."""

    center: Center
    witnesses: list[LocalWitness]

    def reopened(self) -> Center:
        self.center.database.close()
        return Center.open(self.center.settings)


@contextmanager
def watched_center(folder: Path, names: str, quorum: str, *, retry_s: float = 0.1) -> Iterator[Watched]:
    """Run witnesses and a centre whose policy names them; `quorum` is the last lines of the policy."""
    logs: dict[str, tuple[NoteKey, ...]] = {}
    witnesses = [LocalWitness(name, folder, logs) for name in names.split()]
    for witness in witnesses:
        witness.start()
    lines = [witness.policy_line for witness in witnesses]
    (folder / "policy.txt").write_text("\n".join([*lines, quorum]) + "\n", encoding="utf-8")
    settings = {"origin": ORIGIN, "policy": "policy.txt", "witness_timeout_s": 3, "witness_retry_s": retry_s}
    center = bare_center(folder, log=settings)
    logs[ORIGIN] = (center.log.vkey,)
    try:
        yield Watched(center, witnesses)
    finally:
        center.database.close()
        for witness in witnesses:
            witness.stop()
