"""Signs with SM2 and SM3 (GB/T 32918.2) the same way every time, so that second signatures can be golden files.

The library of the project signs with a random number; this one takes it from key and text, and is for tests alone.
"""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
N = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
A = P - 3
B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
G = (
    0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7,
    0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0,
)
ID = b"1234567812345678"
Point = tuple[int, int] | None


def added(one: Point, other: Point) -> Point:
    """Add two points; None is the point at infinity."""
    if one is None or other is None:
        return one or other
    (x1, y1), (x2, y2) = one, other
    if x1 == x2 and (y1 + y2) % P == 0:
        return None
    slope = ((3 * x1 * x1 + A) * pow(2 * y1, -1, P) if one == other else (y2 - y1) * pow(x2 - x1, -1, P)) % P
    x = (slope * slope - x1 - x2) % P
    return x, (slope * (x1 - x) - y1) % P


def multiplied(times: int, point: Point) -> Point:
    """Add a point so many times."""
    result: Point = None
    while times:
        result = added(result, point) if times & 1 else result
        point, times = added(point, point), times >> 1
    return result


def sm3(data: bytes) -> bytes:
    """Hash bytes."""
    hashing = hashes.Hash(hashes.SM3())
    hashing.update(data)
    return hashing.finalize()


class Sm2Key:
    """A private key from a seed."""

    def __init__(self, seed: bytes) -> None:
        self._secret = int.from_bytes(hashlib.sha256(seed).digest(), "big") % (N - 2) + 1
        point = multiplied(self._secret, G)
        assert point is not None  # the secret is no multiple of the order
        self.public = "".join(f"{part:064x}" for part in point)

    def sign(self, data: bytes) -> bytes:
        """Return the DER signature over these bytes."""
        curve = b"".join(number.to_bytes(32, "big") for number in (A, B, *G))
        user = sm3((len(ID) * 8).to_bytes(2, "big") + ID + curve + bytes.fromhex(self.public))
        digest = int.from_bytes(sm3(user + data), "big")
        k = int.from_bytes(hashlib.sha256(self._secret.to_bytes(32, "big") + data).digest(), "big") % (N - 1) + 1
        point = multiplied(k, G)
        assert point is not None  # k is no multiple of the order
        r = (digest + point[0]) % N
        s = pow(1 + self._secret, -1, N) * (k - r * self._secret) % N
        return encode_dss_signature(r, s)
