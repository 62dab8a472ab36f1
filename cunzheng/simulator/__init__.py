"""Simulated devices that speak the real protocols, driven by the same profiles as the gateway.

Honest simulators with dials: they answer as the device would until a dial is turned.
"""

from .broker import BrokerHandle, start_broker
from .dials import Dials
from .errors import BrokerError, ListenError, LoggerError, MqttSimulatorError, PlantFileError, SimulatorError
from .hj212_logger import Hj212LoggerSimulator, LoggerDials
from .mill import LiveMill, MillInterval, MillReplay, demo_mill, electricity_values, gas_values
from .modbus_device import ModbusDeviceSimulator, ModbusSimulatorServer
from .mqtt_device import MqttDeviceSimulator

__all__ = [
    "BrokerError",
    "BrokerHandle",
    "Dials",
    "Hj212LoggerSimulator",
    "ListenError",
    "LiveMill",
    "LoggerDials",
    "LoggerError",
    "MillInterval",
    "MillReplay",
    "ModbusDeviceSimulator",
    "ModbusSimulatorServer",
    "MqttDeviceSimulator",
    "MqttSimulatorError",
    "PlantFileError",
    "SimulatorError",
    "demo_mill",
    "electricity_values",
    "gas_values",
    "start_broker",
]
