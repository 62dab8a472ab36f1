"""Bytes of a gateway's database that flip unseen by SQLite: told in a sentence that names the row, no traceback."""

from __future__ import annotations

import json
import random
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from conftest import Plant, open_plant
from filled_store import filled, sync, tables
from small_centre import SmallCentre

from cunzheng.cli import cunzheng
from gateway.content_check import check_contents
from gateway.damage import RESCUED
from gateway.errors import GarbledError, GatewayError
from gateway.identity import read_key
from gateway.integrity import CheckReport, check_store
from gateway.rawtile import RawFolder
from gateway.settings import Settings, load_settings
from gateway.status import status_of
from gateway.store import Store

FLIPS = 120
BY_COMMAND = 20
"""Every so many flips also go through the commands."""


@pytest.fixture(scope="module")
def log() -> Iterator[SmallCentre]:
    with SmallCentre() as made:
        yield made


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, log: SmallCentre, root: Path) -> Plant:
    """A closed gateway with rows in every table; only copied."""
    return filled(tmp_path_factory.mktemp("template"), log, root)


@pytest.fixture
def folder(template: Plant, tmp_path: Path) -> Path:
    shutil.copytree(template.folder, tmp_path / "plant")
    return tmp_path / "plant"


def called(folder: Path, command: str, *words: str, lang: str = "en") -> Result:
    told = ["--lang", lang, "gateway", command, "-c", str(folder / "gateway.toml"), *words]
    return CliRunner().invoke(cunzheng, told)


def change(folder: Path, *statements: str) -> None:
    """Change the closed database behind the gateway's back."""
    with closing(sqlite3.connect(folder / "gateway.db")) as connection:
        for sql in statements:
            assert connection.execute(sql).rowcount > 0, sql
        connection.commit()


def looked(folder: Path, *, repair: bool = False) -> CheckReport:
    settings = load_settings(folder / "gateway.toml")
    store = Store(settings.database)
    try:
        with store.transaction():
            return whole_check(store, settings, repair=repair)
    finally:
        store.close()


def whole_check(store: Store, settings: Settings, *, repair: bool = False) -> CheckReport:
    report = check_store(store, RawFolder(settings.raw_folder), repair=repair)
    check_contents(store, settings.content_folder, report, repair=repair)
    return report


UNDER_WAY = """
INSERT INTO sealing (epoch, hour, at, upto, start, entries, baselines) VALUES
(1, '2026-03-21T00:00:00.000Z', 0, 286, 280, '[]', '{"TEMP": "[\\"1\\", \\"2026-03-21T00:00:00.000Z\\"]"}')
"""


# -- any byte ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Flip:
    """One byte of the file becomes another."""

    at: int
    mask: int

    def apply(self, good: bytes, path: Path) -> None:
        """Write the damaged file."""
        data = bytearray(good)
        data[self.at] ^= self.mask
        path.write_bytes(data)
        for end in ("-wal", "-shm"):
            path.with_name(path.name + end).unlink(missing_ok=True)


