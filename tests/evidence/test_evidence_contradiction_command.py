"""`cunzheng verify` on proofs of cheating, and on bundles of two people to whom the log told different things."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from evidence_world import ORIGIN, World, indexed, seed

from cunzheng.cli import cunzheng
from evidence.bundle import write_bundle
from evidence.contradiction import Fork, prove
from evidence.encoding import jcs
from evidence.errors import Code
from evidence.keys import SigningKey
from evidence.merkle import inclusion_proof, leaf_hash, root
from evidence.note import sign_checkpoint
from evidence.receipt import Receipt


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cunzheng, ["verify", *map(str, arguments)])


@pytest.fixture
def fork(approved: World, tmp_path: Path) -> Path:
    first = approved.device("event", type="maintenance", data={"note": "a"})
    approved.seq, approved.prev = approved.seq - 1, first.payload["prev"]
    second = approved.device("event", type="maintenance", data={"note": "b"})
    file = tmp_path / "FORK.json"
    file.write_bytes(Fork((first.jws, second.jws), (approved.keys["gateway"].jwk,)).to_bytes())
    return file


def trust_of(world: World, folder: Path) -> Path:
    file = folder / "trust-of-the-centre.json"
    file.write_bytes(jcs(world.trust(expires=datetime(2199, 1, 1, tzinfo=UTC)).to_json()))
    return file


def test_fork_is_proven_without_anything_else(fork: Path) -> None:
    done = run(fork)
    assert done.exit_code == 0, done.output
    assert done.output.startswith("PROVEN  FORK: Two different statements bear one number.")
    assert "nobody can say whose it is" in done.output


def test_trust_file_says_who_it_was(approved: World, fork: Path, tmp_path: Path) -> None:
    done = run(fork, "--trust", trust_of(approved, tmp_path), "--json")
    facts = json.loads(done.output)
    assert (done.exit_code, facts["proven"], facts["known"], facts["gw"]) == (0, True, True, "GW-1")


def test_key_that_the_trust_file_does_not_know_cannot_be_judged(approved: World, fork: Path, tmp_path: Path) -> None:
    approved.entries[:] = [entry for entry in approved.entries if entry.owner_id != "GW-1"]
    done = run(fork, "--trust", trust_of(approved, tmp_path))
    assert done.exit_code == 2
    assert "NOT PROVEN" in done.output


@pytest.mark.parametrize("data", [b"{}", b'{"v":1}', b"{" + b"\xff" * 10])
def test_other_files_prove_nothing(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "thing.json"
    file.write_bytes(data)
    done = run(file, "--json")
    assert (done.exit_code, json.loads(done.output)["proven"]) == (1, False)


def test_chinese_reader_gets_chinese(fork: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUNZHENG_LANG", "zh")
    assert run(fork).output.startswith("成立  FORK: 同一序号有两份不同的声明")


def packed(world: World, folder: Path, name: str) -> Path:
    file = folder / name
    file.write_bytes(write_bundle(world.pack()))
    return file


def told_otherwise(world: World, folder: Path, name: str) -> Path:
    """The bundle of a client to whom the log showed another first entry."""
    hashes = [leaf_hash(jws.encode()) for jws in world.log]
    hashes[0] = leaf_hash(b"another first entry")
    note = sign_checkpoint(ORIGIN, len(hashes), root(hashes), SigningKey.from_seed(seed("log")))
    bundle = world.pack()
    proofs = {
        sid: Receipt(index, tuple(inclusion_proof(hashes, index)), note).to_text().encode()
        for sid, data in bundle.proofs.items()
        if (index := Receipt.from_text(data.decode()).index)
    }
    file = folder / name
    first = next(sid for sid in bundle.proofs if sid not in proofs)
    statements = {sid: data for sid, data in bundle.statements.items() if sid != first}
    file.write_bytes(write_bundle(indexed(replace(bundle, statements=statements, proofs=proofs))))
    return file


def test_split_view_between_two_clients_is_proven_by_their_bundles(approved: World, tmp_path: Path) -> None:
    trust = trust_of(approved, tmp_path)
    mine, theirs = packed(approved, tmp_path, "mine.evb"), told_otherwise(approved, tmp_path, "theirs.evb")
    alone = run(mine, "--trust", trust, "--json")
    assert json.loads(alone.output)["verdict"] == "VALID"
    done = run(mine, "--trust", trust, "--against", theirs, "--evidence", tmp_path / "proofs", "--json")
    facts = json.loads(done.output)
    assert (done.exit_code, facts["verdict"]) == (1, "INVALID")
    assert [finding["code"] for finding in facts["findings"]] == ["LOG_EQUIVOCATION"]
    (file,) = (tmp_path / "proofs").iterdir()
    assert prove(file.read_bytes(), approved.trust()).code is Code.LOG_EQUIVOCATION
    assert run(file).exit_code == 0


def test_bundles_of_an_honest_log_do_not_contradict_each_other(approved: World, tmp_path: Path) -> None:
    trust = trust_of(approved, tmp_path)
    mine = packed(approved, tmp_path, "mine.evb")
    approved.device("event", type="maintenance", data={"note": "later"})
    later = packed(approved, tmp_path, "later.evb")
    done = run(mine, "--trust", trust, "--against", later, "--evidence", tmp_path / "proofs")
    assert done.exit_code == 0, done.output
    assert not (tmp_path / "proofs").exists()


def test_fork_between_two_bundles_is_proven(approved: World, tmp_path: Path) -> None:
    trust = trust_of(approved, tmp_path)
    mine = packed(approved, tmp_path, "mine.evb")
    twin = copy.deepcopy(approved)
    for world, note in ((approved, "a"), (twin, "b")):
        world.device("event", type="maintenance", data={"note": note})
    mine, theirs = packed(approved, tmp_path, "mine.evb"), packed(twin, tmp_path, "theirs.evb")
    done = run(mine, "--trust", trust, "--against", theirs, "--evidence", tmp_path / "proofs", "--json")
    codes = {finding["code"] for finding in json.loads(done.output)["findings"]}
    assert codes == {"FORK", "LOG_EQUIVOCATION"}
    assert len(list((tmp_path / "proofs").iterdir())) == 2


def test_other_bundle_that_is_none_is_told(approved: World, tmp_path: Path) -> None:
    trust, mine = trust_of(approved, tmp_path), packed(approved, tmp_path, "mine.evb")
    (tmp_path / "broken.evb").write_bytes(b"PK nonsense")
    done = run(mine, "--trust", trust, "--against", tmp_path / "broken.evb", "--json")
    assert [finding["code"] for finding in json.loads(done.output)["findings"]] == ["BUNDLE_FORMAT"]
    assert run(mine, "--trust", trust, "--against", tmp_path / "none.evb").exit_code == 3
