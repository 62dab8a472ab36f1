"""The chain is set up once and walked through by all journey tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from mill_chain import HISTORIAN, METER, SITES, TOTALS, MillChain, replay_at_speed

from cunzheng.demo.processes import Programs


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MillChain]:
    """A running centre with four people."""
    folder = tmp_path_factory.mktemp("chain")
    with Programs(folder) as programs:
        chain = MillChain(folder, programs)
        chain.start()
        yield chain


@pytest.fixture(scope="session")
def imported(chain: MillChain, root_folder: Path) -> MillChain:
    """Half a year came through the historian; all six months are declared, signed and approved."""
    settings = chain.enrol(HISTORIAN, SITES[HISTORIAN])
    source = root_folder / "cunzheng" / "demo_data" / "steel_meter_2018_h1.csv"
    how = str(chain.folder / HISTORIAN / "map.toml")
    facts = chain.programs.call("gateway", "import", "-c", settings, "--map", how, str(source))
    assert facts["stored"] == 17_376
    chain.sync(settings)
    for period in TOTALS:
        chain.declare(HISTORIAN, period)
    chain.sync(settings)
    for period in TOTALS:
        chain.approve(HISTORIAN, period)
    return chain


@pytest.fixture(scope="session")
def metered(chain: MillChain) -> MillChain:
    """The same half year was polled as a running total over Modbus; all months are declared and signed."""
    settings = chain.enrol(METER, SITES[METER].format(port=1))
    replay_at_speed(settings)
    chain.sync(settings)
    for period in TOTALS:
        chain.declare(METER, period)
    chain.sync(settings)
    return chain


@pytest.fixture(scope="session")
def root_folder() -> Path:
    """The folder of the project."""
    return Path(__file__).resolve().parents[2]
