"""A month verified fully with every raw reading in the bundle: time and peak memory, beside bare hashing of its bytes.

The bundle is made first (`big_month.py`) and verified by a process of its own, so that the peak is the verifier's. The
default is two days; `--readings 2592000` is a month of a reading a second: 720 segments, 2.6 million readings.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from measure import own_peak_mib

from evidence.bundle import read_bundle
from evidence.encoding import strict_json
from evidence.merkle import node_hash
from evidence.trust import Trust
from evidence.verify import verify_bundle

TARGET_MIB = 300
CHUNK = 1 << 18


def verify(path: Path, trust_path: Path) -> dict[str, Any]:
    """Verify as `cunzheng verify` does; the readings count as checked only if the verdict says so."""
    from big_month import NOW

    before = own_peak_mib()
    wall, cpu = time.perf_counter(), time.process_time()
    with path.open("rb") as source:
        report = verify_bundle(read_bundle(source), Trust.from_json(strict_json(trust_path.read_bytes())), NOW)
    took = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    checks = {check.name: (check.passed, check.failed) for check in report.checks}
    return {**took, "before_mib": before, "peak_mib": own_peak_mib(), "verdict": report.verdict.value, "checks": checks}


def unpack_and_hash(path: Path) -> dict[str, Any]:
    """Unpack every file and hash it once: the least that any reader of the bundle does."""
    wall, cpu, size = time.perf_counter(), time.process_time(), 0
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            digest = hashlib.sha256()
            with archive.open(info) as file:
                while piece := file.read(CHUNK):
                    digest.update(piece)
                    size += len(piece)
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu, "bytes": size}


def bare_tree(readings: int) -> dict[str, Any]:
    """Hash as many leaves of a line's length and as many nodes: the least that a check of the tree does."""
    line, node = bytes(101), bytes(32)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(readings):
        hashlib.sha256(line).digest()
        node_hash(node, node)
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


def alone(work: str, *arguments: str) -> dict[str, Any]:
    """Run one piece of work in a process of its own."""
    command = [sys.executable, __file__, "--work", work, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readings", type=int, default=2 * 86_400)
    parser.add_argument("--work", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.work:
        work, *arguments = chosen.work
        done = {"verify": verify, "hash": unpack_and_hash, "tree": bare_tree}[work]
        print(json.dumps(done(*(int(one) if one.isdigit() else Path(one) for one in arguments))))
        return
    from big_month import write_month

    with tempfile.TemporaryDirectory() as folder:
        path, trust = Path(folder) / "month.evb", Path(folder) / "trust.json"
        began = time.perf_counter()
        segments, tiles = write_month(path, trust, chosen.readings)
        print(f"\nA month of {segments} segments and {chosen.readings:,} readings in {tiles} raw tiles")
        print(
            f"  bundle of {path.stat().st_size / 1e6:.1f} MB, made in {time.perf_counter() - began:.0f} s", flush=True
        )
        ours = alone("verify", str(path), str(trust))
        bare, tree = alone("hash", str(path)), alone("tree", str(chosen.readings))
    if (ours["verdict"], ours["checks"]["reading"], ours["checks"]["recount"]) != (
        "VALID", [chosen.readings, 0], [segments, 0],
    ):  # fmt: skip
        raise SystemExit(f"not verified: {ours}")
    each = ours["cpu_s"] / chosen.readings * 1e6
    print(f"  verified fully   {ours['wall_s']:7.1f} s   {ours['cpu_s']:7.1f} s CPU, {each:.1f} µs a reading")
    print(f"  unpacked, hashed {bare['wall_s']:7.1f} s   {bare['cpu_s']:7.1f} s CPU, {bare['bytes'] / 1e6:.0f} MB")
    print(f"  tree hashes      {tree['wall_s']:7.1f} s   {tree['cpu_s']:7.1f} s CPU")
    least = bare["cpu_s"] + tree["cpu_s"]
    print(f"  {ours['cpu_s'] / least:.1f} times bare hashing by processor time")
    print(
        f"  peak memory {ours['peak_mib']:.0f} MiB, {ours['before_mib']:.0f} before (target: {TARGET_MIB})", flush=True
    )


if __name__ == "__main__":
    main()
