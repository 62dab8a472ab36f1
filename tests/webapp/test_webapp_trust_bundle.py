"""The trust bundle: what honest keys say comes through; every crime against it is refused by its name."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from trust_world import Authority, key, without_times

from gateway.trust_client import (
    TrustFault,
    TrustRefusedError,
    find_root,
    fingerprint_of,
    folder_place,
    has_trust,
    read_trust,
    take_trust,
)
from webapp import trust_ceremony
from webapp.errors import CenterError


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "centre").begin()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "client"


def fault(call: Callable[[], object]) -> TrustFault:
    with pytest.raises(TrustRefusedError) as caught:
        call()
    assert str(caught.value.fault) in caught.value.zh
    return caught.value.fault


def test_a_bundle_says_the_same_at_the_client_as_at_the_centre(authority: Authority, state: Path) -> None:
    held = authority.taken(state)
    assert without_times(held.trust) == without_times(authority.trust())
    assert (held.root_version, held.threshold, held.root_keys) == (1, 2, 3)
    assert read_trust(state) == held


def test_each_role_lasts_as_long_as_it_should(authority: Authority, state: Path) -> None:
    held = authority.taken(state)
    days = {role: round((end - authority.now) / timedelta(days=1)) for role, end in held.expires.items()}
    assert days == {"root": 365, "targets": 90, "snapshot": 30, "timestamp": 7, "registry": 30}
    assert held.trust.expires == held.expires["timestamp"]


def test_a_changed_registry_comes_without_any_offline_key(authority: Authority, state: Path) -> None:
    authority.taken(state)
    authority.plants.append("P-0002")
    assert authority.refresh()
    assert set(authority.taken(state).trust.registry.plants) == {"P-0001", "P-0002"}


def test_nothing_is_signed_anew_for_a_longer_log_within_a_day(authority: Authority) -> None:
    authority.size += 100
    assert not authority.refresh()
    authority.later(days=1, minutes=1)
    assert authority.refresh()


def test_only_newer_files_are_kept_and_every_published_state_can_be_exported(
    authority: Authority, state: Path, tmp_path: Path
) -> None:
    for number in range(12):
        authority.plants.append(f"P-1{number:03}")
        authority.refresh()
    held = authority.taken(state, authority.export(tmp_path / "stick"))
    assert len(held.trust.registry.plants) == 13
    assert len(list(authority.repository.published.glob("*.snapshot.json"))) <= 6


def test_keys_of_the_holders_change_by_two_of_the_old_and_two_of_the_new(authority: Authority, state: Path) -> None:
    authority.taken(state)
    fresh = [key(f"fresh {number}") for number in range(3)]
    authority.stage(fresh)
    authority.sign(*fresh)
    with pytest.raises(CenterError):
        authority.publish()
    authority.sign(*authority.holders[:2])
    authority.publish()
    assert authority.taken(state).root_version == 2
    authority.holders = fresh
    authority.renew()
    assert authority.taken(state).root_version == 2


def test_one_signature_of_three_publishes_nothing(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "centre")
    authority.stage(authority.holders)
    for holders in ((), authority.holders[:1], [authority.holders[0]] * 2, [key("stranger"), authority.holders[2]]):
        authority.sign(*holders)
        with pytest.raises(CenterError):
            authority.publish()
        assert not authority.repository.is_published
        authority.stage(authority.holders)


def test_staged_anchors_that_were_exchanged_are_not_signed(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "centre")
    authority.stage(authority.holders)
    anchors = authority.repository.staged / "anchors.json"
    anchors.write_bytes(anchors.read_bytes().replace(b"quorum none", b"quorum some"))
    with pytest.raises(CenterError):
        authority.sign(authority.holders[0])


# --- crimes ------------------------------------------------------------------------------------------


def test_older_bundle_than_the_one_held_is_a_rollback(authority: Authority, state: Path, tmp_path: Path) -> None:
    old = authority.export(tmp_path / "old stick")
    authority.plants.append("P-0002")
    authority.refresh()
    held = authority.taken(state)
    assert fault(lambda: authority.taken(state, old)) is TrustFault.ROLLBACK
    assert read_trust(state) == held


def test_bundle_from_before_a_change_of_root_is_a_rollback(authority: Authority, state: Path, tmp_path: Path) -> None:
    old = authority.export(tmp_path / "old stick")
    fresh = [*authority.holders[:2], key("fresh")]
    authority.renew(*authority.holders[:2], offline=fresh)
    held = authority.taken(state)
    assert held.root_version == 2
    assert fault(lambda: authority.taken(state, old)) is TrustFault.ROLLBACK


def test_old_targets_under_a_new_timestamp_are_a_rollback(authority: Authority, state: Path, tmp_path: Path) -> None:
    """The centre's own key is in wrong hands: it signs old versions as the newest."""
    first = tmp_path / "first"
    shutil.copytree(authority.repository.published, first)
    authority.renew()
    authority.taken(state)
    (authority.repository.published / "2.targets.json").unlink()
    authority.plants.append("P-0002")
    authority.refresh()
    assert fault(lambda: authority.taken(state)) is TrustFault.ROLLBACK


