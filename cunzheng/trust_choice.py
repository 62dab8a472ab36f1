"""Which trust a check stands on: a file that is named, the imported trust bundle, or a trust.json beside the bundle.

An imported bundle has proven where it comes from. A plain file has not: whoever gave the evidence may have made it,
and whoever reads the verdict is told so.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

from cunzheng.errors import CommandError, ExitCode
from cunzheng.lang import say
from evidence.encoding import strict_json
from evidence.errors import EvidenceError
from evidence.trust import Trust
from gateway.trust_client import HeldTrust, has_trust, read_trust

FOLDER_VARIABLE = "CUNZHENG_TRUST_DIR"


@dataclass(frozen=True)
class ChosenTrust:
    """What is relied on, and the import it comes from (None: a plain file, whose origin nothing proves)."""

    trust: Trust
    held: HeldTrust | None
    file: Path | None = None

    @property
    def is_proven(self) -> bool:
        """Whether keys that were trusted before vouch for it."""
        return self.held is not None

    @property
    def words(self) -> str:
        """Say in one line on whose word the verdict stands."""
        if self.held is None:
            return say(
                f"信任来源：文件 {self.file}，来源未经证明；请向主管部门核对，或导入信任包（cunzheng trust import）",
                f"trust comes from the file {self.file}: its origin is unproven; compare it with the authority's, or"
                " import the trust bundle (cunzheng trust import)",
            )
        return say(
            f"信任来源：{self.held.imported:%Y-%m-%d} 导入的信任包，根第 {self.held.root_version} 版",
            f"trust comes from the bundle imported {self.held.imported:%Y-%m-%d}, root version"
            f" {self.held.root_version}",
        )

    def to_json(self) -> dict[str, object]:
        """State it in plain values."""
        return {
            "proven": self.is_proven,
            "file": None if self.file is None else str(self.file),
            "root_version": None if self.held is None else self.held.root_version,
        }


def trust_folder() -> Path:
    """The folder that imported trust is kept in, for this user."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named)
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "cunzheng" / "trust"


def choose_trust(named: Path | None, beside: Path) -> ChosenTrust:
    """Return the trust that a person named, else what was imported, else the file beside the evidence.

    Raises:
        CommandError: there is none, or it cannot be used.
        TrustRefusedError: what was imported is damaged.
    """
    if named is None and has_trust(trust_folder()):
        held = read_trust(trust_folder())
        return ChosenTrust(held.trust, held)
    path = named or beside
    return ChosenTrust(_read_file(path), None, path)


def _read_file(path: Path) -> Trust:
    try:
        return Trust.from_json(strict_json(path.read_bytes()))
    except OSError as error:
        raise CommandError(
            f"没有可信文件 {path}；请导入信任包（cunzheng trust import），"
            "或从中心端下载 trust.json 并用 --trust 指定。",
            f"no trust file at {path}; import the trust bundle (cunzheng trust import), or download trust.json from"
            " the centre and name it with --trust.",
            exit_code=ExitCode.MISUSE,
        ) from error
    except EvidenceError as error:
        raise CommandError(
            f"{path} 不是可用的可信文件：{error.detail}；请重新从中心端下载。",
            f"{path} is not a usable trust file: {error.detail}; download it from the centre again.",
            exit_code=ExitCode.MISUSE,
        ) from error


def age_words(held: HeldTrust) -> str:
    """Say until when what is held counts."""
    role, end = min(held.expires.items(), key=lambda item: item[1])
    return say(
        f"有效至 {end.astimezone(UTC):%Y-%m-%d %H:%M} UTC（{role}）",
        f"good until {end.astimezone(UTC):%Y-%m-%d %H:%M} UTC ({role})",
    )
