"""A gateway's counts on metrics.v1, as a worker's; also where Kafka is away when the gateway starts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from aiokafka.errors import KafkaError

from wardstream.agents.metrics import Meters
from wardstream.agents.streams.snapshots import INTERVAL_S, Snapshots

log = logging.getLogger(__name__)

_STOP_S = 15.0


async def report(meters: Meters, client: Mapping[str, Any], role: str, look: Callable[[], None]) -> None:
    """Publish snapshots until cancelled; the last one then. `look` sets the gauges."""
    while True:
        snapshots = Snapshots(meters, client, role)
        try:
            await snapshots.start()
        except (KafkaError, TimeoutError, OSError) as error:
            log.warning("metrics cannot be published yet: %s", type(error).__name__)
            await asyncio.sleep(INTERVAL_S)
            continue
        try:
            while True:
                look()
                await asyncio.sleep(1)
        finally:
            look()
            async with asyncio.timeout(_STOP_S):
                await snapshots.stop()
