"""Receipts come with the cosignatures that the policy wants, or later; a log that was set back signs nothing."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from device_double import Device, bare_center
from local_witness import ORIGIN, LocalWitness, Watched, watched_center

from evidence.encoding import b64
from evidence.note import parse_checkpoint, verify_checkpoint
from evidence.policy import Policy
from evidence.receipt import Receipt, verify_receipt
from evidence.trust import Trust
from sync import ItemResult, PushItem, Status
from webapp import create_app, enrolment, export, log_restored, policy_file, restored_mark, store_log
from webapp.center import Center
from webapp.errors import CenterError, LogRefusedError, ReceiptAwaitedError
from webapp.submission import submit
from witness.judging import Answer

TWO_OF_THREE = "group all 2 city province nation\nquorum all"


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with watched_center(tmp_path, "city province nation", TWO_OF_THREE) as made:
        yield made


@pytest.fixture
def device(watched: Watched) -> Device:
    device = Device()
    device.enrol(watched.center)
    return device


def stop(watched: Watched, *names: str) -> list[LocalWitness]:
    chosen = [witness for witness in watched.witnesses if witness.name in names]
    for witness in chosen:
        witness.stop()
    return chosen


def statuses(results: list[ItemResult]) -> list[Status]:
    return [result.status for result in results]


def log_size(center: Center) -> int:
    with center.database.reading() as session:
        return store_log.size_of(session)


def test_receipt_satisfies_the_policy_of_the_trust_file(watched: Watched, device: Device) -> None:
    item = device.event()
    (result,) = submit(watched.center, [item])
    trust = Trust.from_json(export.trust(watched.center).to_json())
    assert trust.policy.quorum == "all"
    checkpoint = verify_receipt(Receipt.from_text(result.receipt or ""), item.jws, trust.log, trust.policy)
    published = watched.center.log.published()
    assert published is not None
    assert published.note == checkpoint.note
    assert [witness.latest_size() for witness in watched.witnesses] == [checkpoint.size] * 3
    assert submit(watched.center, [item])[0].receipt == result.receipt


def test_quorum_is_enough_when_a_witness_is_away(watched: Watched, device: Device) -> None:
    stop(watched, "nation")
    (result,) = submit(watched.center, [device.event()])
    note = Receipt.from_text(result.receipt or "").checkpoint
    assert verify_checkpoint(note, watched.center.log.vkey, watched.center.policy).size == log_size(watched.center)
    assert "witness.example/nation" not in note


def test_without_quorum_a_statement_is_logged_and_its_receipt_comes_later(watched: Watched, device: Device) -> None:
    before = watched.center.log.published()
    away = stop(watched, "nation", "city")
    items = [device.event(), device.event()]
    results = submit(watched.center, items)
    assert statuses(results) == [Status.WAITING] * 2
    assert {result.receipt for result in results} == {None}
    size = log_size(watched.center)
    assert statuses(submit(watched.center, items)) == [Status.WAITING] * 2
    assert log_size(watched.center) == size
    assert watched.center.log.published() == before
    for witness in away:
        witness.start()
    time.sleep(0.1)  # the pause before witnesses are asked again
    results = submit(watched.center, items)
    assert statuses(results) == [Status.LOGGED] * 2
    assert log_size(watched.center) == size
    for item, result in zip(items, results, strict=True):
        verify_receipt(
            Receipt.from_text(result.receipt or ""), item.jws, watched.center.log.vkey, watched.center.policy
        )


def test_centre_asks_again_by_itself(watched: Watched, device: Device) -> None:
    away = stop(watched, "nation", "city")
    item = device.event()
    submit(watched.center, [item])
    for witness in away:
        witness.start()
    time.sleep(0.1)
    assert watched.center.log.cosigning is not None
    watched.center.log.cosigning.ask_again()
    published = watched.center.log.published()
    assert published is not None
    assert published.size == log_size(watched.center)


def test_what_waits_has_no_receipt_and_is_not_published(watched: Watched, device: Device) -> None:
    stop(watched, "nation", "city")
    submit(watched.center, [device.event()])
    size = log_size(watched.center)
    with watched.center.database.reading() as session:
        assert watched.center.log.shown_size(session) == size - 1
        assert watched.center.log.receipt(session, size - 1) is None
        fresh = watched.center.log.fresh_receipts(session, range(size))
    assert [receipt is None for receipt in fresh] == [False] * (size - 1) + [True]
    client = create_app(watched.center.settings, center=watched.center).test_client()
    note = client.get("/log/checkpoint").text
    assert verify_checkpoint(note, watched.center.log.vkey, watched.center.policy).size == size - 1


def test_enrolment_without_quorum_is_taken_and_answered_later(watched: Watched) -> None:
    away = stop(watched, "nation", "city")
    device, center = Device(), watched.center
    code = enrolment.invite_gateway(center, device.plant, device.gw)
    statement = device.enrolment(center, enrolment.start(center, code).nonce)
    with pytest.raises(ReceiptAwaitedError, match="ask again with the same code"):
        enrolment.finish(center, code, statement)
    size = log_size(center)
    client = create_app(center.settings, center=center).test_client()
    answer = client.post("/api/v1/enrol/finish", json={"code": code, "statement": statement})
    assert (answer.status_code, answer.json["code"]) == (503, "RECEIPT_AWAITED")
    for witness in away:
        witness.start()
    time.sleep(0.1)
    done = enrolment.finish(center, code, statement)
    assert len(done.receipts) == 2
    assert log_size(center) == size


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, "— witness.example/city " + b64(bytes(76)) + "\n"),
        Answer(200, "thanks\n"),
        Answer(200, ""),
        Answer(200, "\n\n" * 40_000),
        Answer(403, "no\n"),
        Answer(404, "no\n"),
        Answer(409, "many\n"),
        Answer(409, "0\n"),
        Answer(500, "oh\n"),
    ],
    ids=lambda answer: f"{answer.status} {answer.body[:9]!r}",
)
def test_witness_that_answers_nonsense_counts_as_silent(watched: Watched, device: Device, answer: Answer) -> None:
    for witness in watched.witnesses[:2]:
        assert witness.witness is not None
        witness.witness.instead = answer
    item = device.event()
    assert statuses(submit(watched.center, [item])) == [Status.WAITING]
    for witness in watched.witnesses[:2]:
        assert witness.witness is not None
        witness.witness.instead = None
    time.sleep(0.1)
    assert statuses(submit(watched.center, [item])) == [Status.LOGGED]


def test_slow_witness_does_not_hold_up_the_others(watched: Watched, device: Device) -> None:
    assert watched.witnesses[0].witness is not None
    watched.witnesses[0].witness.delay_s = 60
    (result,) = submit(watched.center, [device.event()])
    assert "witness.example/city" not in (result.receipt or "witness.example/city")


def test_many_at_once_all_get_receipts_of_one_log(watched: Watched, device: Device) -> None:
    devices = [Device(gw=f"GW-{n}", key=type(device.key).from_seed(bytes([n]) * 32)) for n in range(1, 5)]
    for one in devices:
        one.enrol(watched.center)

    def press(one: Device) -> list[tuple[PushItem, ItemResult]]:
        items = [one.event() for _ in range(6)]
        return [(item, submit(watched.center, [item])[0]) for item in items]

    with ThreadPoolExecutor(4) as pool:
        answered = [pair for pairs in pool.map(press, devices) for pair in pairs]
    for item, result in answered:
        assert result.receipt is not None, result
        verify_receipt(Receipt.from_text(result.receipt), item.jws, watched.center.log.vkey, watched.center.policy)


def test_kill_before_the_witnesses_were_asked_is_made_good(
    watched: Watched, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = device.event()

    def killed(self: object, size: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(watched.center.log), "settle", killed)
        with pytest.raises(KeyboardInterrupt):
            submit(watched.center, [item])
    again = watched.reopened()
    size = log_size(again)
    published = again.log.published()
    assert published is not None
    assert published.size == size - 1
    assert statuses(submit(again, [item])) == [Status.LOGGED]
    assert log_size(again) == size


# --- set back, rewritten, restored -----------------------------------------------------------------


def set_back(watched: Watched, device: Device, folder: Path) -> Center:
    """Copy everything the centre has, let it go on, and put the copy back."""
    watched.center.database.close()
    shutil.copytree(watched.center.settings.data_dir, folder)
    assert statuses(submit(watched.center, [device.event()])) == [Status.LOGGED]
    watched.center.database.close()
    shutil.rmtree(watched.center.settings.data_dir)
    shutil.copytree(folder, watched.center.settings.data_dir)
    return Center.open(watched.center.settings)


def set_back_unseen(watched: Watched, device: Device, folder: Path) -> Center:
    """Set everything back, the device, too, while no witness answers."""
    seq, prev = device.seq, device.prev
    again = set_back(watched, device, folder)
    for witness in watched.witnesses:
        witness.stop()
    device.seq, device.prev = seq, prev
    return again


def test_centre_set_back_with_its_whole_folder_signs_nothing(watched: Watched, device: Device, tmp_path: Path) -> None:
    submit(watched.center, [device.event()])
    seq, prev = device.seq, device.prev
    again = set_back(watched, device, tmp_path / "copy")
    size = log_size(again)
    device.seq, device.prev = seq, prev
    with pytest.raises(LogRefusedError, match=rf"has seen a checkpoint of {size + 1} entries, this centre has only"):
        submit(again, [device.event(data={"note": "another history"})])
    assert log_size(again) == size
    with pytest.raises(LogRefusedError):
        submit(again, [device.event()])


def test_centre_set_back_is_stopped_by_one_witness_of_many(watched: Watched, device: Device, tmp_path: Path) -> None:
    submit(watched.center, [device.event()])
    again = set_back(watched, device, tmp_path / "copy")
    stop(watched, "nation", "city")
    with pytest.raises(LogRefusedError, match="witness province has seen"):
        submit(again, [device.event()])


def test_history_rewritten_while_nobody_looked_is_refused_by_the_witnesses(
    watched: Watched, device: Device, tmp_path: Path
) -> None:
    submit(watched.center, [device.event()])
    again = set_back_unseen(watched, device, tmp_path / "copy")
    # With every witness away it cannot know, and nothing that it signs now is shown to anybody.
    items = [device.event(data={"note": f"another history {number}"}) for number in range(2)]
    assert statuses(submit(again, items)) == [Status.WAITING] * 2
    for witness in watched.witnesses:
        witness.start()
    time.sleep(0.1)
    assert statuses(submit(again, items)) == [Status.WAITING] * 2
    with pytest.raises(LogRefusedError, match="another history"):
        submit(again, [device.event()])


def test_same_size_with_another_root_is_kept_by_the_witness(watched: Watched, device: Device, tmp_path: Path) -> None:
    submit(watched.center, [device.event()])
    again = set_back_unseen(watched, device, tmp_path / "copy")
    submit(again, [device.event(data={"note": "another history"})])
    watched.witnesses[0].start()
    time.sleep(0.1)
    assert again.log.cosigning is not None
    again.log.cosigning.ask_again()
    with pytest.raises(LogRefusedError, match="witness city knows another history"):
        submit(again, [device.event()])
    assert list(watched.witnesses[0].evidence)


def restored(watched: Watched) -> Center:
    watched.center.database.close()
    with watched.center.database.reading() as session:
        size = store_log.size_of(session)
    restored_mark.mark(watched.center.log.folder, size=size)
    return Center.open(watched.center.settings, is_confirmed=False)


def test_restored_centre_is_confirmed_by_its_witnesses(watched: Watched, device: Device) -> None:
    submit(watched.center, [device.event()])
    again = restored(watched)
    with pytest.raises(LogRefusedError, match="signs nothing until"):
        submit(again, [device.event()])
    assert log_restored.confirm_by_witnesses(again) == log_size(again)
    assert not restored_mark.is_restored(again.log.folder)


@pytest.mark.parametrize(
    ("away", "is_confirmed"), [("", True), ("city", True), ("city nation", False), ("city nation province", False)]
)
def test_witnesses_confirm_a_restore_only_when_the_others_cannot_be_a_quorum(
    watched: Watched, device: Device, away: str, is_confirmed: bool
) -> None:
    submit(watched.center, [device.event()])
    again = restored(watched)
    stop(watched, *away.split())
    assert (log_restored.confirm_by_witnesses(again) is not None) == is_confirmed
    assert restored_mark.is_restored(again.log.folder) != is_confirmed


def test_restored_old_backup_is_refused_with_the_newest_size(watched: Watched, device: Device, tmp_path: Path) -> None:
    submit(watched.center, [device.event()])
    again = set_back(watched, device, tmp_path / "copy")
    restored_mark.mark(again.log.folder, size=log_size(again))
    with pytest.raises(LogRefusedError, match=f"has seen a checkpoint of {log_size(again) + 1} entries"):
        log_restored.confirm_by_witnesses(again)
    assert restored_mark.is_restored(again.log.folder)


def test_folder_lost_beside_a_database_that_waits_for_cosignatures_is_noticed(watched: Watched, device: Device) -> None:
    submit(watched.center, [device.event()])
    watched.center.database.close()
    for file in (watched.center.log.checkpoint_file, watched.center.log.signed_file):
        file.unlink()
    with pytest.raises(LogRefusedError, match="was restored"):
        Center.open(watched.center.settings)


def test_database_behind_what_was_signed_for_cosigning_is_refused(
    watched: Watched, device: Device, tmp_path: Path
) -> None:
    stop(watched, "nation", "city", "province")
    watched.center.database.close()
    database = watched.center.settings.data_dir / "center.sqlite"
    shutil.copy(database, tmp_path / "old.sqlite")
    submit(watched.center, [device.event()])
    watched.center.database.close()
    for file in database.parent.glob("center.sqlite*"):
        file.unlink()
    shutil.copy(tmp_path / "old.sqlite", database)
    with pytest.raises(LogRefusedError, match="older than what was published"):
        Center.open(watched.center.settings)


# --- policies --------------------------------------------------------------------------------------


def test_policy_none_asks_nobody_for_receipts_and_shows_cosignatures_when_they_come(tmp_path: Path) -> None:
    with watched_center(tmp_path, "city", "quorum none") as watched:
        device = Device()
        device.enrol(watched.center)
        watched.witnesses[0].stop()
        (result,) = submit(watched.center, [device.event()])
        assert result.status is Status.LOGGED
        watched.witnesses[0].start()
        time.sleep(0.1)
        assert watched.center.log.cosigning is not None
        watched.center.log.cosigning.ask_again()
        published = watched.center.log.published()
        assert published is not None
        demanding = Policy.of_number([watched.witnesses[0].note_key], 1)
        assert verify_checkpoint(published.note, watched.center.log.vkey, demanding).size == log_size(watched.center)
        assert submit(watched.center, []) == []


def test_stricter_policy_gives_fresher_receipts(tmp_path: Path) -> None:
    with watched_center(tmp_path, "city province", "quorum city") as watched:
        device = Device()
        device.enrol(watched.center)
        item = device.event()
        (before,) = submit(watched.center, [item])
        policy = tmp_path / "policy.txt"
        policy.write_text(policy.read_text().replace("quorum city", "group g all city province\nquorum g"))
        again = watched.reopened()
        (after,) = submit(again, [item])
        assert after.status is Status.LOGGED
        assert again.policy.quorum == "g"
        checkpoint = verify_receipt(Receipt.from_text(after.receipt or ""), item.jws, again.log.vkey, again.policy)
        assert checkpoint.size == parse_checkpoint(Receipt.from_text(before.receipt or "").checkpoint).size


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("quorum nobody\n", "nobody is not defined"),
        ("log example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k\nquorum none\n", "other logs"),
        ("witness w witness.example/city+4462af8b+BOwXK5OtXlY79JMscOEkUDTDVGfvLv1NZOv4GWg0Z+K/\nquorum w\n", "address"),
        (None, "No such file"),
    ],
)
def test_policy_that_cannot_be_used_is_told(tmp_path: Path, text: str | None, said: str) -> None:
    center = bare_center(tmp_path)
    settings = center.settings.model_copy(
        update={"log": center.settings.log.model_copy(update={"policy": tmp_path / "policy.txt"})}
    )
    if text is not None:
        (tmp_path / "policy.txt").write_text(text)
    with pytest.raises(CenterError, match=said) as caught:
        policy_file.load(settings, center.log.vkey)
    assert caught.value.exit_code == 3
    assert center.log.origin == ORIGIN
