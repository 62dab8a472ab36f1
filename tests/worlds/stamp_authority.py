"""A time-stamping authority of the test's own: the openssl program with a CA, answering over HTTP where asked.

Its clock is the machine's. Dials: answer a garbled stamp, answer nothing, hold a certificate for something else.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CONFIG = """
[ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[stamping]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
authorityKeyIdentifier = keyid
subjectKeyIdentifier = hash
[web]
basicConstraints = critical,CA:FALSE
extendedKeyUsage = serverAuth
[req]
distinguished_name = dn
[dn]
[tsa]
default_tsa = ts_default
[ts_default]
serial = {folder}/serial
default_policy = 1.3.6.1.4.1.99999.1
digests = sha256, sha512
signer_digest = sha256
ess_cert_id_alg = sha256
accuracy = secs:1
ordering = no
tsa_name = no
"""


@dataclass
class Authority:
    """Keys and certificates in a folder of their own."""

    folder: Path
    purpose: str = "stamping"
    garbled: bool = False
    down: bool = False
    asked: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "config").write_text(CONFIG.format(folder=self.folder))
        (self.folder / "serial").write_text("01\n")
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-config", "config")
        self.run("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "3650", "-subj", "/CN=CA",
                 "-extensions", "ca")  # fmt: skip
        self.run("req", "-new", *key, "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", "/CN=TSA")
        self.run("x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days",
                 "3650", "-out", "tsa.pem", "-extfile", "config", "-extensions", self.purpose)  # fmt: skip

    def run(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True, timeout=60)

    @property
    def certificate(self) -> str:
        return (self.folder / "ca.pem").read_text()

    def answer(self, request: bytes) -> bytes:
        """Stamp a request."""
        with self.lock:
            self.asked += 1
            (self.folder / "request").write_bytes(request)
            self.run("ts", "-reply", "-queryfile", "request", "-out", "reply", "-config", "config", "-signer",
                     "tsa.pem", "-inkey", "tsa.key")  # fmt: skip
            data = (self.folder / "reply").read_bytes()
        return data[:-9] + bytes([data[-9] ^ 1]) + data[-8:] if self.garbled else data

    def confirms(self, stamp: bytes, text: str) -> bool:
        """Ask openssl for its opinion of a stamp."""
        (self.folder / "text").write_bytes(text.encode())
        (self.folder / "stamp").write_bytes(stamp)
        done = subprocess.run(
            ["openssl", "ts", "-verify", "-data", "text", "-in", "stamp", "-CAfile", "ca.pem"],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.returncode == 0 and "Verification: OK" in done.stdout


@contextmanager
def answering(authority: Authority) -> Iterator[str]:
    """Serve an authority on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Be quiet."""

        def do_POST(self) -> None:
            request = self.rfile.read(int(self.headers["Content-Length"]))
            if authority.down:
                self.send_error(503)
                return
            answer = authority.answer(request)
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
