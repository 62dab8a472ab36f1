"""What the administrator does from the command line: initialise, add users and plants, invite gateways."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy.orm import Session

from accounting.errors import AccountingError
from accounting.month import JSON_TYPE, PARAMETERS, PLAN
from accounting.parameter_set import packaged_bytes, read_parameters
from accounting.plan import check_against, read_plan
from evidence.encoding import jcs
from evidence.errors import EvidenceError
from webapp import (
    accounts,
    keyfile,
    keyring,
    schema,
    store_contents,
    store_keys,
    store_log,
    store_logins,
    store_plants,
    store_users,
)
from webapp.admission import Admission
from webapp.center import Center, Clock, utc_now
from webapp.database import Database
from webapp.errors import CenterError
from webapp.log import Log, Turn
from webapp.models import Plant, User
from webapp.refusal import Outcome, Refused
from webapp.settings import Settings

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,63}\Z")
_REGION_DIGITS = {
    accounts.CITY: (4,),
    accounts.PROVINCE: (2,),
    accounts.NATION: (0,),
    accounts.INSPECTOR: (0, 2, 4, 6),
}
"""Digits of a region by GB/T 2260; an inspector may be of a district, a city, a province or the nation."""
FIRST_ENROLMENTS = 1
REVOCATION_REASONS = ("lost", "compromised", "ceased", "superseded")


def initialise(settings: Settings, clock: Clock = utc_now) -> bool:
    """Make data folder, keys, schema and an empty log; safe to repeat. Says whether the log is new.

    Raises:
        LogRefusedError: there is a log already and it must not be continued.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    is_new = keyfile.make(settings.log_key_file)
    for path in (settings.registrar_key_file, settings.secret_file):
        keyfile.make(path)
    database = Database.of(settings)
    schema.upgrade(database)
    registrar = keyfile.read(settings.registrar_key_file)
    with database.writing() as session:
        store_log.make_head(session)
        keyring.add_registrar(session, registrar)
    Log(database, settings.log_dir, settings.log.origin, keyfile.read(settings.log_key_file), clock).recover()
    database.close()
    return is_new


def add_user(
    center: Center,
    *,
    name: str,
    role: str,
    password: str,
    name_zh: str = "",
    name_en: str = "",
    plants: Sequence[str] = (),
    region: str = "",
) -> None:
    """Add an account.

    Raises:
        CenterError: a value is not allowed, or the name is taken.
    """
    _check_user(name, role, password, plants, region)
    with center.database.writing() as session:
        if store_users.find(session, name) is not None:
            raise CenterError(f"用户 {name} 已存在", f"user {name} is there already")
        for plant in plants:
            if store_plants.find(session, plant) is None:
                raise CenterError(f"没有企业 {plant}；请先添加", f"there is no plant {plant}; add it first")
        user = User(
            name=name,
            password_hash=accounts.hash_password(password),
            name_zh=name_zh or name,
            name_en=name_en or name,
            role=role,
            plants=list(plants),
            region=region,
            enabled=True,
            enrolments_left=FIRST_ENROLMENTS,
            session_generation=1,
            created_at=center.now(),
        )
        store_users.add(session, user)
        store_users.note_act(session, at=center.now(), actor="cli", action="user-add", object_=name)


def change_password(center: Center, name: str, password: str) -> None:
    """Give an account a new password and end all its sessions.

    Raises:
        CenterError: there is no such account, or the password is too short.
    """
    _check_password(password)
    with center.database.writing() as session:
        _require_user(session, name)
        store_users.set_password(session, name, accounts.hash_password(password))
        store_logins.forget_account(session, name)
        store_users.note_act(session, at=center.now(), actor="cli", action="user-password", object_=name)


def allow_key(center: Center, name: str, *, actor: str = "cli") -> None:
    """Let a person register one more browser key; the old one ends when the new one is registered.

    Raises:
        CenterError: there is no such account.
    """
    with center.database.writing() as session:
        _require_user(session, name)
        store_users.allow_enrolment(session, name)
        store_users.note_act(session, at=center.now(), actor=actor, action="user-key", object_=name)


