"""What this gateway trusts: the log's key since enrolment, and the newest registry snapshot.

The log's key never changes by download; a snapshot of a smaller log than the one held is refused.
"""

from __future__ import annotations

import json

from evidence.encoding import strict_json
from evidence.errors import EvidenceError
from evidence.trust import Trust
from gateway.errors import MisuseError, UplinkError
from gateway.store import Store
from gateway.uplink import Uplink

_NAME = "trust"


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


def fetch_trust(uplink: Uplink, held: Trust) -> Trust:
    """Fetch the newest snapshot and check it against the one held.

    Raises:
        UplinkError: no answer, another log, or an older snapshot.
    """
    data = uplink.get("/trust.json")
    try:
        fresh = Trust.from_json(strict_json(data))
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
