"""Key file, settings and site: refused when others could read the key or a name is wrong."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SEED, Plant

from evidence.keys import SigningKey
from gateway.assembly import open_gateway
from gateway.catalogue import load_catalogue
from gateway.errors import MisuseError, RefusedError
from gateway.identity import read_key, write_key
from gateway.settings import load_settings
from gateway.site import load_site

SETTINGS = '[centre]\nurl = "http://127.0.0.1:9"\n'


def test_key_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "gateway.key"
    write_key(path, SEED)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_key(path).kid == SigningKey.from_seed(SEED).kid


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610])
def test_key_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "gateway.key"
    write_key(path, SEED)
    path.chmod(mode)
    with pytest.raises(MisuseError, match="open to others; run chmod 600"):
        read_key(path)


def test_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "gateway.key"
    write_key(path, SEED)
    with pytest.raises(RefusedError, match="never overwritten"):
        write_key(path, bytes(32))
    assert read_key(path).kid == SigningKey.from_seed(SEED).kid


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 43, b"A" * 44])
def test_damaged_key_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "gateway.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(MisuseError, match="is damaged"):
        read_key(path)


def test_linked_key_file_is_refused(tmp_path: Path) -> None:
    write_key(tmp_path / "real", SEED)
    (tmp_path / "gateway.key").symlink_to(tmp_path / "real")
    with pytest.raises(MisuseError, match="does not belong"):
        read_key(tmp_path / "gateway.key")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "key centre: Field required"),
        (SETTINGS + "[pol]\nconcurrency = 1\n", "unknown key pol; remove it or correct its spelling"),
        (SETTINGS + "[poll]\nconcurency = 1\n", "unknown key poll.concurency"),
        (SETTINGS + "[poll]\nconcurrency = 0\n", "key poll.concurrency"),
        (SETTINGS.replace("http:", "ftp:"), "key centre.url: must start with https://"),
        (SETTINGS + "[poll\n", "is not TOML"),
    ],
)
def test_wrong_settings_name_file_and_key(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(MisuseError, match=says) as refused:
        load_settings(path)
    assert str(path) in str(refused.value)


def test_paths_are_relative_to_the_settings_file(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text('data = "d"\nsite = "s.toml"\n' + SETTINGS + '[mqtt]\nhost = "h"\nca_file = "ca.pem"\n', "utf-8")
    settings = load_settings(path)
    assert settings.database == tmp_path / "d" / "gateway.db"
    assert settings.site == tmp_path / "s.toml"
    assert settings.mqtt is not None
    assert settings.mqtt.ca_file == tmp_path / "ca.pem"


def test_missing_settings_file_says_which(tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match=r"cannot read .*nowhere.toml: No such file"):
        load_settings(tmp_path / "nowhere.toml")


DEVICE = """
[[device]]
id = "em1"
profile = "eastron-sdm630"
host = "127.0.0.1"
parameters = { max_power_kw = "2000" }
[[channel]]
id = "E"
device = "em1"
point = "energy_import"
"""


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            'profile = "eastron-sdm630"',
            'profile = "eastron-sdm63"',
            "there is no profile 'eastron-sdm63'; shipped are:",
        ),
        ('profile = "eastron-sdm630"', 'profile = "plain-json-gas"', "is for mqtt"),
        ('point = "energy_import"', 'point = "energy"', "has no point 'energy'; it has:"),
        ('{ max_power_kw = "2000" }', "{}", "parameter max_power_kw of eastron-sdm630 is missing"),
        ('max_power_kw = "2000"', 'max_power_mw = "2"', "has no parameter max_power_mw"),
        ('max_power_kw = "2000"', 'max_power_kw = "-1"', "is outside 0"),
        ('max_power_kw = "2000"', 'max_power_kw = "much"', "'much' is not a number"),
        ('device = "em1"', 'device = "em2"', "names device 'em2', which is not in this file"),
        ('id = "E"', 'id = "a b"', "'a b' is no id"),
        ('point = "energy_import"', 'point = "energy_import"\nunit = "MWh"', "the profile's unit is kWh"),
        ('host = "127.0.0.1"', 'hots = "127.0.0.1"', "unknown key device.0.hots"),
    ],
)
def test_wrong_site_names_the_key(tmp_path: Path, old: str, new: str, says: str) -> None:
    path = tmp_path / "site.toml"
    path.write_text(DEVICE.replace(old, new), "utf-8")
    with pytest.raises(MisuseError, match=says):
        load_catalogue(path)


def test_wrong_profile_file_names_line_and_key(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("profile: own\nversion: 1\npiont: {}\n", "utf-8")
    path = tmp_path / "site.toml"
    path.write_text(DEVICE.replace("eastron-sdm630", "own.yaml"), "utf-8")
    with pytest.raises(MisuseError, match=r"own\.yaml:"):
        load_catalogue(path)


def test_shipped_examples_load(root: Path) -> None:
    assert load_settings(root / "examples" / "gateway.toml").mqtt is not None
    site = load_site(root / "examples" / "site.toml")
    assert len(load_catalogue(root / "examples" / "site.toml").channels) == len(site.channel)


def test_gateway_that_is_not_enrolled_says_what_to_do(tmp_path: Path, make_plant: Callable[..., Plant]) -> None:
    plant = make_plant()
    (tmp_path / "gateway.toml").write_text(SETTINGS, "utf-8")
    with pytest.raises(MisuseError, match="run cunzheng gateway enrol first"):
        open_gateway(tmp_path / "gateway.toml")
    plant.writer.close()
