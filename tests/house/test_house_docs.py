"""The documents say what is there: commands, make targets, links, and both languages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

import click
import pytest

from cunzheng import cli

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
READMES = (ROOT / "README.md", ROOT / "README.zh-CN.md")
HEADING = re.compile(r"^#+ ", re.MULTILINE)


def walk(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command below and including one, with the words that call it."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            if not below.hidden:
                yield from walk(below, (*path, name))


COMMANDS = dict(walk(cli.cunzheng, ("cunzheng",)))


def is_option(parameter: click.Parameter) -> TypeGuard[click.Option]:
    return isinstance(parameter, click.Option)


def in_code(text: str) -> Iterator[str]:
    """The lines of fenced blocks, and what stands between backticks."""
    for block in re.findall(r"^```[a-z]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield from block.splitlines()
    yield from re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)


def called_commands(text: str) -> Iterator[tuple[str, ...]]:
    """The commands a text calls: `cunzheng`, then words until an argument."""
    for code in in_code(text):
        for call in re.findall(r"(?:^|[\s|&$(])cunzheng((?: [a-z][a-z-]*\b(?![./=]))+)", code):
            yield ("cunzheng", *call.split())


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_command_has_help(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    assert command.help or command.short_help


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_option_has_help(path: tuple[str, ...]) -> None:
    mute = [
        option.name
        for option in COMMANDS[path].params
        if isinstance(option, click.Option) and not option.hidden and not option.help
    ]
    assert mute == []


WITHOUT_JSON = {
    ("cunzheng", "center", "run"): "serves until stopped; what it says is a log",
    ("cunzheng", "gateway", "run"): "serves until stopped; what it says is a log",
    ("cunzheng", "witness", "run"): "serves until stopped; what it says is a log",
    ("cunzheng", "profile", "draft"): "prints the profile itself, which is YAML",
}
"""Commands that print no facts, and why."""


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_command_that_prints_facts_has_json(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    has_json = any("--json" in option.opts and option.is_flag for option in command.params if is_option(option))
    assert has_json != (isinstance(command, click.Group) or path in WITHOUT_JSON)


def test_exceptions_from_json_are_commands() -> None:
    assert set(WITHOUT_JSON) <= set(COMMANDS)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_command_is_documented(path: tuple[str, ...]) -> None:
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert re.search(rf"\b{' '.join(path)}\b", text), f"docs/commands.md does not name `{' '.join(path)}`"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_call_only_commands_that_exist(document: Path) -> None:
    wrong = []
    for words in called_commands(document.read_text(encoding="utf-8")):
        # The longest start of the words must be a command that takes no further sub-command.
        known = max((words[:n] for n in range(1, len(words) + 1) if words[:n] in COMMANDS), key=len)
        if known != words and isinstance(COMMANDS[known], click.Group):
            wrong.append(" ".join(words))
    assert wrong == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_name_only_make_targets_that_exist(document: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    called = {
        target
        for code in in_code(document.read_text(encoding="utf-8"))
        for target in re.findall(r"^make ([a-z]+)", code)
    }
    assert called - targets == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text(encoding="utf-8"))
    dead = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert dead == []


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_places_named_for_changes_exist(readme: Path) -> None:
    missing = []
    for row in re.findall(r"^\| .* \|$", readme.read_text(encoding="utf-8"), re.MULTILINE):
        for place in re.findall(r"`((?:[a-z_]+/)+[\w.*]*|[\w.]+\.(?:toml|json|py|sh))`", row):
            if not list(ROOT.glob(place.rstrip("/"))):
                missing.append(place)
    assert missing == []


def test_both_readmes_have_the_same_parts() -> None:
    shapes = []
    for readme in READMES:
        text = readme.read_text(encoding="utf-8")
        shapes.append((len(HEADING.findall(text)), text.count("\n| "), text.count("```")))
    assert shapes[0] == shapes[1]


def test_decision_records_are_numbered_without_gaps() -> None:
    records = sorted((ROOT / "docs" / "adr").glob("*.md"))
    assert [int(path.name[:4]) for path in records] == list(range(len(records)))
    for path in records:
        assert path.read_text(encoding="utf-8").startswith(f"# {path.name[:4]}: ")


def test_threat_model_names_only_tests_that_exist() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")))
    sources = (path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    defined = {
        name for source in sources for name in re.findall(r"^ *(?:async )?def (test_\w+)\(", source, re.MULTILINE)
    }
    assert len(named) > 60
    assert named - defined == set()


def test_every_crime_of_the_threat_model_has_a_test() -> None:
    text = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
    rows = [row for row in re.findall(r"^\| .* \|$", text, re.MULTILINE) if "---" not in row and "| tests |" not in row]
    assert len(rows) > 40
    assert [row for row in rows if "`test_" not in row.split("|")[3]] == []
