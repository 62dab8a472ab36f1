"""The administrator's commands: what they do, and one line for each mistake."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from device_double import Device
from views_world import plan

from sync import Status
from webapp import store_users
from webapp.accounts import is_password
from webapp.center import Center
from webapp.cli import center as command
from webapp.errors import CenterError
from webapp.settings import load
from webapp.submission import submit

EXAMPLE = Path(__file__).parents[2] / "examples" / "center.toml"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    target = tmp_path / "center.toml"
    shutil.copy(EXAMPLE, target)
    return target


def run(config: Path, *arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(command, [*arguments, "-c", str(config)], input=text)


def said(result: Result) -> CenterError:
    assert isinstance(result.exception, CenterError), result.output
    return result.exception


@pytest.fixture
def ready(config: Path) -> Path:
    assert run(config, "init").exit_code == 0
    return config


def test_init_makes_private_keys_and_may_be_repeated(config: Path) -> None:
    assert json.loads(run(config, "init", "--json").output)["new"] is True
    keys = {file.name: file.read_bytes() for file in (config.parent / "center-data").glob("*.key")}
    assert sorted(keys) == ["log.key", "registrar.key", "secret.key"]
    assert json.loads(run(config, "init", "--json").output)["new"] is False
    for name, data in keys.items():
        file = config.parent / "center-data" / name
        assert file.read_bytes() == data
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_check_and_trust_speak_of_the_log(ready: Path) -> None:
    assert json.loads(run(ready, "check", "--json").output)["size"] == 0
    for flags in ((), ("--json",)):
        assert json.loads(run(ready, "trust", *flags).output)["registry"]["keys"][0]["roles"] == ["registrar"]


def test_trust_file_is_written_where_asked(ready: Path, tmp_path: Path) -> None:
    file = tmp_path / "trust.json"
    assert "trust.json" in run(ready, "trust", "--out", str(file)).output
    assert json.loads(run(ready, "trust", "--out", str(file), "--json").output) == {"file": str(file), "size": 0}
    assert json.loads(file.read_text())["size"] == 0


@pytest.mark.parametrize("is_terminal", [True, False])
def test_long_work_is_shown_on_a_terminal_only(
    ready: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_terminal: bool
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    read, written = pty.openpty() if is_terminal else os.pipe()
    with open(written, "w", encoding="utf-8") as err:
        monkeypatch.setattr(sys, "stderr", err)
        command.main(["check", "--json", "-c", str(ready)], standalone_mode=False)
        err.write("THE END")
        err.flush()
        shown = b""
        while b"THE END" not in shown:
            shown += os.read(read, 4096)
    os.close(read)
    assert (b"checking the whole log" in shown) is is_terminal
    assert is_terminal or shown == b"THE END"
    assert json.loads(capsys.readouterr().out)["size"] == 0


def test_plants_users_and_gateways_are_added(ready: Path, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(plan()), encoding="utf-8")
    assert run(ready, "plant", "add", str(file)).exit_code == 0
    assert run(ready, "plant", "add", str(file)).exit_code == 0
    added = run(
        ready, "user", "add", "li.na", "--role", "technician", "--plant", "P-0001", text="a long password\n" * 2
    )
    assert added.exit_code == 0, added.output
    again = run(
        ready, "user", "add", "li.na", "--role", "technician", "--plant", "P-0001", text="a long password\n" * 2
    )
    assert "already" in said(again).en
    code = json.loads(run(ready, "gateway", "invite", "P-0001", "GW-1", "--json").output)["code"]
    assert len(code) > 20
    assert code not in str((ready.parent / "center-data" / "center.sqlite").read_bytes())


@pytest.mark.parametrize(
    ("arguments", "text", "words"),
    [
        (("user", "add", "x y", "--role", "admin"), "a long password\n" * 2, "not allowed"),
        (("user", "add", "ok", "--role", "admin"), "short\nshort\n", "too short"),
        (("user", "add", "ok", "--role", "technician"), "a long password\n" * 2, "--plant"),
        (("user", "add", "ok", "--role", "technician", "--plant", "P-9"), "a long password\n" * 2, "no plant P-9"),
        (("user", "add", "ok", "--role", "city", "--region", "42"), "a long password\n" * 2, "4 digits"),
        (("user", "add", "ok", "--role", "city", "--region", "４２０１"), "a long password\n" * 2, "4 digits"),
        (("gateway", "invite", "P-9", "GW-1"), None, "no plant P-9"),
        (("export", "P-9", "2026-03"), None, "no signed month"),
        (("plant", "add", "/nowhere.toml"), None, "cannot read"),
    ],
)
def test_a_mistake_is_told_in_one_line(ready: Path, arguments: tuple[str, ...], text: str | None, words: str) -> None:
    error = said(run(ready, *arguments, text=text))
    assert words in error.en
    assert error.zh
    assert "\n" not in error.en
    assert error.exit_code in (1, 3)


def test_a_wrong_plan_names_its_member(ready: Path, tmp_path: Path) -> None:
    for change, words in (({"region": "42"}, "region"), ({"more": 1}, "more"), ({"v": 1.5}, "float")):
        file = tmp_path / "plan.json"
        file.write_text(json.dumps({**plan(), **change}), encoding="utf-8")
        assert words in said(run(ready, "plant", "add", str(file))).en


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("[web]\nprot = 1", "web.prot"),
        ("[web]\nport = 99999999", "web.port"),
        ("[log]\norigin = 'no slash'", "log.origin"),
        ("[log]\norigin = 7", "log.origin"),
        ("[web]\nsecure_cookies = 'perhaps'", "web.secure_cookies"),
        ("web = 1", "web"),
        ("[more]\nx = 1", "more"),
        ("= 1", "TOML"),
        ("x = " + "[" * 5000, "TOML"),
    ],
)
def test_a_wrong_setting_is_named_by_its_path(tmp_path: Path, line: str, words: str) -> None:
    file = tmp_path / "center.toml"
    file.write_text(
        'data_dir = "d"\n' + ("" if "[log]" in line else '[log]\norigin = "a/b"\n') + line, encoding="utf-8"
    )
    with pytest.raises(CenterError) as caught:
        load(file)
    assert words in caught.value.en
    assert not re.search("should|must|Input|valid", caught.value.zh)
    assert caught.value.exit_code == 3


def test_environment_names_the_database(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUNZHENG_DATABASE_URL", "postgresql://u@h/d")
    assert load(config).database_url == "postgresql+psycopg://u@h/d"


def test_a_database_that_is_away_is_exit_2(config: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CUNZHENG_DATABASE_URL", f"postgresql://u@/d?host={tmp_path}")
    assert said(run(config, "init")).exit_code == 2


def test_keys_that_others_can_read_are_refused(ready: Path) -> None:
    file = ready.parent / "center-data" / "log.key"
    file.chmod(0o644)
    assert "chmod 600" in said(run(ready, "check")).en
    file.unlink()
    assert "center init" in said(run(ready, "check")).en


def test_gunicorn_serves_and_stops_cleanly(ready: Path, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ready.write_text(ready.read_text(encoding="utf-8").replace("port = 8080", f"port = {port}"), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLE.parents[1])}
    with (tmp_path / "out").open("w") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "cunzheng", "center", "run", "-c", str(ready)],
            stdout=out,
            stderr=out,
            env=environment,
            cwd=tmp_path,
        )
    try:
        answer = None
        for _ in range(300):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/trust.json", timeout=5) as response:
                    answer = json.load(response)
                break
            except OSError:
                time.sleep(0.1)
        assert answer is not None, (tmp_path / "out").read_text()
        assert answer["size"] == 0
        server.send_signal(signal.SIGTERM)
        assert server.wait(40) == 0
    finally:
        server.kill()
        server.wait()


def test_a_lost_browser_or_password_is_not_the_end(ready: Path, tmp_path: Path) -> None:
    added = run(ready, "user", "add", "boss", "--role", "admin", text="a long password\n" * 2)
    assert added.exit_code == 0, added.output
    opened = Center.open(load(ready))
    with opened.database.reading() as session:
        before = store_users.find(session, "boss")
    word = tmp_path / "word"
    word.write_text("another password\n", encoding="utf-8")
    for arguments in (("user", "password", "boss", "--password-file", str(word)), ("user", "allow-key", "boss")):
        assert json.loads(run(ready, *arguments, "--json").output) == {"name": "boss"}
    with opened.database.reading() as session:
        after = store_users.find(session, "boss")
        assert is_password(store_users.password_hash(session, "boss"), "another password")
        assert store_users.load_session(session, before.get_id() if before else "") is None
    assert before is not None
    assert after is not None
    assert after.enrolments_left == before.enrolments_left + 1
    assert "no user" in said(run(ready, "user", "allow-key", "nobody")).en
    assert "not enrolled" in said(run(ready, "key", "revoke", "A" * 43, "--reason", "lost")).en
    assert "not right" in said(run(ready, "key", "revoke", "short", "--reason", "lost")).en
    opened.database.close()


def test_a_revoked_key_is_refused_by_the_log(ready: Path, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(plan()), encoding="utf-8")
    run(ready, "plant", "add", str(file))
    opened = Center.open(load(ready))
    device = Device()
    device.enrol(opened)
    assert submit(opened, [device.event()])[0].status is Status.LOGGED
    revoked = run(ready, "key", "revoke", device.key.kid, "--reason", "compromised", "--json")
    assert json.loads(revoked.output) == {"kid": device.key.kid, "reason": "compromised"}
    assert submit(opened, [device.event()])[0].code == "KEY_REVOKED"
    assert "has ended" in said(run(ready, "key", "revoke", device.key.kid, "--reason", "lost")).en
    opened.database.close()
