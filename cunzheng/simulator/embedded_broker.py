"""The embedded MQTT broker as a process of its own: `python -m cunzheng.simulator.embedded_broker PORT [refuse]`.

A process, because amqtt leaves connections and tasks behind when it stops. The one file here that knows amqtt.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any

from amqtt.broker import Broker


async def serve(port: int, *, refuse: bool) -> None:
    """Serve on the loopback until told to stop."""
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    config: dict[str, Any] = {
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": not refuse}},
    }
    broker = Broker(config)
    await broker.start()
    await stop.wait()
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), refuse="refuse" in sys.argv[2:]))