def flips(path: Path, rng: random.Random, count: int) -> list[Flip]:
    """Choose bytes: anywhere something is written, in a value of each table in turn, or before it.

    Before a row's values stands what type each of them is.
    """
    data = path.read_bytes()
    written = [at for at, byte in enumerate(data) if byte]
    with closing(sqlite3.connect(path)) as connection:
        values = [
            {
                one if isinstance(one, bytes) else str(one).encode()
                for row in rows
                for one in row
                if one not in (None, "")
            }
            for rows in (connection.execute(f"SELECT * FROM {name}").fetchall() for name in tables(path))
        ]
    places = []
    for number in range(count):
        value = rng.choice(sorted(values[number % len(values)]))
        start = data.find(value) if len(value) > 3 else -1
        at = (start + rng.randrange(len(value)), start - 1 - rng.randrange(24), -1)[number // len(values) % 3]
        places.append(at if start >= 0 and at >= 0 else rng.choice(written))
    return [Flip(at, rng.choice((1 << rng.randrange(8), 0x80, 0xFF))) for at in places]


def told(path: Path, look: Callable[[Store], CheckReport | None]) -> list[str]:
    """Open the file and look, as the commands do; return the sentences a person would read, if any."""
    try:
        store = Store(path)
        try:
            with store.transaction():
                report = look(store)
        finally:
            store.close()
    except GatewayError as error:
        return [error.zh, error.en]
    return [] if report is None else report.faults


def test_flipped_bytes_end_in_a_sentence_whatever_they_hit(folder: Path, rng: random.Random) -> None:
    path, settings = folder / "gateway.db", load_settings(folder / "gateway.toml")
    change(folder, UNDER_WAY)
    assert all(tables(path).values()), tables(path)
    good = path.read_bytes()
    seen = 0
    for at, flip in enumerate(flips(path, rng, FLIPS)):
        print(flip)
        flip.apply(good, path)
        said = told(path, lambda store: status_of(store, settings) and None)
        said += told(path, lambda store: whole_check(store, settings))
        seen += bool(said)
        for sentence in said:
            assert sentence.strip()
            sentence.encode("utf-8")  # nothing in it that no terminal could show
        if at % BY_COMMAND == 0:
            flip.apply(good, path)
            for command, *words in (
                ["status"],
                ["status", "--json"],
                ["check"],
                ["export", str(path.parent / f"x{at}")],
            ):
                result = called(folder, command, *words)
                assert result.exit_code in (0, 1, 2), result.output
                assert "internal error" not in result.output
                assert "Traceback" not in result.output
                assert not result.exit_code or len(result.stderr.strip().splitlines()) == 1, result.stderr
    print(f"noticed {seen} of {FLIPS}")
    assert seen > FLIPS // 2


WRONG = ("NULL", "7", "x'ff00'", "'x'")


def columns(path: Path) -> list[tuple[str, str]]:
    """Return every table with every column."""
    with closing(sqlite3.connect(path)) as connection:
        return [
            (name, row[0])
            for name in tables(path)
            for row in connection.execute("SELECT name FROM pragma_table_info(?)", (name,)).fetchall()
        ]


def put_wrong(path: Path, table: str, column: str, value: str) -> bool:
    """Put a value of any type into a row, as a flipped byte of the row's head would; tell whether that can be."""
    with closing(sqlite3.connect(path)) as connection:
        schema = "UPDATE sqlite_master SET sql = {} WHERE name = ?"
        (good,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        loose = re.sub(r"CHECK \(.*\)|REFERENCES \w+ \(\w+\)|NOT NULL|\bSTRICT\b,?", "", good).rstrip().rstrip(",")
        loose = re.sub(r"\b(TEXT|BLOB|INTEGER(?! PRIMARY))\b", "", loose)
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(schema.format("?"), (loose, table))
        connection.commit()
        connection.execute("PRAGMA writable_schema = RESET")
        try:
            where = f'SELECT "{column}" FROM "{table}" LIMIT 1'
            connection.execute(f'UPDATE "{table}" SET "{column}" = {value} WHERE "{column}" IS ({where})')
        except sqlite3.Error:
            return False
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(schema.format("?"), (good, table))
        connection.commit()
    return True


def test_value_of_another_type_in_any_column_ends_in_a_sentence(folder: Path, rng: random.Random) -> None:
    path, settings = folder / "gateway.db", load_settings(folder / "gateway.toml")
    change(folder, UNDER_WAY)
    good = path.read_bytes()
    done = 0
    for table, column in columns(path):
        for value in rng.sample(WRONG, 1):
            print(table, column, value)
            path.write_bytes(good)
            if put_wrong(path, table, column, value):
                done += 1
                told(path, lambda store: status_of(store, settings) and None)
                said = told(path, lambda store: whole_check(store, settings))
                for sentence in said:
                    sentence.encode("utf-8")
    assert done > 60


# -- rows that are named -----------------------------------------------------------------------------------

OPEN_ROW = "seq = (SELECT min(seq) FROM reading WHERE leaf IS NULL)"
GARBAGE = [
    ("value = 'NaN'", 'value "NaN" is no decimal number'),
    ("value = 'Infinity'", 'value "Infinity" is no decimal number'),
    ("value = '1,5'", 'value "1,5" is no decimal number'),
    ("value = ''", 'value "" is no decimal number'),
    ("value = NULL", "is flagged N and has no value"),
    ("flag = 'Q'", 'flag "Q" is no known flag'),
    ("time = '2026-03-21 00:00'", 'time "2026-03-21 00:00" is no time'),
    ("time = '2026-02-30T00:00:00.000Z'", "is no time"),
    ("received = 'soon'", 'received "soon" is no time'),
    ("hour = 'x'", 'hour "x" is no time'),
    ("hour = ''", "lacks its epoch, leaf or hour"),
    ("unit = CAST(x'64ff43' AS TEXT)", r'unit "d\xffC" is no UTF-8 text'),
    ("reason = CAST(x'c3' AS TEXT)", "is no UTF-8 text"),
]


@pytest.mark.parametrize(("garbage", "says"), GARBAGE, ids=[one for one, _ in GARBAGE])
def test_garbage_in_a_reading_that_is_not_sealed_is_named(folder: Path, garbage: str, says: str) -> None:
    change(folder, f"UPDATE reading SET {garbage} WHERE {OPEN_ROW}")
    (fault,) = looked(folder).faults
    assert fault.startswith("database table reading, row seq=281 channel=TEMP: ")
    assert says in fault
    checked = called(folder, "check", lang="zh")
    assert (checked.exit_code, "数据库表 reading 的行 seq=281 channel=TEMP：" in checked.stdout) == (1, True)
    assert "docs/recovery.md" in checked.stderr


HELD_UP = [
    "value = 'NaN'",
    "value = 'Infinity'",
    "value = '1,5'",
    "flag = 'Q'",
    "time = 'now'",
    "unit = CAST(x'ff' AS TEXT)",
]


@pytest.mark.parametrize("garbage", HELD_UP)
def test_garbage_that_is_not_sealed_holds_up_its_own_hour_only(folder: Path, garbage: str) -> None:
    change(folder, f"UPDATE reading SET {garbage} WHERE {OPEN_ROW}")
    with closing(sqlite3.connect(folder / "gateway.db")) as connection:
        connection.execute(
            "INSERT INTO reading (channel, time, hour, value, unit, flag, reason, received, raw, imported) VALUES"
            " ('TEMP', '2026-03-22T00:00:00.000Z', '2026-03-22T00:00:00.000Z', '1', 'degC', 'N', '',"
            " '2026-03-22T00:00:00.000Z', '', 1)"
        )
        connection.commit()
    closed = called(folder, "close", "--json")
    assert (closed.exit_code, json.loads(closed.stdout)) == (0, {"segments": 1, "readings": 1, "open_hours": 1})
    (held,) = [
        one["en"] for one in json.loads(called(folder, "status", "--json").stdout)["problems"] if "seal" in one["key"]
    ]
    assert "the hour 2026-03-21T00:00:00.000Z cannot be sealed" in held


ROWS = [
    (
        "UPDATE identity SET value = 'one' WHERE name = 'epoch'",
        'identity, row name=epoch: value "one" is no whole number',
    ),
    ("UPDATE identity SET value = '{' WHERE name = 'anchor'", 'identity, row name=anchor: value "{" is no checkpoint'),
    ("UPDATE problem SET zh = CAST(x'c3' AS TEXT)", r'problem, row key=device:em1: zh "\xc3" is no UTF-8 text'),
    ("UPDATE device_clock SET offset_s = 'x'", 'device_clock, row device=em1: offset_s "x" is no decimal number'),
]


@pytest.mark.parametrize(("sql", "says"), ROWS, ids=["identity", "anchor", "text", "clock"])
def test_row_that_a_status_cannot_show_is_named_by_status_and_check(folder: Path, sql: str, says: str) -> None:
    change(folder, sql)
    refused = called(folder, "status")
    assert refused.exit_code == 1
    for part in (says, "cunzheng gateway export", "docs/recovery.md"):
        assert part in refused.stderr
    assert any(says in fault for fault in looked(folder).faults)
    assert called(folder, "export", str(folder / "copy")).exit_code == 0, "what is there can still be saved"


def test_row_that_stops_the_start_is_named(folder: Path) -> None:
    change(folder, "UPDATE channel SET config = '{}' WHERE id = 'TEMP'")
    refused = called(folder, "close")
    assert (refused.exit_code, 'table channel, row id=TEMP: config "{}" declares no channel' in refused.stderr) == (
        1,
        True,
    )


def test_table_or_column_with_another_name_is_named(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "gateway.db")) as connection:
        connection.execute("ALTER TABLE quarantine RENAME COLUMN received TO receives")
        connection.execute("ALTER TABLE kept RENAME TO kepp")
        connection.commit()
    checked, refused = called(folder, "check"), called(folder, "status")
    assert (checked.exit_code, refused.exit_code) == (1, 1)
    assert "row quarantine: the column received is unknown or not there" in checked.stdout
    assert "row kept: the table is not there" in checked.stdout
    assert "row kept: the table is not there" in refused.stderr


def test_garbled_rows_can_be_read_out_into_another_database(folder: Path) -> None:
    """The way that docs/recovery.md describes."""
    change(folder, f"UPDATE reading SET unit = CAST(x'ff' AS TEXT) WHERE {OPEN_ROW}")
    aside = folder / "damaged-20260401T000000Z"
    aside.mkdir()
    for path in folder.glob("gateway.db*"):
        path.rename(aside / path.name)
    refused = called(folder, "status")
    assert (refused.exit_code, "285 readings" in refused.stderr, "cunzheng gateway enrol" in refused.stderr) == (
        1,
        True,
        True,
    )
    rescued = Store(aside / RESCUED)
    report = check_store(rescued, RawFolder(folder / "raw"), repair=False)
    rescued.close()
    assert report.faults == []


# -- contents ----------------------------------------------------------------------------------------------


def contents(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "content").rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        ("damaged", "is not what its digest says"),
        ("empty", "is not what its digest says"),
        ("gone", "has no file"),
        ("a folder", "cannot be read"),
        ("size", "bytes, its file has"),
        ("forgotten", "was declared and is not in the database"),
    ],
)
def test_content_that_is_damaged_or_missing_is_named(folder: Path, harm: str, says: str) -> None:
    good = looked(folder)
    assert (good.faults, good.contents) == ([], 3)
    path = contents(folder)[1]
    if harm == "damaged":
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    elif harm == "empty":
        path.write_bytes(b"")
    elif harm in ("gone", "a folder"):
        path.unlink()
        if harm == "a folder":
            path.mkdir()
    elif harm == "size":
        change(folder, f"UPDATE content SET size = size + 1 WHERE sha256 = '{path.name}'")
    else:
        change(folder, f"DELETE FROM content WHERE sha256 = '{path.name}'")
    (fault,) = looked(folder).faults
    assert fault.startswith(f"content {path.name[:12]} ")
    assert says in fault
    assert "check --repair" in fault


