"""The policy file that the settings name: which witnesses the centre asks, and what a receipt needs of them."""

from __future__ import annotations

from evidence.encoding import sha256_hex
from evidence.errors import EvidenceError
from evidence.note import NoteKey
from evidence.policy import NO_WITNESSES, Policy
from webapp.errors import CenterError
from webapp.settings import Settings


def load(settings: Settings, log: NoteKey) -> Policy:
    """Read the policy; without a file no witness is asked.

    Raises:
        CenterError: it cannot be read, is for another log, or asks for witnesses whose address it does not say.
    """
    path = settings.log.policy
    if path is None:
        return NO_WITNESSES
    try:
        policy = Policy.parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, EvidenceError) as error:
        said = error.detail if isinstance(error, EvidenceError) else str(error)
        raise CenterError(
            f"策略文件 {path} 无法使用：{said}", f"the policy file {path} cannot be used: {said}", exit_code=3
        ) from error
    if policy.logs and log not in policy.logs:
        raise CenterError(
            f"策略文件 {path} 列出的日志不是本中心的 {log.text}",
            f"the policy file {path} names other logs than this centre's {log.text}",
            exit_code=3,
        )
    asked = {witness.key for witness in policy.witnesses if witness.url}
    if not policy.is_met(asked):
        raise CenterError(
            f"策略文件 {path} 中写明网址的见证不足以满足 quorum；请补上网址",
            f"the witnesses of {path} that have an address cannot make up its quorum; add their addresses",
            exit_code=3,
        )
    return policy


def digest(policy: Policy) -> str:
    """Name a policy by its bytes; what it was judged by stays with the checkpoint."""
    return sha256_hex(policy.text.encode("utf-8"))
