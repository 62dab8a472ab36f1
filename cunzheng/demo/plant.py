"""The demonstration's steel plant: master data, accounts, and the settings of its gateway and devices.

Everything a real plant would write down is written to files in the demonstration's folder, so that they can be read
and changed there. The figures of the captured values are invented; the electricity is not (see `months.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PLANT = "P-4201-0001"
GATEWAY = "GW-0001"
ZONE = "Asia/Shanghai"
PASSWORD = "cunzheng-demo"
"""One password for all accounts: the demonstration listens on the loopback only."""


@dataclass(frozen=True)
class DemoAccount:
    """A person of the demonstration; `is_scripted` people sign by program, the others are for the visitor."""

    name: str
    role: str
    zh: str
    en: str
    region: str = ""
    is_scripted: bool = False

    @property
    def is_of_plant(self) -> bool:
        """Whether the person works at the plant, not at an authority."""
        return self.role in ("technician", "responsible")


ACCOUNTS = (
    DemoAccount("zhao", "technician", "赵化验", "Zhao", is_scripted=True),
    DemoAccount("qian", "responsible", "钱负责", "Qian", is_scripted=True),
    DemoAccount("sun", "city", "孙市级", "Sun", "4201", is_scripted=True),
    DemoAccount("wu", "province", "吴省级", "Wu", "42", is_scripted=True),
    DemoAccount("li", "technician", "李计量", "Li"),
    DemoAccount("wang", "responsible", "王负责", "Wang"),
    DemoAccount("zhou", "city", "周市级", "Zhou", "4201"),
    DemoAccount("zheng", "province", "郑省级", "Zheng", "42"),
    DemoAccount("feng", "nation", "冯国家", "Feng"),
    DemoAccount("admin", "admin", "管理员", "Administrator"),
)


def _item(name: str, zh: str, en: str, role: str, material: str, where: list[str], source: Any, unit: str) -> Any:
    return {
        "id": name,
        "name": {"zh": zh, "en": en},
        "role": role,
        "material": material,
        "subjects": where,
        "source": source,
        "unit": unit,
    }


def plan() -> dict[str, Any]:
    """Return the plant's `plan.json`."""
    both_eaf, both_roll = ["enterprise", "EAF1"], ["enterprise", "ROLL1"]
    # The past months come from the historian; the meters that are read live stand behind it.
    metered = {"channel": "ELEC.IMPORT", "backup": "ELEC.TOTAL"}
    gas = {"channel": "GAS.IMPORT", "backup": "GAS.TOTAL"}
    return {
        "v": 1,
        "plant": PLANT,
        "name": {"zh": "江城特钢示范厂", "en": "Jiangcheng special steel (demonstration)"},
        "zone": ZONE,
        "region": "420100",
        "sector": "steel",
        "parameters": "cn-steel-2024",
        "subjects": [
            {"id": "enterprise", "kind": "enterprise", "name": {"zh": "全厂", "en": "Enterprise"}},
            {"id": "EAF1", "kind": "process", "process": "eaf", "name": {"zh": "1#电炉炼钢", "en": "EAF 1"}},
            {
                "id": "ROLL1",
                "kind": "process",
                "process": "rolling",
                "name": {"zh": "1#钢压延加工", "en": "Rolling line 1"},
            },
        ],
        "items": [
            _item(
                "gas", "天然气（加热炉）", "Natural gas, reheating", "fuel", "natural_gas", both_roll, gas, "10^4Nm3"
            ),
            _item("scrap", "外购废钢", "Purchased scrap", "input", "scrap", both_eaf, {"ledger": "scrap"}, "t"),
            _item(
                "electrode",
                "石墨电极",
                "Graphite electrode",
                "input",
                "graphite_electrode",
                both_eaf,
                {"ledger": "electrode"},
                "t",
            ),
            _item("limestone", "石灰石", "Limestone", "input", "limestone", both_eaf, {"ledger": "limestone"}, "t"),
            _item(
                "crude_steel", "粗钢", "Crude steel", "product", "crude_steel", both_eaf, {"ledger": "crude_steel"}, "t"
            ),
            _item(
                "electricity",
                "外购电力（辅助参数）",
                "Purchased electricity (auxiliary)",
                "electricity",
                "electricity",
                ["enterprise"],
                metered,
                "MWh",
            ),
        ],
        "channels": [
            {"id": "ELEC.POWER", "name": {"zh": "用电功率", "en": "Electric power"}},
            {"id": "GAS.FLOW", "name": {"zh": "天然气流量", "en": "Natural gas flow"}},
        ],
    }