def test_lost_content_is_fetched_again_after_a_repair(folder: Path, template: Plant, log: SmallCentre) -> None:
    lost, damaged, _ = contents(folder)
    lost.unlink()
    damaged.write_bytes(b"{}")
    assert len(looked(folder, repair=True).faults) == 2
    again = open_plant(folder, template.clock, template.identity, read_key(folder / "gateway.key"))
    try:
        sync(again, log)
    finally:
        again.writer.close()
    good = looked(folder)
    assert (good.faults, good.contents) == ([], 3)


# -- what devices said -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset", "lang", "line"),
    [
        ("90", "en", "device em1: serial 4711 since {t}; 固件 1.2 since {t}; clock 90 s ahead when read at {t}"),
        ("-3.5", "en", "device em1: serial 4711 since {t}; 固件 1.2 since {t}; clock 3.5 s behind when read at {t}"),
        ("90", "zh", "设备 em1：serial 4711（自 {t} 起）；固件 1.2（自 {t} 起）；时钟快 90 秒（{t} 读取时显示 "),
        ("0", "zh", "设备 em1：serial 4711（自 {t} 起）；固件 1.2（自 {t} 起）；时钟无偏差（{t} 读取时显示 "),
    ],
)
def test_status_says_what_devices_said_of_themselves(folder: Path, offset: str, lang: str, line: str) -> None:
    change(
        folder,
        f"UPDATE device_clock SET offset_s = '{offset}'",
        "INSERT INTO device_clock SELECT 'em0', shown, read, '1' FROM device_clock",
    )
    said = called(folder, "status", lang=lang).stdout
    time = json.loads(called(folder, "status", "--json").stdout)["devices"][1]["clock"]["read"]
    assert line.format(t=time) in said
    assert ("device em0: clock 1 s ahead" if lang == "en" else "设备 em0：时钟快 1 秒") in said


def test_table_of_migrations_with_another_column_ends_in_a_sentence(tmp_path: Path) -> None:
    Store(tmp_path / "gateway.db").close()
    with closing(sqlite3.connect(tmp_path / "gateway.db", isolation_level=None)) as database:
        database.execute("ALTER TABLE _sqlite_migrations RENAME COLUMN applied_at TO bpplied_at")
    with pytest.raises(GarbledError, match="never wrote"):
        Store(tmp_path / "gateway.db")
