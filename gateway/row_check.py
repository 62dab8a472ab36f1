"""Whether each row of the database holds what its columns can hold: what SQLite does not notice when a byte changes.

What they can hold stands in `gateway/row_forms.py`. Does not compare rows with each other or with files; that is done
in `gateway/integrity.py` and `gateway/content_check.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

from gateway.errors import GarbledError, Words
from gateway.row_forms import FORMS, RULES, UNREADABLE, Form, said_of, shown
from gateway.store import Row, Store
from gateway.writer import Writer

MOST_NAMED = 50
"""Rows of one table that are named one by one."""
_SCHEMA = "sqlite_master"
_TABLES = f"SELECT name FROM {_SCHEMA} WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
_TYPES = {"INTEGER": int, "TEXT": str, "BLOB": bytes}


@dataclass(frozen=True)
class BadRow:
    """One row that cannot be what was written: where it is, and what is wrong with it, in both languages."""

    table: str
    key: str
    zh: str
    en: str

    @property
    def words(self) -> Words:
        """Say it in Chinese and English."""
        return (
            f"数据库表 {self.table} 的行 {self.key}：{self.zh}",
            f"database table {self.table}, row {self.key}: {self.en}",
        )


@dataclass(frozen=True)
class _Column:
    """A column as the schema declares it."""

    name: str
    type: type
    may_be_null: bool
    form: Form | None


def bad_rows(store: Store) -> Iterator[BadRow]:
    """Look at every row of every table; the caller reads texts as `Store.any_text` does.

    Raises:
        GarbledError: the schema itself is not what this program made.
        DamagedError: SQLite cannot read on.
    """
    tables = [str(row["name"]) for row in store.rows(_TABLES)]
    for name in sorted({*tables, *FORMS}):
        if name not in tables:
            yield BadRow(_SCHEMA, name, "表不存在", "the table is not there")
        elif _is_no_text(name):
            yield BadRow(_SCHEMA, shown(name), "名称不是 UTF-8 文本", "the name is no UTF-8 text")
        else:
            yield from _of_table(store, name)


@contextmanager
def naming_rows(store: Store) -> Iterator[None]:
    """Turn what a garbled row makes of a look at the store into an error that names the row; a defect stays one.

    Raises:
        GarbledError: names the first row that cannot be what was written.
    """
    try:
        yield
    except UNREADABLE as error:
        raise_named(store, error)
        raise


@contextmanager
def naming_rows_of(writer: Writer) -> Iterator[None]:
    """Do the same for work that asks a writer.

    Raises:
        GarbledError: names the first row that cannot be what was written.
    """
    try:
        yield
    except UNREADABLE as error:
        failed: Exception = error
        writer.call(lambda store: raise_named(store, failed))
        raise


def raise_named(store: Store, error: Exception) -> None:
    """Raise an error that names the first garbled row, if there is one.

    Raises:
        GarbledError: there is one.
    """
    with store.any_text():
        found = list(islice(bad_rows(store), 2))
    if not found:
        return
    (zh, en), more = found[0].words, len(found) > 1
    raise GarbledError(
        f"{zh}{'；还有其他行' if more else ''}；请用 cunzheng gateway export 保存副本，"
        "运行 cunzheng gateway check 查看全部，再按 docs/recovery.md 处理",
        f"{en}{'; there are more' if more else ''}; keep a copy with cunzheng gateway export, see all with"
        " cunzheng gateway check, then do as docs/recovery.md says",
    ) from error


# -- tables ------------------------------------------------------------------------------------------------


def _of_table(store: Store, table: str) -> Iterator[BadRow]:
    forms = FORMS.get(table, {})
    declared = store.rows('SELECT name, type, "notnull", pk FROM pragma_table_info(?)', (table,))
    there = [str(row["name"]) for row in declared]
    for name in [*filter(_is_no_text, there), *(one for one in forms if one not in there)]:
        yield BadRow(
            _SCHEMA, table, f"没有或不认识列 {shown(name)}", f"the column {shown(name)} is unknown or not there"
        )
    if any(map(_is_no_text, there)):
        return
    columns = [
        _Column(
            row["name"],
            _TYPES.get(row["type"], object),
            not row["notnull"] and not row["pk"],
            forms.get(row["name"]),
        )
        for row in declared
    ]
    keys = [row["name"] for row in sorted(declared, key=lambda row: int(row["pk"])) if row["pk"]]
    names = ", ".join(f'"{one.name}"' for one in columns)
    rule = RULES.get(table)
    named = 0
    for row in store.each(f'SELECT {names} FROM "{table}"'):
        wrong = _wrong_column(row, columns) or (None if rule is None else rule(row))
        if wrong is None:
            continue
        named += 1
        if named > MOST_NAMED:
            yield BadRow(table, "…", f"前 {MOST_NAMED} 行之后还有", f"and more after these {MOST_NAMED}")
            return
        yield BadRow(table, _key_of(row, table, keys), *wrong)


def _wrong_column(row: Row, columns: list[_Column]) -> Words | None:
    for column, value in zip(columns, row, strict=True):
        if value is None and column.may_be_null:
            continue
        if not isinstance(value, column.type):
            return said_of(column.name, value, "类型不对", "is of the wrong type")
        if isinstance(value, str) and _is_no_text(value):
            return said_of(column.name, value, "不是 UTF-8 文本", "is no UTF-8 text")
        if column.form is not None and not column.form.is_met_by(value):
            return said_of(column.name, value, column.form.zh, column.form.en)
    return None


def _key_of(row: Row, table: str, keys: list[str]) -> str:
    names = [*keys, *(["channel"] if table == "reading" else [])]
    return " ".join(f"{name}={shown(row[name])}" for name in names)


def _is_no_text(value: str) -> bool:
    return not value.isascii() and any("\ud800" <= one <= "\udfff" for one in value)
