"""Kills, frozen peers and peers that are gone, under load: what is lost or twice, and how soon data flows afterwards.

The gateway is the real program with 1,000 channels read once a second and 50 MQTT messages a second, its centre is the
real centre. It is killed with SIGKILL at random moments; then broker, meters and centre are stopped in turn, by SIGSTOP
and for good, and come back. Beside it stands what a ThingsBoard gateway reached on the same scenarios. The target's
run is `--kills 100 --outage 60`. Ends with 1 if anything was lost, twice or broken.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import measure  # noqa: F401  (finds the packages)
from outage_audit import COMMIT_S, Harms, Kill, Phase, audit
from outage_world import DEVICES, MESSAGES_PER_S, PATIENCE_S, World, world
from plant import FIFTY

from cunzheng.simulator.broker import mosquitto_path

KILLS = 5
OUTAGE_S = 5.0
TARGET_S = 2.0
THINGSBOARD_S = 15
LONGEST_LIFE_S = 6.0
SETTLE_S = 2.0
STILL_S = 20.0
LOOK_S = 0.01
KILLED = "killed"
NAMES = {
    "mqtt": "first MQTT reading stored",
    "modbus": f"first Modbus reading stored, of {DEVICES} devices",
    "all": "a Modbus reading of every device",
    "live": "first live value at the centre",
    "statement": "first statement's receipt",
}
OF_PEER = {"broker": ("mqtt",), "meters": ("modbus", "all"), "centre": ("live", "statement")}


class Eyes:
    """Sees what is new in the databases of gateway and centre since it last looked away."""

    def __init__(self, of: World) -> None:
        self._gateway = sqlite3.connect(of.gateway_database, timeout=30, isolation_level=None)
        self._centre = sqlite3.connect(of.centre_database, timeout=30, isolation_level=None)
        for one in (self._gateway, self._centre):
            one.execute("PRAGMA query_only = ON")

    def close(self) -> None:
        self._gateway.close()
        self._centre.close()

    def since_now(self) -> Callable[[], set[str]]:
        """Return a question: which of the NAMES have come since now?"""
        seq, receipts = self._at_gateway("SELECT max(seq) FROM reading"), self._receipts()
        live = self._live()
        read: set[str] = set()

        def ask() -> set[str]:
            nonlocal seq
            new = self._gateway.execute(
                "SELECT seq, channel FROM reading WHERE seq > ? AND flag <> 'B' ORDER BY seq", (seq,)
            ).fetchall()
            seq = new[-1][0] if new else seq
            read.update(channel for _, channel in new)
            devices = sum(f"d{number}.v00" in read for number in range(DEVICES))
            there = {
                "mqtt": "GAS.TOTAL" in read,
                "modbus": devices > 0,
                "all": devices == DEVICES,
                "live": self._live() > live,
                "statement": self._receipts() > receipts,
            }
            return {name for name, is_there in there.items() if is_there}

        return ask

    def messages(self) -> int:
        """Count the messages stored."""
        return self._at_gateway("SELECT count(*) FROM reading WHERE channel = 'GAS.TOTAL'")

    def _at_gateway(self, sql: str) -> int:
        return int(self._gateway.execute(sql).fetchone()[0] or 0)

    def _receipts(self) -> int:
        return self._at_gateway("SELECT count(*) FROM receipt")

    def _live(self) -> int:
        return int(self._centre.execute("SELECT max(rowid) FROM live_sample").fetchone()[0] or 0)


@dataclass
class Run:
    """What was done so far, and how long the first data took afterwards."""

    world: World
    eyes: Eyes
    random: random.Random
    kills: list[Kill] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)
    returns: list[tuple[str, dict[str, float]]] = field(default_factory=list)
    restarts: list[dict[str, float]] = field(default_factory=list)
    loads: list[float] = field(default_factory=list)
    """How many processes wanted to run, at each deed."""

    def begin(self) -> None:
        self.world.gateway.start()
        self._await(self.eyes.since_now(), {"modbus"}, PATIENCE_S)
        self.world.publisher.start()
        self._await(self.eyes.since_now(), {"mqtt", "all", "live"}, PATIENCE_S)

    def kill(self, times: int) -> None:
        """Kill the gateway at random moments of its life, from its first on, and start it again at once."""
        gateway, start = self.world.gateway, time.time()
        for _ in range(times):
            until = time.monotonic() + self.random.uniform(0.0, LONGEST_LIFE_S)
            time.sleep(max(0.0, until - time.monotonic()))
            gateway.require()
            self.loads.append(os.getloadavg()[0])
            at = time.time()
            gateway.end(signal.SIGKILL)
            self.kills.append(Kill(at, time.time()))
            ask = self.eyes.since_now()
            gateway.start()
            # A moment may lie before it reads anything; then there is nothing to time.
            if self.random.random() < 0.5:
                self.restarts.append(self._await(ask, {"mqtt", "modbus"}, PATIENCE_S))
        self._await(self.eyes.since_now(), {"mqtt", "all", "live"}, PATIENCE_S)
        self.phases.append(Phase(KILLED, start, time.time()))

    def outage(self, name: str, seconds: float, *, frozen: bool) -> None:
        """Let a peer be away for a while; time what comes when it is back."""
        peer = self.world.peers[name]
        time.sleep(SETTLE_S)
        self.loads.append(os.getloadavg()[0])
        start = time.time()
        self.phases.append(Phase(f"{'frozen' if frozen else 'gone'} {name}", start, start + seconds))
        (peer.freeze if frozen else peer.stop)()
        until = time.monotonic() + seconds
        if name == "centre":
            self.world.mark()
        time.sleep(max(0.0, until - time.monotonic()))
        ask = self.eyes.since_now()
        (peer.go_on if frozen else peer.start)()
        end = time.time()
        self.phases[-1] = Phase(self.phases[-1].name, start, end)
        self.returns.append((self.phases[-1].name, self._await(ask, set(OF_PEER[name]), PATIENCE_S)))
        self.world.gateway.require()

    def end(self) -> Harms:
        """End in order and compare both sides."""
        time.sleep(SETTLE_S)
        self.world.publisher.end()
        acknowledged = self.world.publisher.acknowledged()
        self._take_rest(len(acknowledged))
        ended = time.time()
        code = self.world.gateway.end(signal.SIGTERM)
        self.world.call("gateway", "sync", "-c", "gateway.toml")
        harms = audit(self.world, acknowledged, self.kills, self.phases, ended)
        if code:
            harms.said.append(f"the gateway ended with {code}")
        harms.said += [line for line in self.world.gateway.said() if "Traceback" in line]
        return harms

    def _take_rest(self, messages: int) -> None:
        """Wait until so many messages are stored, or none has come for long: the broker still has some."""
        seen, since = 0, time.monotonic()
        while seen < messages and time.monotonic() - since < STILL_S:
            now = self.eyes.messages()
            if now > seen:
                seen, since = now, time.monotonic()
            time.sleep(LOOK_S)

    def _await(self, ask: Callable[[], set[str]], wanted: set[str], patience_s: float) -> dict[str, float]:
        """Wait for all of these; return after how many seconds each came."""
        began = time.monotonic()
        came: dict[str, float] = {}
        while wanted - came.keys():
            came.update({name: time.monotonic() - began for name in ask() if name not in came})
            if time.monotonic() - began > patience_s:
                raise SystemExit("\n".join([f"nothing came: {wanted - came.keys()}", *self.world.gateway.said()[-8:]]))
            time.sleep(LOOK_S)
        return {name: came[name] for name in NAMES if name in wanted}


def show(run: Run, harms: Harms, seconds: float) -> None:
    polled, load, cores = FIFTY * harms.answers, statistics.median(run.loads or [0.0]), os.cpu_count() or 1
    print(f"\nOutages: {DEVICES * FIFTY:,} values/s polled, {MESSAGES_PER_S} MQTT messages/s at QoS 1")
    print(f"  {polled:,} values were answered, {harms.messages:,} messages acknowledged by the broker")
    if load > 2 * cores:
        print(f"  THE MACHINE WAS BUSY, load {load:.0f} on {cores} cores: times say more of it than of the gateway")
    for name in dict.fromkeys(one.name for one in run.phases):
        what = f"{len(run.kills)} times by SIGKILL" if name == KILLED else f"{seconds:.0f} s"
        print(f"  {name + ', ' + what:<32} lost {harms.lost[name]}, twice {harms.doubled[name]}   (target: 0 / 0)")
    if run.kills:
        ages = [max(one, default=0.0) for one in harms.uncommitted.values()]
        counts = [FIFTY * len(one) for one in harms.uncommitted.values()]
        print(
            f"  polled and not yet committed at a kill: {statistics.median(counts):.0f} values, {max(counts)} at most;"
            f" the oldest {max(ages):.2f} s old   (bound: {COMMIT_S:.0f} s)"
        )
    if run.restarts:
        for name in ("modbus", "mqtt"):
            times = [one[name] for one in run.restarts]
            print(f"  after a restart, {NAMES[name]}: {statistics.median(times):.1f} s, {max(times):.1f} s at most")
    print(f"  data after a peer's return   (target: {TARGET_S:.0f} s; ThingsBoard's gateway: {THINGSBOARD_S} s)")
    for phase, times in run.returns:
        for name, took in times.items():
            print(f"    {phase:<16} {NAMES[name]:<48} {took:>6.2f} s{'' if took <= TARGET_S else '   too late'}")
    print(f"  answers to requests given up meanwhile: {harms.given_up}")
    print("  statements' numbers without a hole, gateway and centre check clean" if not harms.is_any else "  WRONG:")
    print(*(f"    {one}" for one in harms.said[:40]), sep="\n" if harms.said else "", end="\n" if harms.said else "")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--outage", type=float, default=OUTAGE_S, help="seconds for which a peer is away")
    parser.add_argument("--seed", type=int, default=20260301)
    parser.add_argument("--peers", nargs="*", default=list(OF_PEER), choices=list(OF_PEER))
    parser.add_argument("--keep", type=Path, help="an empty folder to work in, which is kept")
    given = parser.parse_args()
    if mosquitto_path() is None:
        print("\nOutages: mosquitto is not installed; nothing measured")
        return 0
    with tempfile.TemporaryDirectory() as temporary, world(given.keep or Path(temporary)) as made:
        made.set_up()
        run = Run(made, Eyes(made), random.Random(given.seed))
        try:
            run.begin()
            run.kill(given.kills)
            for frozen in (True, False):
                for name in given.peers:
                    run.outage(name, given.outage, frozen=frozen)
            harms = run.end()
        finally:
            run.eyes.close()
        show(run, harms, given.outage)
    return 1 if harms.is_any else 0


if __name__ == "__main__":
    sys.exit(main())
