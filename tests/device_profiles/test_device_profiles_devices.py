"""Every shipped device: encoded as it would answer and decoded again, and what its profile promises."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from device_profiles import Profile, Role, Table, decode, encode_words, hex_words, mismatches, shipped

HASHES = Path(__file__).parent / "data" / "profile_hashes.json"
"""Profile id → version → hash, of every version that was ever shipped."""
MODBUS = [profile for profile in shipped().values() if profile.protocol == "modbus"]
#: The twelve devices of the first release and the message families.
PROMISED = {
    "eastron-sdm630",
    "schneider-iem3000",
    "schneider-pm5560",
    "siemens-pac",
    "wago-879",
    "siemens-bw500",
    "sick-marsic300",
    "sick-flowsic500",
    "endress-promass",
    "swirl-vortex-gas",
    "mc51-y",
    "spirax-tva",
    "plain-json-gas",
    "tasmota-energy",
    "shelly-gen2-em",
    "chirpstack-pulse",
    "thingsboard-telemetry",
    "sparkplug-b-meter",
}


def ready(profile: Profile) -> Profile:
    """Give every parameter its first word, or 1000."""
    given = {
        name: parameter.choices[0] if parameter.is_choice else Decimal(1000)
        for name, parameter in profile.parameters.items()
    }
    return profile.configured(given)


def holding(first: int, text: str) -> dict[tuple[Table, int], int]:
    return {(Table.HOLDING, first + at): word for at, word in enumerate(hex_words(text))}


def test_all_promised_devices_are_there() -> None:
    assert set(shipped()) >= PROMISED


@pytest.mark.parametrize("profile", shipped().values(), ids=lambda profile: profile.id)
def test_every_shipped_profile_says_how_far_it_is_to_be_trusted(profile: Profile) -> None:
    assert profile.trust in ("documented", "interoperability", "hardware")
    assert profile.sources
    assert all(parameter.name["zh"] and parameter.name["en"] for parameter in profile.parameters.values())


@pytest.mark.parametrize("profile", shipped().values(), ids=lambda profile: profile.id)
def test_version_of_a_shipped_profile_names_one_content(profile: Profile) -> None:
    """Months carry id, version and hash: whoever changes a file, if only a vector, raises its version and notes it."""
    known = json.loads(HASHES.read_text("utf-8")).get(profile.id, {})
    assert known.get(str(profile.version), profile.hash) == profile.hash
    assert all(int(version) <= profile.version for version in known)


@pytest.mark.parametrize("profile", MODBUS, ids=lambda profile: profile.id)
def test_every_point_comes_back_from_the_device(profile: Profile) -> None:
    device = ready(profile)
    good = {"live": Decimal(1), "running": Decimal(1)}
    values: dict[str, Decimal | str | None] = {name: value for name, value in good.items() if name in device.points}
    for at, (name, point) in enumerate(device.points.items()):
        if point.role in (Role.RATE, Role.TOTAL):
            values[name] = Decimal(at + 1)
    if profile.id == "siemens-pac":  # the sum of two tariffs is not a value of its own
        for kind in ("import", "export"):
            values[f"energy_{kind}_t1"], values[f"energy_{kind}_t2"] = Decimal(30), Decimal(12)
            values[f"energy_{kind}"] = Decimal(42)
    words = encode_words(device, values)
    decoded = decode(device, words, values, after=words)
    assert {name: one.reason for name, one in decoded.items() if not one.is_valid} == {}
    assert {name: one.value for name, one in decoded.items()} == values


@pytest.mark.parametrize("profile", MODBUS, ids=lambda profile: profile.id)
def test_everything_needed_is_planned_within_the_limits(profile: Profile) -> None:
    for name in profile.points:
        blocks = profile.plan([name])
        reached = {one for block in blocks for one in block.points}
        assert set(profile.needed([name])) <= reached
        assert all(block.count <= profile.transport.max_registers or block.table.is_bits for block in blocks)


def test_answer_of_a_real_integrator_is_read() -> None:
    # 0A 03 08 0000 0411 0000 0635 from a field log, CRC checked
    device = shipped()["mc51-y"].configured({"flow_unit": "t/h", "pressure_unit": "MPa"})
    decoded = decode(device, holding(0, "0000 0411 0000 0635"))
    assert (decoded["flow"].value, decoded["flow"].unit) == (Decimal("10.41"), "t/h")
    assert (decoded["pressure"].value, decoded["pressure"].unit) == (Decimal("1.589"), "MPa")


def test_short_blocks_never_reach_beyond_twenty() -> None:
    for block in shipped()["swirl-vortex-gas"].plan():
        assert block.address + block.count < 21


def test_the_other_unit_system_is_never_touched() -> None:
    for block in shipped()["spirax-tva"].plan():
        assert block.address + block.count <= 20


def test_another_device_is_refused_by_its_identifier() -> None:
    scale = shipped()["siemens-bw500"]
    right = decode(scale, {(Table.HOLDING, 63): 2})
    assert mismatches(scale, right) == ()
    (wrong,) = mismatches(scale, decode(scale, {(Table.HOLDING, 63): 3}))
    assert (wrong.point, wrong.wanted, wrong.came, wrong.refuses) == ("device_id", "2", "3", True)
    assert mismatches(scale, {})[0].came == ""


def test_totals_whose_unit_is_a_setting_take_their_rate_in_that_unit() -> None:
    scale = shipped()["siemens-bw500"].configured({"total_unit": "kg", "max_rate_per_h": Decimal(800_000)})
    rule = scale.totaliser_rule("total_1", {"max_rate_per_h": Decimal(800_000)})
    assert rule is not None
    assert rule.max_rate == 800_000
    assert scale.points["total_1"].unit == "kg"


def test_volume_counted_in_fault_is_linked_to_its_total() -> None:
    meter = shipped()["sick-flowsic500"]
    totaliser = meter.points["volume_standard"].totaliser
    assert totaliser is not None
    assert totaliser.error_counter == "volume_standard_error"


def test_configured_range_comes_from_the_fitter() -> None:
    analyser = shipped()["sick-marsic300"]
    assert analyser.configured({}).points["co2"].configured == (0, 25)
    assert analyser.configured({"co2_range": Decimal(40)}).points["co2"].configured == (0, 40)


def test_a_simulated_sum_is_not_covered_by_its_unnamed_parts() -> None:
    meter = shipped()["siemens-pac"]
    words = encode_words(meter, {"energy_import": Decimal("126239.474")})
    assert decode(meter, words)["energy_import"].value == Decimal("126239.474")
