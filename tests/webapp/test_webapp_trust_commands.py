"""The trust bundle from the ceremony to the gateway and the inspector: real centre, real commands, real HTTP."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from views_world import PLANT, copy_center, serving

from cunzheng.cli import cunzheng
from gateway.clock import RealClock
from gateway.enrol import enrol
from gateway.errors import UplinkError
from gateway.trust_store import fetch_trust, known_root, known_trust, trust_folder
from gateway.uplink import Uplink
from gateway.writer import Writer
from webapp import create_app, enrolment, export
from webapp.center import Center

SETTINGS = """data_dir = "data"
[log]
origin = "center.example/evidence"
"""


@pytest.fixture
def center(tmp_path: Path) -> Iterator[Center]:
    made = copy_center(tmp_path)
    (tmp_path / "center.toml").write_text(SETTINGS.replace("center.example/evidence", made.log.origin))
    yield made
    made.database.close()


@pytest.fixture
def config(center: Center, tmp_path: Path) -> Path:
    return tmp_path / "center.toml"


@pytest.fixture(autouse=True)
def of_this_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUNZHENG_TRUST_DIR", str(tmp_path / "imported"))
    monkeypatch.setenv("CUNZHENG_LANG", "en")
    monkeypatch.delenv("CUNZHENG_TRUST", raising=False)


def run(*arguments: str | Path, text: str | None = None) -> Result:
    return CliRunner().invoke(cunzheng, [str(argument) for argument in arguments], input=text)


def good(*arguments: str | Path) -> dict[str, object]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    facts: dict[str, object] = json.loads(result.stdout)
    return facts


@pytest.fixture
def fingerprint(config: Path, tmp_path: Path) -> str:
    """A centre whose bundle was made with three keys in one folder."""
    facts = good("center", "trust-bundle", "init", "-c", config, "--make-keys", tmp_path / "offline")
    return str(facts["fingerprint"])


def test_ceremony_with_keys_on_machines_of_their_own(config: Path, tmp_path: Path) -> None:
    files = [tmp_path / f"holder-{number}.key" for number in range(3)]
    publics = [str(good("center", "trust-bundle", "key", file)["public"]) for file in files]
    assert good("center", "trust-bundle", "key", files[0])["new"] is False
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600] * 3
    options = [part for public in publics for part in ("--public", public)]
    staged = Path(str(good("center", "trust-bundle", "init", "-c", config, *options)["folder"]))
    assert run("center", "trust-bundle", "publish", "-c", config).exit_code == 1
    for file in files[:2]:
        assert run("center", "trust-bundle", "publish", "-c", config).exit_code == 1
        good("center", "trust-bundle", "sign", staged, "--key", file, "--yes")
    assert good("center", "trust-bundle", "publish", "-c", config)["root_version"] == 1
    assert run("center", "trust-bundle", "init", "-c", config, *options).exit_code == 1
    good("center", "trust-bundle", "renew", "-c", config)
    for file in files[1:]:
        good("center", "trust-bundle", "sign", staged, "--key", file, "--yes")
    assert good("center", "trust-bundle", "publish", "-c", config)["root_version"] == 1


def test_holder_sees_what_is_signed_and_may_refuse(config: Path, tmp_path: Path, center: Center) -> None:
    files = [tmp_path / f"holder-{number}.key" for number in range(3)]
    options = [
        part for file in files for part in ("--public", str(good("center", "trust-bundle", "key", file)["public"]))
    ]
    staged = Path(str(good("center", "trust-bundle", "init", "-c", config, *options)["folder"]))
    refused = run("center", "trust-bundle", "sign", staged, "--key", files[0], text="n\n")
    assert refused.exit_code == 130
    assert center.log.vkey.text in refused.stderr
    files[0].chmod(0o644)
    assert run("center", "trust-bundle", "sign", staged, "--key", files[0], "--yes").exit_code == 1
    assert run("center", "trust-bundle", "publish", "-c", config).exit_code == 1


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--public", "00" * 32),
        ("--public", "no key"),
        ("--make-keys", "keys", "--public", "00" * 32),
    ],
)
def test_ceremony_without_three_good_keys_does_not_begin(config: Path, options: tuple[str, ...]) -> None:
    assert run("center", "trust-bundle", "init", "-c", config, *options).exit_code == 3


def test_before_the_ceremony_nothing_can_be_published_or_exported(config: Path, tmp_path: Path) -> None:
    for words in (("renew",), ("publish",), ("export", str(tmp_path / "stick"))):
        result = run("center", "trust-bundle", *words, "-c", config)
        assert result.exit_code == 1, words
        assert result.stderr.startswith("cunzheng: ")


def test_stick_is_imported_by_its_fingerprint_and_shown_in_words(
    config: Path, fingerprint: str, tmp_path: Path, center: Center
) -> None:
    assert good("center", "trust-bundle", "export", tmp_path / "stick", "-c", config)["fingerprint"] == fingerprint
    assert run("trust", "show").exit_code == 2
    unsaid = run("trust", "import", tmp_path / "stick")
    assert unsaid.exit_code == 3
    assert fingerprint in unsaid.stderr
    assert run("trust", "import", tmp_path / "stick", "--fingerprint", "00" * 32).exit_code == 1
    facts = good("trust", "import", tmp_path / "stick", "--fingerprint", fingerprint)
    assert facts["log"] == center.log.vkey.text
    shown = run("trust", "show")
    assert shown.exit_code == 0
    for part in (
        center.log.vkey.text,
        "root version 1 (2 of 3 offline keys)",
        fingerprint,
        "good until",
        "(timestamp)",
    ):
        assert part in shown.stdout
    assert good("trust", "show") == facts
    # Once a root is trusted, nothing needs to be said again.
    good("trust", "import", tmp_path / "stick")


def test_import_knows_a_root_file_and_a_wrong_place(config: Path, fingerprint: str, tmp_path: Path) -> None:
    good("center", "trust-bundle", "export", tmp_path / "stick", "-c", config)
    root = tmp_path / "stick" / "1.root.json"
    assert run("trust", "import", tmp_path / "nowhere", "--root", root).exit_code == 3
    assert run("trust", "import", "http://127.0.0.1:1", "--fingerprint", fingerprint).exit_code == 2
    assert good("trust", "import", tmp_path / "stick", "--root", root)["from"] == str(tmp_path / "stick")


def test_gateway_and_inspector_take_the_bundle_over_http(
    config: Path, center: Center, fingerprint: str, tmp_path: Path
) -> None:
    code = enrolment.invite_gateway(center, PLANT, "GW-0009")
    folder = tmp_path / "gateway"
    folder.mkdir()
    with serving(create_app(center.settings, center=center)) as url:
        assert good("trust", "import", url, "--fingerprint", fingerprint)["from"] == url
        writer = Writer(folder / "gateway.db")
        with Uplink(url, None, RealClock(), timeout_s=10) as uplink:
            enrol(writer, uplink, RealClock(), folder / "gateway.key", code, again=False)
            held, root = writer.call(known_trust), writer.call(known_root)
            assert root == (center.settings.trust_dir / "published" / "1.root.json").read_bytes()
            fresh = fetch_trust(uplink, held, trust_folder(folder), root, datetime.now(UTC))
            assert set(fresh.registry.keys) == set(held.registry.keys)
            # The centre's word over TLS is not enough any more: what its keys did not sign is refused.
            timestamp = center.settings.trust_dir / "published" / "timestamp.json"
            timestamp.write_bytes(timestamp.read_bytes().replace(b'"version": 2', b'"version": 1'))
            with pytest.raises(UplinkError, match="TRUST_"):
                fetch_trust(uplink, held, trust_folder(folder), root, datetime.now(UTC))
        writer.close()


def test_published_files_and_no_others_are_served(center: Center, config: Path, tmp_path: Path) -> None:
    client = create_app(center.settings, center=center).test_client()
    assert client.get("/trust/timestamp.json").status_code == 404
    good("center", "trust-bundle", "init", "-c", config, "--make-keys", tmp_path / "offline")
    answer = client.get("/trust/timestamp.json")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "public, max-age=5")
    for name in ("1.root.json", "1.targets.json", "1.snapshot.json", "1.registry.json"):
        assert client.get(f"/trust/{name}").status_code == 200
    for name in ("2.root.json", "lock", "../trust.key", "%2e%2e/trust.key", "staged/root.json", "0.root.json"):
        assert client.get(f"/trust/{name}").status_code in (308, 404), name


def test_without_its_online_key_the_centre_serves_what_it_has(center: Center, config: Path, fingerprint: str) -> None:
    before = center.settings.trust_dir / "published" / "timestamp.json"
    center.settings.trust_key_file.unlink()
    answer = create_app(center.settings, center=center).test_client().get("/trust/timestamp.json")
    assert answer.data == before.read_bytes()


def test_verify_says_on_whose_word(config: Path, center: Center, fingerprint: str, tmp_path: Path) -> None:
    evidence = tmp_path / "empty.evb"
    evidence.write_bytes(b"no zip")
    (tmp_path / "trust.json").write_text(json.dumps(export.trust(center).to_json()))
    beside = run("verify", evidence)
    assert "its origin is unproven" in beside.stdout
    good("center", "trust-bundle", "export", tmp_path / "stick", "-c", config)
    good("trust", "import", tmp_path / "stick", "--fingerprint", fingerprint)
    imported = run("verify", evidence)
    assert "unproven" not in imported.stdout
    assert "root version 1" in imported.stdout
    facts = json.loads(run("verify", evidence, "--json").stdout)["trust"]
    assert (facts["proven"], facts["root_version"]) == (True, 1)
    named = json.loads(run("verify", evidence, "--trust", tmp_path / "trust.json", "--json").stdout)["trust"]
    assert (named["proven"], named["root_version"]) == (False, None)