def revoke_key(center: Center, kid: str, reason: str, *, actor: str = "cli") -> None:
    """End a key at the log's present size.

    Raises:
        CenterError: the log refuses, because the key is unknown or has ended.
    """

    def decide(turn: Turn) -> Outcome:
        row = store_keys.find_row(turn.session, kid)
        plant = row.plants[0] if row is not None and row.plants else ""
        statement = keyring.revocation(center.registrar_key, kid, plant, reason, turn.now)
        return Admission(turn, center.log.origin).admit(statement.jws)

    try:
        outcome = center.log.sequence(decide)
    except EvidenceError as error:
        raise CenterError(f"密钥 {kid} 不正确：{error.detail}", f"key {kid} is not right: {error.detail}") from error
    if isinstance(outcome, Refused):
        raise CenterError(f"不能吊销密钥：{outcome.detail}", f"the key cannot be revoked: {outcome.detail}")
    with center.database.writing() as session:
        details = {"reason": reason}
        store_users.note_act(session, at=center.now(), actor=actor, action="key-revoke", object_=kid, details=details)


def _require_user(session: Session, name: str) -> None:
    if store_users.find(session, name) is None:
        raise CenterError(f"没有用户 {name}", f"there is no user {name}")


def _check_password(password: str) -> None:
    if len(password) < accounts.MIN_PASSWORD:
        raise CenterError(
            f"密码太短；至少 {accounts.MIN_PASSWORD} 个字符",
            f"the password is too short; use at least {accounts.MIN_PASSWORD} characters",
            exit_code=3,
        )


def _check_user(name: str, role: str, password: str, plants: Sequence[str], region: str) -> None:
    if not _NAME.match(name):
        raise CenterError(
            f"用户名 {name!r} 不可用；请用 2–64 个字母、数字、点、横线",
            f"user name {name!r} is not allowed; use 2 to 64 letters, digits, dots and dashes",
            exit_code=3,
        )
    if role not in accounts.ROLES:
        raise CenterError(
            f"没有角色 {role}；可选 {'、'.join(accounts.ROLES)}",
            f"there is no role {role}; choose one of {', '.join(accounts.ROLES)}",
            exit_code=3,
        )
    _check_password(password)
    if role in accounts.PLANT_ROLES and not plants:
        raise CenterError(f"角色 {role} 需要 --plant", f"role {role} needs --plant", exit_code=3)
    digits = _REGION_DIGITS.get(role)
    if digits is not None and (len(region) not in digits or not re.fullmatch("[0-9]*", region)):
        raise CenterError(
            f"角色 {role} 的 --region 应为 {'、'.join(map(str, digits))} 位行政区划代码",
            f"role {role} needs --region with {' or '.join(map(str, digits))} digits of GB/T 2260",
            exit_code=3,
        )


def read_plan_file(path: Path) -> bytes:
    """Read a plan from TOML or JSON as canonical JSON.

    Raises:
        CenterError: it cannot be read, or holds a number with a fraction outside quotes.
    """
    try:
        text = path.read_text(encoding="utf-8")
        value = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
        return jcs(value)
    except OSError as error:
        raise CenterError(
            f"无法读取方案文件 {path}：{error.strerror}", f"cannot read plan file {path}: {error.strerror}", exit_code=3
        ) from error
    except (ValueError, RecursionError, EvidenceError) as error:
        raise CenterError(
            f"方案文件 {path} 不正确：{error}", f"plan file {path} is not right: {error}", exit_code=3
        ) from error


def add_plant(center: Center, plan: bytes, parameters: bytes | None = None) -> str:
    """Add a plant, or give it a new plan; gives its id.

    Raises:
        CenterError: plan and parameter set do not fit, or the plant has moved to another region or zone.
    """
    try:
        master = read_plan(plan)
        values = parameters if parameters is not None else packaged_bytes(master.parameters)
        check_against(master, read_parameters(values))
    except AccountingError as error:
        raise CenterError(error.zh, error.en, exit_code=3) from error
    now = center.now()
    with center.database.writing() as session:
        old = store_plants.find(session, master.plant)
        if old is not None and (old.zone, old.region) != (master.zone, master.region):
            raise CenterError(
                f"企业 {master.plant} 的时区和地区不能更改",
                f"zone and region of plant {master.plant} cannot be changed",
            )
        plan_sha256 = store_contents.add(session, master.plant, PLAN, JSON_TYPE, plan, now)
        parameters_sha256 = store_contents.add(session, master.plant, PARAMETERS, JSON_TYPE, values, now)
        plant = old or Plant(id=master.plant, created_at=now, zone=master.zone, region=master.region)
        plant.name_zh, plant.name_en = master.name.zh, master.name.en
        plant.sector, plant.parameters_id = master.sector, master.parameters
        plant.plan_sha256, plant.parameters_sha256 = plan_sha256, parameters_sha256
        store_plants.add(session, plant)
        store_users.note_act(session, at=now, actor="cli", action="plant-plan", object_=plan_sha256, plant=master.plant)
    return master.plant
