"""The profiles shipped with the product."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType

from .loader import load_text
from .profile import Profile


@cache
def shipped() -> Mapping[str, Profile]:
    """Load every shipped profile, by id. A file's name is its profile's id."""
    found: dict[str, Profile] = {}
    folder = resources.files(__package__).joinpath("definitions")
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".yaml"):
            profile = load_text(file.read_text("utf-8"), file.name)
            found[profile.id] = profile
    return MappingProxyType(found)


def shipped_texts() -> Mapping[str, str]:
    """Give the text of every shipped profile file, by file name."""
    folder = resources.files(__package__).joinpath("definitions")
    return {
        file.name: file.read_text("utf-8")
        for file in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if file.name.endswith(".yaml")
    }
