"""What a gateway, the API, webhooks and the learner tell of themselves: on metrics.v1 as a worker does, to Prometheus,
and whether they are well; also where Kafka is away when they start.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiokafka.errors import KafkaError

from wardstream.agents.metrics import Meters
from wardstream.agents.streams.snapshots import INTERVAL_S, Snapshots
from wardstream.infra.observability.exposition import registry
from wardstream.infra.observability.listener import Check, WatchListener
from wardstream.infra.settings import Settings

log = logging.getLogger(__name__)

_STOP_S: Final = 15.0
KAFKA: Final = "kafka"


class Reporting:
    """Tells until it is cancelled.

    Parameters
    ----------
    settings : Settings
        Where it listens, if anywhere.
    meters, client, role
        What is counted, Kafka's client options, and what the process is.
    look : callable
        Sets the gauges.
    checks : mapping
        What must be so for the process to do its work; without any: that Kafka answers.

    Raises
    ------
    Failure
        It must not or cannot listen.
    """

    def __init__(
        self,
        settings: Settings,
        meters: Meters,
        client: Mapping[str, Any],
        role: str,
        look: Callable[[], None],
        checks: Mapping[str, Check] | None = None,
    ) -> None:
        self._meters, self._client, self._role, self._look = meters, client, role, look
        self._snapshots = Snapshots(meters, client, role)
        asked = {KAFKA: lambda: self._snapshots.trouble()} if checks is None else checks
        self.listener = WatchListener(settings, registry(meters, self._snapshots.about, look), asked)

    async def run(self) -> None:
        """Publish snapshots, the last one when cancelled, and answer who asks."""
        async with asyncio.TaskGroup() as tasks:
            if self.listener.address is not None:
                tasks.create_task(self.listener.run())
            tasks.create_task(self._publish())

    async def _publish(self) -> None:
        while True:
            try:
                await self._snapshots.start()
            except (KafkaError, TimeoutError, OSError) as error:
                log.warning("metrics cannot be published yet: %s", type(error).__name__)
                process = self._snapshots.about["process"]
                # One that failed never starts.
                self._snapshots = Snapshots(self._meters, self._client, self._role, process)
                await asyncio.sleep(INTERVAL_S)
                continue
            try:
                while True:
                    self._look()
                    await asyncio.sleep(1)
            finally:
                self._look()
                try:
                    async with asyncio.timeout(_STOP_S):
                        await self._snapshots.stop()
                except (KafkaError, TimeoutError) as error:  # it would hide why the process ends
                    log.warning("the last metrics are not published: %s", type(error).__name__)
