"""`cunzheng profile` and `cunzheng simulate` as a person calls them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pymodbus.client import ModbusTcpClient

from cunzheng.simulator.errors import PlantFileError
from cunzheng.simulator.plant_file import read_plant
from device_profiles import shipped, shipped_texts


def run(*args: str, text: str | None = None, language: str = "en") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cunzheng", *args],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "CUNZHENG_LANG": language, "PYTHONIOENCODING": "utf-8"},
    )


def test_shipped_profiles_pass_the_check() -> None:
    done = run("profile", "check", "--shipped", "--json")
    assert done.returncode == 0, done.stderr
    assert {one["id"] for one in json.loads(done.stdout)} == set(shipped())


def test_check_tells_file_line_and_key_of_a_wrong_unit(tmp_path: Path) -> None:
    good = shipped_texts()["eastron-sdm630.yaml"]
    path = tmp_path / "meter.yaml"
    path.write_text(good.replace("unit: kWh", "unit: KWH", 1), "utf-8")
    line = next(at for at, text in enumerate(path.read_text("utf-8").splitlines(), 1) if "KWH" in text)
    done = run("profile", "check", str(path))
    assert done.returncode == 1
    assert f"{path}:{line}: points.energy_import.unit:" in done.stdout
    assert "did you mean kWh?" in done.stdout
    chinese = run("--lang", "zh", "profile", "check", str(path))
    assert "是否指 kWh？" in chinese.stdout


@pytest.mark.parametrize(
    "args",
    [
        ("profile", "check"),
        ("profile", "check", "/nowhere/meter.yaml"),
        ("profile", "decode", "no-such-meter", "-"),
        ("profile", "decode", "eastron-sdm630", "/nowhere.json"),
    ],
)
def test_misuse_is_one_line_and_exit_code_3(args: tuple[str, ...]) -> None:
    done = run(*args, text="{}")
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "words", ["", "[]", '{"72": "42F6"', '{"72": 70000}', '{"x": 1}', '{"72": "42F"}', '{"foo:1": 1}']
)
def test_broken_words_file_is_misuse(words: str) -> None:
    done = run("profile", "decode", "eastron-sdm630", "-", text=words)
    assert done.returncode == 3, done
    assert done.stderr.startswith("cunzheng: WORDS.json: ")


def test_decode_gives_exact_values_as_json() -> None:
    words = {"72": "42F6 E979", "input:0x34": [0x4640, 0xE400], "74": "7FC0 0000", "342": ["not"][:0]}
    done = run("profile", "decode", "eastron-sdm630", "-", text=json.dumps(words))
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)["values"]
    assert values["energy_import"]["value"] == "123.456"
    assert values["power"]["value"] == "12345"
    assert (values["energy_export"]["value"], values["energy_export"]["reason"]) == (None, "nan")


def test_words_of_no_point_are_not_so() -> None:
    done = run("profile", "decode", "eastron-sdm630", "-", text='{"9999": 1}')
    assert done.returncode == 1
    assert "belong to no point" in done.stderr


def test_decode_reads_a_message_of_an_mqtt_device() -> None:
    message = '{"time":"2026-03-01T08:15:00+08:00","seq":3,"volume_nm3":10.50,"flow_nm3h":1,"status":"ok"}'
    done = run("profile", "decode", "plain-json-gas", "-", text=message)
    facts = json.loads(done.stdout)
    assert facts["values"]["volume"]["value"] == "10.5"
    assert facts["sequence"] == 3
    refused = run("profile", "decode", "plain-json-gas", "-", text="{}")
    assert refused.returncode == 1
    assert "time-missing" in refused.stderr


def test_schema_is_json_with_the_units_filled_in() -> None:
    done = run("profile", "schema")
    assert "kWh" in json.loads(done.stdout)["$defs"]["unit"]["enum"]


def test_list_speaks_both_languages() -> None:
    assert "施耐德" in run("profile", "list", language="zh").stdout
    assert "Schneider" in run("profile", "list").stdout


PLANT = """\
source = "recording"
from = 2018-03-01T00:00:00+09:00

[[modbus]]
  [[modbus.device]]
  unit = 1
  profile = "schneider-iem3000"
  values = {frequency = "49.9"}

