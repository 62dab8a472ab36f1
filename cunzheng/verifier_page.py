"""Hands out the offline verifier, one HTML file that the centre's package carries; nothing of the centre is started."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from pathlib import Path

import click

from cunzheng.errors import CommandError, ExitCode
from cunzheng.lang import say


def write_page(target: Path, *, as_json: bool) -> int:
    """Write the page, say where it is and what its SHA-256 is.

    Raises:
        CommandError: this installation has no such page, or the place cannot be written.
    """
    try:
        data = _page()
        target.write_bytes(data)
    except OSError as error:
        raise CommandError(
            f"无法写出核验页 {target}：{os.strerror(error.errno or 0)}；请检查路径。",
            f"cannot write the verifier to {target}: {os.strerror(error.errno or 0)}; check the path.",
            exit_code=ExitCode.MISUSE,
        ) from error
    digest = hashlib.sha256(data).hexdigest()
    if as_json:
        click.echo(json.dumps({"page": str(target), "size": len(data), "sha256": digest}, ensure_ascii=False, indent=2))
    else:
        click.echo(say(f"已写出核验页 {target}", f"wrote the verifier to {target}") + f"  SHA-256 {digest}")
    return int(ExitCode.DONE)


def _page() -> bytes:
    found = importlib.util.find_spec("webapp")
    for folder in (found.submodule_search_locations if found is not None else None) or ():
        return (Path(folder) / "verifier" / "verifier.html").read_bytes()
    raise CommandError(
        "此处没有安装中心端，因此没有核验页；请从中心端的月度页面下载。",
        "the centre's package is not installed here, and the verifier with it; download it from a month's page.",
    )