def test_expired_bundle_is_a_freeze(tmp_path: Path, state: Path) -> None:
    authority = Authority(tmp_path / "centre", datetime.now(UTC) - timedelta(days=8)).begin()
    assert fault(lambda: authority.taken(state)) is TrustFault.FREEZE
    assert not has_trust(state)


@pytest.mark.parametrize(("days", "role"), [(31, "snapshot"), (91, "targets"), (366, "root")])
def test_expired_parts_freeze_though_the_timestamp_is_fresh(tmp_path: Path, state: Path, days: int, role: str) -> None:
    authority = Authority(tmp_path / "centre", datetime.now(UTC) - timedelta(days=days)).begin()
    folder = authority.repository.published
    if role == "snapshot":
        timestamp = authority.repository.timestamp()
        assert timestamp is not None
        snapshot = (folder / "1.snapshot.json").read_bytes()
        write_timestamp(authority, snapshot)
    else:
        authority.now = datetime.now(UTC)
        authority.refresh()
    assert fault(lambda: authority.taken(state)) is TrustFault.FREEZE


def write_timestamp(authority: Authority, snapshot: bytes) -> None:
    from webapp import trust_metadata

    fresh = trust_metadata.new_timestamp(2, snapshot, 1, datetime.now(UTC))
    trust_metadata.add_signature(fresh, authority.online)
    authority.repository.write("timestamp.json", trust_metadata.to_bytes(fresh))


def test_bundle_of_another_authority_is_an_unknown_root(authority: Authority, state: Path, tmp_path: Path) -> None:
    authority.taken(state)
    other = Authority(tmp_path / "other", name="other").begin()
    assert fault(lambda: authority.taken(state, other.repository.published)) is TrustFault.UNKNOWN_ROOT


def test_root_that_was_told_finds_itself_and_no_other(authority: Authority) -> None:
    place = folder_place(authority.repository.published)
    root = authority.first_root()
    spaced = fingerprint_of(root).upper()
    assert find_root(place, f" {spaced[:32]} {spaced[32:]} ") == root
    assert fault(lambda: find_root(place, "00" * 32)) is TrustFault.UNKNOWN_ROOT


@pytest.mark.parametrize("signers", [0, 1])
@pytest.mark.parametrize("name", ["1.targets.json", "1.root.json"])
def test_too_few_signatures_are_named(
    authority: Authority, state: Path, tmp_path: Path, name: str, signers: int
) -> None:
    folder = authority.export(tmp_path / "stick")
    file = folder / name
    metadata = json.loads(file.read_bytes())
    metadata["signatures"] = metadata["signatures"][:signers]
    file.write_text(json.dumps(metadata))
    place = folder_place(folder)
    root = (folder / "1.root.json").read_bytes()
    assert fault(lambda: take_trust(state, place, authority.now, "test", root)) is TrustFault.THRESHOLD
    assert not has_trust(state)


def test_next_root_signed_by_its_own_keys_alone_is_refused(authority: Authority, state: Path, tmp_path: Path) -> None:
    authority.taken(state)
    thief = Authority(tmp_path / "thief", name="thief").begin()
    thief.renew(*thief.holders, offline=[*thief.holders[:2], key("thief more")])
    folder = authority.export(tmp_path / "stick")
    shutil.copyfile(thief.repository.published / "2.root.json", folder / "2.root.json")
    assert fault(lambda: authority.taken(state, folder)) is TrustFault.THRESHOLD