LEDGER: tuple[tuple[str, str, str], ...] = (
    ("scrap", "186.40", "入厂磅单汇总 / weighbridge summary"),
    ("electrode", "0.71", "电极领用台账 / electrode ledger"),
    ("limestone", "7.85", "辅料台账 / flux ledger"),
    ("crude_steel", "168.25", "生产日报汇总 / production report"),
)
"""Captured values of a month, in t: parameter, value, source."""


def center_toml(port: int) -> str:
    """Return the centre's settings: plain HTTP, for the loopback only."""
    return f"""# The centre of the demonstration: loopback only, plain HTTP.
data_dir = "center"

[log]
origin = "demo.cunzheng.example/evidence"
policy = "policy.txt"

[web]
port = {port}
public_url = "http://127.0.0.1:{port}"
secure_cookies = false
workers = 2

[notice]
zh = "演示：电量为真实钢厂 2018 年数据，日期已改写（UCI 851，CC BY 4.0）；燃气、台账值和实时读数均为模拟。"
en = "Demonstration: electricity of a real mill of 2018, re-dated (UCI 851, CC BY 4.0); all else is simulated."
"""


def gateway_toml(center_port: int, broker_port: int, *, mqtt5: bool) -> str:
    """Return the gateway's settings, with short intervals so that a visitor sees things move."""
    protocol = "5" if mqtt5 else "3.1.1"
    return f"""data = "gateway"
site = "site.toml"

[centre]
url = "http://127.0.0.1:{center_port}"
sync_s = 2
live_s = 5

[mqtt]
host = "127.0.0.1"
port = {broker_port}
protocol = "{protocol}"

[seal]
grace_s = 20
"""


def site_toml(modbus_port: int) -> str:
    """Return the gateway's site file: an SDM630, a gas meter over MQTT, a historian."""
    return f"""[[device]]
id = "em1"
profile = "eastron-sdm630"
host = "127.0.0.1"
port = {modbus_port}
unit = 1
serial = "SDM630-DEMO-1"
certificate = "DEMO-2026-001"
poll_s = 5
parameters = {{ max_power_kw = "2000" }}

[[mqtt]]
id = "gas1"
profile = "plain-json-gas"
serial = "GM-DEMO-7"
parameters = {{ max_flow_nm3h = "5000" }}

[[import]]
id = "historian"
interval_s = 900

[[channel]]
id = "ELEC.TOTAL"
device = "em1"
point = "energy_import"
param = "electricity"
subject = "enterprise"

[[channel]]
id = "ELEC.POWER"
device = "em1"
point = "power"
limits = {{ low = "0", high = "2000000" }}

[[channel]]
id = "GAS.TOTAL"
device = "gas1"
point = "volume"
param = "gas"
subject = "ROLL1"

[[channel]]
id = "GAS.FLOW"
device = "gas1"
point = "flow"

[[channel]]
id = "ELEC.IMPORT"
device = "historian"
kind = "interval"
unit = "kWh"
param = "electricity"
subject = "enterprise"

[[channel]]
id = "GAS.IMPORT"
device = "historian"
kind = "interval"
unit = "Nm3"
param = "gas"
subject = "ROLL1"
"""


def devices_toml(modbus_port: int, broker_port: int) -> str:
    """Return the file of the simulated devices."""
    return f"""source = "live"

[[modbus]]
port = {modbus_port}
  [[modbus.device]]
  unit = 1
  profile = "eastron-sdm630"

[broker]
host = "127.0.0.1"
port = {broker_port}

[[mqtt]]
device = "gas1"
profile = "plain-json-gas"
interval_s = 5
"""


MAP_TOML = """# How the historian's export is read.
[time]
column = "interval_end"
period_label = "end"
interval = "15m"

[[value]]
column = "active_energy_kwh"
channel = "ELEC.IMPORT"
unit = "kWh"

[[value]]
column = "gas_nm3_simulated"
channel = "GAS.IMPORT"
unit = "Nm3"
"""
