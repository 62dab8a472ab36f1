"""Refuses to build a package without the browser's files, which come from npm and are not in the repository."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

VENDOR = Path("webapp/static/vendor")


class VendorHook(BuildHookInterface[Any]):
    """Looks before anything is packed; an editable installation is made before npm runs and is let through."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Stop a build that would leave files out.

        Raises:
            FileNotFoundError: they were not copied yet.
        """
        if version != "editable" and not list((Path(self.root) / VENDOR).glob("*.js")):
            raise FileNotFoundError(
                f"{VENDOR} is empty; run setup/setup.sh demo first, it copies the npm packages there"
            )