@pytest.mark.parametrize("part", ["snapshot", "targets", "registry", "anchors.json", "registry.json"])
def test_file_of_another_export_is_a_mixture(authority: Authority, state: Path, tmp_path: Path, part: str) -> None:
    old = authority.export(tmp_path / "old")
    authority.plants.append("P-0002")
    authority.log = type(authority.log)(authority.log.name, 1, key("other log").public.raw)
    authority.renew()
    new = authority.export(tmp_path / "new")
    pattern = f"targets/*.{part}" if "." in part else f"*.{part}.json"
    (theirs,), (ours,) = old.glob(pattern), new.glob(pattern)
    shutil.copyfile(theirs, ours)
    assert fault(lambda: authority.taken(state, new)) is TrustFault.MIXED
    assert not has_trust(state)


@pytest.mark.parametrize("cut", [0, 1, -1])
def test_every_file_that_is_damaged_or_missing_is_refused_and_nothing_changes(
    authority: Authority, state: Path, tmp_path: Path, cut: int
) -> None:
    held = authority.taken(state)
    authority.plants.append("P-0002")
    authority.renew()
    good = authority.export(tmp_path / "good")
    # A root that is held and the anchors that did not change are not read again.
    names = [
        name.relative_to(good)
        for name in sorted(good.rglob("*.json"))
        if "anchors" not in name.name and name.name != "1.root.json"
    ]
    assert len(names) == 5
    for name in names:
        folder = tmp_path / "bad"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(good, folder)
        data = (folder / name).read_bytes()
        if cut == 0:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(data[: len(data) // 2] if cut == 1 else data.replace(b"P-0002", b"P-0003")[:-3])
        assert fault(lambda folder=folder: authority.taken(state, folder)) in (  # type: ignore[misc]
            TrustFault.MISSING,
            TrustFault.MIXED,
            TrustFault.MALFORMED,
        ), name
        assert read_trust(state) == held


def test_every_damaged_byte_of_what_is_held_is_noticed(authority: Authority, state: Path) -> None:
    authority.taken(state)
    files = [file for file in state.rglob("*.json") if not file.is_symlink() and file.name != "imported.json"]
    assert len(files) == 7
    tried = taken = 0
    for file in files:
        data = file.read_bytes()
        for position in range(0, len(data), max(1, len(data) // 25)):
            file.write_bytes(data[:position] + bytes([data[position] ^ 0x05]) + data[position + 1 :])
            # What is taken all the same (a character of a name that says nothing) still says the same.
            with contextlib.suppress(TrustRefusedError):
                assert without_times(read_trust(state).trust) == without_times(authority.trust()), (file, position)
                taken += 1
            tried += 1
        file.write_bytes(data)
    assert taken < tried / 10


def test_crash_between_the_two_renames_loses_nothing(authority: Authority, state: Path) -> None:
    held = authority.taken(state)
    state.rename(state.with_name(f"{state.name}.old"))
    assert has_trust(state)
    assert read_trust(state) == held


def test_place_that_cannot_be_read_is_unreachable(authority: Authority, state: Path) -> None:
    def broken(name: str) -> bytes:
        if name.endswith("timestamp.json"):
            raise OSError(5, "Input/output error")
        return folder_place(authority.repository.published)(name)

    root = authority.first_root()
    with pytest.raises(TrustRefusedError) as caught:
        take_trust(state, broken, authority.now, "test", root)
    assert caught.value.fault is TrustFault.UNREACHABLE
    assert caught.value.exit_code == 2


def test_folder_is_not_left_by_a_name(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "secret").write_text("x")
    for name in ("../secret", str(tmp_path / "secret")):
        with pytest.raises(FileNotFoundError):
            folder_place(tmp_path / "inside")(name)


def test_export_never_writes_over_other_files(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(CenterError):
        authority.export(tmp_path)
    stick = authority.export(tmp_path / "stick")
    authority.plants.append("P-0002")
    authority.refresh()
    names = {file.name for file in authority.export(stick).rglob("*.json")}
    assert len(names) == 7
    assert trust_ceremony.ROOT_FILE not in names
