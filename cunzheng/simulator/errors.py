"""What keeps simulated devices from running, in both languages.

SimulatorError          could not start or connect; trying again later may work
├── ListenError         the TCP port cannot be listened on
├── BrokerError         no MQTT broker could be started
├── MqttSimulatorError  the MQTT broker is away or refuses the device
└── LoggerError         the HJ 212 listener is away or does not answer
PlantFileError          the plant file is wrong: change it
"""

from __future__ import annotations


class SimulatorError(ConnectionError):
    """A simulated device or broker could not start or connect."""

    exit_code = 2

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.zh = zh
        self.en = en


class ListenError(SimulatorError):
    """The TCP port cannot be listened on."""


class BrokerError(SimulatorError):
    """No MQTT broker could be started; the message says what to install or free."""


class MqttSimulatorError(SimulatorError):
    """The MQTT broker cannot be reached or refuses the device."""


class LoggerError(SimulatorError):
    """The HJ 212 listener is away, or did not answer as often as the logger asked."""


class PlantFileError(ValueError):
    """The plant file cannot be used; one line with the key."""

    exit_code = 3

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.zh = zh
        self.en = en
