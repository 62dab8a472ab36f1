"""What this gateway trusts: the log's key since enrolment, and the newest registry snapshot.

The log's key never changes by download; a snapshot of a smaller log than the one held is refused. Where the centre
gave the root of its trust bundle at enrolment, or a person brought the bundle, snapshots come by that way alone
(`trust_client.py`); without one they are the centre's word over TLS.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from evidence.encoding import strict_json
from evidence.errors import EvidenceError
from evidence.trust import Trust
from gateway.errors import MisuseError, UplinkError
from gateway.store import Store
from gateway.trust_client import Place, TrustRefusedError, has_trust, take_trust
from gateway.uplink import RefusedByCentreError, Uplink

TRUST_PATH = "/trust/"
_NAME = "trust"
_ROOT = "trust-root"
_NOT_THERE = 404


def keep_trust(store: Store, trust: Trust) -> None:
    """Remember a checked snapshot."""
    store.put(_NAME, json.dumps(trust.to_json()))


def known_trust(store: Store) -> Trust:
    """Return the snapshot held.

    Raises:
        MisuseError: not enrolled.
    """
    text = store.get(_NAME)
    if text is None:
        raise MisuseError(
            "网关尚未登记；请先运行 cunzheng gateway enrol", "not enrolled; run cunzheng gateway enrol first"
        )
    return Trust.from_json(json.loads(text))


def trust_folder(data: Path) -> Path:
    """The folder below a gateway's data that keeps the trust bundle."""
    return data / "trust"


def keep_root(store: Store, root: str) -> None:
    """Remember the root that the trust bundle starts from."""
    store.put(_ROOT, root)


def known_root(store: Store) -> bytes | None:
    """Return the root that the trust bundle starts from; None where the centre gave none."""
    text = store.get(_ROOT)
    return text.encode("utf-8") if text else None


def uplink_place(uplink: Uplink) -> Place:
    """Read a trust bundle from a centre."""

    def give(name: str) -> bytes:
        try:
            return uplink.get(f"{TRUST_PATH}{name}")
        except RefusedByCentreError as error:
            if error.status == _NOT_THERE:
                raise FileNotFoundError(name) from error
            raise

    return give


def fetch_trust(uplink: Uplink, held: Trust, folder: Path, root: bytes | None, now: datetime) -> Trust:
    """Fetch the newest snapshot and check it against the one held.

    `folder` keeps the trust bundle, `root` is where it starts from; without both the centre's word over TLS counts.

    Raises:
        UplinkError: no answer, another log, an older snapshot, or a trust bundle that is refused.
    """
    if root is not None or has_trust(folder):
        try:
            fresh = take_trust(folder, uplink_place(uplink), now, uplink.url, root).trust
        except TrustRefusedError as error:
            raise UplinkError(error.zh, error.en) from error
    else:
        try:
            fresh = _with_policy_of(Trust.from_json(strict_json(uplink.get("/trust.json"))), held)
        except EvidenceError as error:
            raise UplinkError(f"中心端的信任文件有误: {error}", f"the centre's trust file is wrong: {error}") from error
    if fresh.log != held.log:
        raise UplinkError(
            "中心端的日志公钥与登记时不同；请联系管理员",
            "the centre's log key is not the one of enrolment; ask the administrator",
        )
    if fresh.size < held.size:
        raise UplinkError("中心端的信任文件比本机的旧", "the centre's trust file is older than the one held")
    return fresh


def _with_policy_of(fresh: Trust, held: Trust) -> Trust:
    """Keep the policy that is held: without a trust bundle the centre alone cannot do without its witnesses."""
    return replace(fresh, policy=held.policy) if held.policy.needs_witnesses else fresh
