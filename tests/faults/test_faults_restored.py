"""A centre is restored from an old backup: gateways that hold later receipts say so, and nothing forks quietly."""

from __future__ import annotations

from fault_world import World, done

SETTINGS = ("-c", "center.toml")


def test_receipts_beyond_a_restored_log_are_an_error_at_the_gateway(world: World) -> None:
    files = world.exports(2, 1)
    world.start_centre()
    world.import_file(files[0])
    world.sync()
    made = world.programs.call("center", "backup", "--with-keys", "saved", *SETTINGS)
    world.import_file(files[1])
    world.sync()
    later = world.receipts()
    world.kill_centre()

    (world.folder / "center").rename(world.folder / "lost")
    restored = world.programs.call("center", "restore", "saved", *SETTINGS)
    assert restored["size"] == made["size"] < len(world.log()) + len(later)
    # The centre does not start, and the checkpoint of the lost disk shows that the backup is too old.
    refused = world.programs.start("center", "run", *SETTINGS)
    assert refused.wait() == 1
    assert "center confirm" in refused.line()
    too_old = world.programs.start("center", "confirm", "--newest", "lost/log/checkpoint", *SETTINGS)
    assert too_old.wait() == 1
    assert "would fork the log" in too_old.line()

    # An operator gives a false word: the gateway still believes nothing that contradicts its receipts.
    done(world.programs.start("center", "confirm", "--accept-size", str(made["size"]), "--json", *SETTINGS))
    world.start_centre()
    sync = world.gateway("sync")
    assert sync.wait() == 1
    assert "the centre's log shrank" in sync.line()
    # The other gateway, which saw less, makes the log grow past what the first one saw.
    while len(world.log()) < made["size"] + len(later):
        world.import_file(files[0], who="gateway2")
        world.import_file(files[1], who="gateway2")
        world.sync("gateway2")
    sync = world.gateway("sync")
    assert sync.wait() == 1
    assert "two histories" in sync.line()
    assert world.receipts() == later
    problems = world.programs.call("gateway", "status", "-c", "gateway.toml")["problems"]
    assert [one["key"] for one in problems] == ["log-history"]
