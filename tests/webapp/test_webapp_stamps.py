"""The centre has its checkpoints stamped by a real authority on a socket, and shows the stamps in its bundles."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from stamp_authority import Authority, answering
from views_world import PERIOD, PLANT, Person, copy_center, fill

from cunzheng.cli import cunzheng
from evidence.bundle import read_bundle
from evidence.verify import verify_bundle
from sync import PushItem
from webapp import drafts, export, stamping, store_log, store_stamps
from webapp.center import Center
from webapp.errors import CenterError
from webapp.settings import TsaSettings
from webapp.submission import submit


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tsa"))


@pytest.fixture
def center(tmp_path: Path, authority: Authority) -> Iterator[Center]:
    made = copy_center(tmp_path)
    with answering(authority) as url:
        tsa = TsaSettings(url=url, ca_file=authority.folder / "ca.pem", timeout_s=20)
        yield replace(made, settings=made.settings.model_copy(update={"tsa": tsa}))
    made.database.close()


def test_newest_checkpoint_is_stamped_once(center: Center, authority: Authority) -> None:
    assert stamping.stamp_newest(center) is None
    fill(center, hours=2)
    before = authority.asked
    first = stamping.stamp_newest(center)
    assert first is not None
    assert first.is_new
    again = stamping.stamp_newest(center)
    assert again == replace(first, is_new=False)
    assert authority.asked == before + 1
    with center.database.reading() as session:
        row = store_log.last_checkpoint(session)
        assert row is not None
        assert row.size == first.size


@pytest.mark.parametrize(("dial", "exit_code"), [({"garbled": True}, 1), ({"down": True}, 2), ({"purpose": "x"}, 1)])
def test_stamp_that_does_not_hold_or_does_not_come_is_not_kept(
    center: Center, authority: Authority, tmp_path: Path, dial: dict[str, object], exit_code: int
) -> None:
    fill(center, hours=1)
    settings = center.settings.tsa
    if "purpose" in dial:
        other = Authority(tmp_path / "other")
        center = with_tsa(center, settings.model_copy(update={"ca_file": other.folder / "ca.pem"}))
    else:
        for name, value in dial.items():
            setattr(authority, name, value)
    try:
        with pytest.raises(CenterError) as caught:
            stamping.stamp_newest(center)
    finally:
        authority.garbled = authority.down = False
    assert caught.value.exit_code == exit_code
    assert not [one for one in bundle_stamps(center) if one]


def with_tsa(center: Center, tsa: TsaSettings) -> Center:
    return replace(center, settings=center.settings.model_copy(update={"tsa": tsa}))


def bundle_stamps(center: Center) -> list[bytes]:
    with center.database.reading() as session:
        return [stamp.data for stamp in store_stamps.first_over(session, range(store_log.size_of(session)))]


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_authority_without_a_certificate_is_misuse(center: Center, tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    for tsa in (TsaSettings(url="http://127.0.0.1:1/", ca_file=file), TsaSettings(url=""), TsaSettings()):
        with pytest.raises(CenterError) as caught:
            stamping.stamp_newest(with_tsa(center, tsa))
        assert caught.value.exit_code == 3


def test_bundle_carries_the_stamp_and_the_verifier_relies_on_it(center: Center, authority: Authority) -> None:
    gateway = fill(center, hours=2)
    draft = drafts.compose(center, PLANT, PERIOD)
    said = {"kind": "declare", "plant": PLANT, "period": PERIOD, "rev": 1, "subjects": draft.subjects}
    sids: list[str | None] = [None]
    for name, role in (("li.na", "technician"), ("wang.jun", "responsible")):
        person = Person(center, name)
        assert person.enrol() is None
        sids.append(submit(center, [PushItem(person.sign(**said, role=role, after=sids[-1]))])[0].sid)
    gateway.sign_month((str(sids[1]), str(sids[2])), draft.subjects, draft.cover)
    stamping.stamp_newest(center)
    data = export.month_bundle(center, PLANT, PERIOD)
    assert data is not None
    bundle = read_bundle(io.BytesIO(data))
    assert list(bundle.stamps) == list(bundle.checkpoints)
    (size,) = bundle.stamps
    note = bundle.checkpoints[size].decode()
    assert authority.confirms(bundle.stamps[size], note[: note.rindex("\n\n") + 1])
    trust = export.trust(center)
    assert trust.tsa == (authority.certificate,)
    report = verify_bundle(bundle, trust, center.now())
    assert next(check for check in report.checks if check.name == "stamp").passed == 1
    assert not any(finding.code == "TSA_FAIL" for finding in report.findings)


def run(config: Path, *words: str) -> Result:
    return CliRunner().invoke(cunzheng, ["center", *words, "-c", str(config)])


def test_command_says_what_was_stamped(center: Center, tmp_path: Path) -> None:
    fill(center, hours=1)
    config = tmp_path / "center.toml"
    tsa = center.settings.tsa
    config.write_text(
        f'data_dir = "data"\n[log]\norigin = "{center.log.origin}"\n'
        f'[tsa]\nurl = "{tsa.url}"\nca_file = "{tsa.ca_file}"\n'
    )
    facts = json.loads(run(config, "stamp", "--json").stdout)
    assert facts["new"] is True
    assert str(facts["size"]) in run(config, "stamp").stdout
