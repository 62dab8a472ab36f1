"""A log in the test's hand, and witnesses of it: in this process, or as real ones on the loopback."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from evidence.encoding import b64
from evidence.keys import SigningKey
from evidence.merkle import consistency_proof, leaf_hash, root
from evidence.note import ED25519_NOTE, NoteKey, sign_checkpoint
from witness.judging import Witness
from witness.memory import Memory

ORIGIN = "log.example/evidence"
LOG_KEY = SigningKey.from_seed(b"\x07" * 32)
LOG = NoteKey(ORIGIN, ED25519_NOTE, LOG_KEY.public.raw)
NAME = "witness.example/city"
WITNESS_KEY = SigningKey.from_seed(b"\x08" * 32)
WITNESS = NoteKey(NAME, 4, WITNESS_KEY.public.raw)
NOW = 1_772_323_210


@dataclass
class TestLog:
    """Signs whatever a test wants, honest or not."""

    __test__ = False
    key: SigningKey = LOG_KEY
    origin: str = ORIGIN
    leaves: list[bytes] = field(default_factory=lambda: [leaf_hash(bytes([n])) for n in range(40)])

    def checkpoint(self, size: int) -> str:
        return sign_checkpoint(self.origin, size, root(self.leaves[:size]), self.key)

    def request(self, old: int, size: int, proof: list[bytes] | None = None) -> bytes:
        if proof is None:
            proof = consistency_proof(self.leaves[:size], old) if 0 < old <= size else []
        lines = "".join(f"{b64(one)}\n" for one in proof)
        return f"old {old}\n{lines}\n{self.checkpoint(size)}".encode()

    def rewritten(self, index: int) -> TestLog:
        """The same log with another entry in one place."""
        leaves = list(self.leaves)
        leaves[index] = leaf_hash(b"rewritten")
        return TestLog(self.key, self.origin, leaves)


@dataclass
class Desk:
    """A witness in this process and what it kept as evidence."""

    witness: Witness
    memory: Memory
    kept: dict[str, bytes] = field(default_factory=dict)


@dataclass
class Running:
    """`cunzheng witness run` in a process of its own."""

    folder: Path
    config: Path
    vkey: NoteKey
    process: subprocess.Popen[str] | None = None
    port: int = 0

    def start(self) -> None:
        command = [sys.executable, "-m", "cunzheng", "witness", "run", "-c", str(self.config)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if "listening" in line:
                self.port = int(line.partition("port=")[2].split()[0])
                return
        raise AssertionError("the witness did not start")

    def stop(self, *, kill: bool = False) -> int:
        assert self.process is not None
        (self.process.kill if kill else self.process.terminate)()
        code = self.process.wait(20)
        assert self.process.stderr is not None
        self.process.stderr.close()
        self.process = None
        return code

    def post(self, body: bytes, path: str = "/add-checkpoint") -> tuple[int, str, str]:
        """Status, content type and body of the answer."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers["Content-Type"], error.read().decode()


def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cunzheng", "witness", *arguments], check=False, capture_output=True, text=True
    )


def wait_until(is_so: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)
