"""An MLLP gateway on loopback, with a Kafka that can be told to fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.infra.gateways.senders import FakeWay, mapper, sender
from wardstream.agents.metrics import Meters
from wardstream.infra.gateways import delivery as deliveries
from wardstream.infra.gateways.delivery import Delivery
from wardstream.infra.gateways.listeners import Listener
from wardstream.infra.gateways.mllp import Gateway
from wardstream.infra.gateways.spool import Spool

HERE = Listener("it", "127.0.0.1:0", False, "client certificates", False)


class Running:
    """A gateway that listens on `port`."""

    def __init__(self, gateway: Gateway, way: FakeWay, meters: Meters, spool: Spool) -> None:
        self.gateway, self.way, self.meters, self.spool = gateway, way, meters, spool
        self.port = 0

    def sender(self, **options: Any) -> Any:
        return sender(self.port, **options)


@asynccontextmanager
async def running(folder: Path, way: FakeWay | None = None, **options: Any) -> AsyncIterator[Running]:
    """A gateway; at its end everything is dropped, as by kill -9, but for what is on disk."""
    way, meters = way or FakeWay(), Meters()
    delivery = Delivery(lambda: way, meters, options.pop("held_bytes", deliveries.HELD_BYTES))
    spool = Spool(folder / "spool", options.pop("spool_bytes", 1 << 20))
    spool.open()
    context = options.pop("context", None)
    map_with = options.pop("map_with", {})
    gateway = Gateway(delivery, spool, meters, **options)
    tasks = [asyncio.create_task(body()) for body in (delivery.run, spool.run, gateway.drain)]
    run = Running(gateway, way, meters, spool)
    try:
        run.port = await gateway.listen(HERE, mapper(meters, **map_with), context)
        yield run
    finally:
        for task in [*tasks, *gateway._open]:
            task.cancel()
        await asyncio.gather(*tasks, *gateway._open, return_exceptions=True)
        await gateway.stop()
        spool.close()
