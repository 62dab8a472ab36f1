"""What the simulated meters would have shown in the day before the demonstration began, as live values.

The simulators' values are a function of the time, so this is the very course that they go on with. Live values are
shown for information only and never become evidence; the notice on every page calls them simulated.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal

from cunzheng.simulator.mill import LiveMill, demo_mill, gas_values
from webapp.models import LiveSample

BEFORE = timedelta(hours=24)
STEP = timedelta(minutes=5)


def live_history(plant: str, gw: str, now: datetime) -> Iterator[LiveSample]:
    """Give the values of the meters that are read live, every five minutes of the day before."""
    mill = LiveMill(demo_mill())
    for n in range(BEFORE // STEP, 0, -1):
        time = now - n * STEP
        gas = gas_values(mill, time)
        shown = (
            ("ELEC.TOTAL", Decimal(mill.energy_wh(time)).scaleb(-3), "kWh"),
            ("ELEC.POWER", mill.power_w(time), "W"),
            ("GAS.TOTAL", gas["volume"], "Nm3"),
            ("GAS.FLOW", gas["flow"], "Nm3/h"),
        )
        for channel, value, unit in shown:
            yield LiveSample(plant=plant, channel=channel, time=time, value=f"{value:f}", unit=unit, flag="N", gw=gw)
