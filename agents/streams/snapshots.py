"""metrics.v1: what the process has counted, published every five seconds."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from mode import Service

from wardstream.agents.metrics import Histogram, Meters, series_name
from wardstream.schemas.decode import encode
from wardstream.schemas.metrics import HistogramSnapshot, Metrics

log = logging.getLogger(__name__)

INTERVAL_S = 5.0
SEND_DEADLINE_S = 10.0
STOP_S = 5.0  # at the end, for the last one, and again for the connection
SILENT_S = INTERVAL_S + 1.5 * SEND_DEADLINE_S
TOPIC = "metrics.v1"


class Snapshots(Service):
    """Publishes a process's meters. A snapshot that cannot be sent is left out: the next one holds its counts.

    `process` is the identity of one that could not start, which this one takes the place of.
    """

    def __init__(
        self, meters: Meters, client: Mapping[str, Any], role: str, process: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self._meters = meters
        self._client = client
        self._role = role
        self._process = process or str(uuid4())
        self._started_at = datetime.now(UTC)
        self._producer: AIOKafkaProducer | None = None
        self.taken_at_s: float | None = None  # monotonic: when Kafka last answered us

    def trouble(self) -> str | None:
        """None: Kafka took a snapshot lately; else since when it has not."""
        if self.taken_at_s is None:
            return "Kafka has not answered yet"
        silent_s = time.monotonic() - self.taken_at_s
        return None if silent_s < SILENT_S else f"Kafka has taken nothing for {silent_s:.0f} s"

    @property
    def about(self) -> dict[str, str]:
        """What the process is, as its snapshots say."""
        return {"role": self._role, "process": self._process}

    async def on_start(self) -> None:
        self._producer = AIOKafkaProducer(**self._client, enable_idempotence=True, request_timeout_ms=10_000)
        try:
            async with asyncio.timeout(30):
                await self._producer.start()
            self.taken_at_s = time.monotonic()
        except BaseException:
            await self._producer.stop()
            raise

    @Service.task
    async def _publish(self) -> None:
        while not self.should_stop:
            await self.sleep(INTERVAL_S)
            await self._send()

    async def on_stop(self) -> None:
        await self._send(STOP_S)  # what was counted since the last one
        if self._producer is not None:
            try:
                async with asyncio.timeout(STOP_S):
                    await self._producer.stop()
            except TimeoutError:  # it would send what it still has
                log.warning("the last metrics are not published: Kafka does not answer")

    async def _send(self, deadline_s: float = SEND_DEADLINE_S) -> None:
        if self._producer is None:
            return
        try:
            async with asyncio.timeout(deadline_s):
                await self._producer.send_and_wait(TOPIC, encode(self.snapshot()), self._process.encode())
            self.taken_at_s = time.monotonic()
        except (KafkaError, TimeoutError) as error:
            log.warning("metrics snapshot not sent: %s", type(error).__name__)

    def snapshot(self) -> Metrics:
        """The totals now."""
        return Metrics(
            process=self._process,
            role=self._role,
            started_at=self._started_at,
            at=datetime.now(UTC),
            counters=dict(self._meters.series("counter")),
            gauges=dict(self._meters.series("gauge")),
            histograms={
                series_name(metric, labels): HistogramSnapshot(
                    scheme=Histogram.SCHEME, counts=dict(histogram.counts), sum=histogram.sum, count=histogram.count
                )
                for (metric, labels), histogram in self._meters.histograms.items()
            },
        )