[[mqtt]]
device = "gas1"
profile = "plain-json-gas"
interval_s = 0.1
"""


def test_simulate_prints_ports_and_serves_until_told_to_stop(tmp_path: Path) -> None:
    plant = tmp_path / "plant.toml"
    plant.write_text(PLANT, "utf-8")
    with subprocess.Popen(
        [sys.executable, "-m", "cunzheng", "simulate", str(plant), "--json"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        facts = json.loads(process.stdout.readline())
        host, _, port = facts[0]["modbus"].partition(":")
        client = ModbusTcpClient(host, port=int(port))
        assert client.connect()
        answer = client.read_holding_registers(0x0C83, count=4, device_id=1)
        client.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    total_wh = int.from_bytes(b"".join(word.to_bytes(2, "big") for word in answer.registers), "big")
    assert 217_735_630 <= total_wh <= 217_745_000
    assert facts[1]["topic"] == "plant/gas1/gas"


def test_example_is_a_good_plant_file(tmp_path: Path) -> None:
    done = run("simulate", "--example")
    path = tmp_path / "plant.toml"
    path.write_text(done.stdout, "utf-8")
    plant = read_plant(path)
    assert plant.modbus[0].device[0].profile in shipped()
    assert plant.mqtt[0].profile in shipped()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no device"),
        ("x = [", "not TOML"),
        ("sped = 2\n" + PLANT, "sped: "),
        (PLANT.replace("unit = 1", "unit = 300"), "modbus.0.device.0.unit: "),
        (PLANT.replace("+09:00", ""), "from: "),
    ],
)
def test_wrong_plant_file_names_the_key(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "plant.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(PlantFileError, match=r"plant\.toml") as caught:
        read_plant(path)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("schneider-iem3000", "plain-json-gas"),
        ("schneider-iem3000", "nothing"),
        ('frequency = "49.9"', 'frequenz = "1"'),
        ('frequency = "49.9"', 'frequency = "x"'),
        ("unit = 1", "unit = 0"),
    ],
)
def test_wrong_plant_file_is_misuse(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "plant.toml"
    path.write_text(PLANT.replace(old, new), "utf-8")
    done = run("simulate", str(path), "--seconds", "1")
    assert done.returncode == 3
    assert "Traceback" not in done.stderr


def test_draft_makes_a_profile_that_passes_the_check(tmp_path: Path) -> None:
    table = tmp_path / "Belt Scale.csv"
    table.write_text("地址,名称,类型,系数,单位\n40001,总量,float,1,t\n", "utf-8")
    made = tmp_path / "belt.yaml"
    assert run("profile", "draft", str(table), "--output", str(made)).returncode == 0
    checked = run("profile", "check", str(made))
    assert checked.returncode == 0
    assert "belt-scale v1 good" in checked.stdout
    assert "unconfirmed: address base" in checked.stdout


def test_draft_of_a_table_it_cannot_read_is_misuse(tmp_path: Path) -> None:
    table = tmp_path / "points.csv"
    table.write_text("number,name\n1,a\n", "utf-8")
    done = run("profile", "draft", str(table))
    assert (done.returncode, "the column type is missing" in done.stderr) == (3, True)
    done = run("profile", "draft", "points.xlsx")
    assert (done.returncode, "points.xlsx: cannot be read" in done.stderr) == (3, True)


def test_decode_takes_commissioning_parameters() -> None:
    words = json.dumps({"0": "0000 0411 0000 0635"})
    done = run("profile", "decode", "mc51-y", "-", "--parameter", "flow_unit=t/h", text=words)
    assert json.loads(done.stdout)["values"]["flow"]["value"] == "10.41"
    done = run("profile", "decode", "mc51-y", "-", "--parameter", "flow_unit=lb/h", text=words)
    assert (done.returncode, "is not one of" in done.stderr) == (3, True)


def test_list_says_how_far_each_profile_is_to_be_trusted() -> None:
    lines = run("profile", "list").stdout.splitlines()
    (pm,) = [line for line in lines if line.startswith("schneider-pm5560")]
    assert "interoperability" in pm
    assert "3 unconfirmed" in pm
