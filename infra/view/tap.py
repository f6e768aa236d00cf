"""Reads a cluster's topics for the demo's view: everything that is committed from now on.

Two consumers. The one of scores and alerts measures latency, so it polls for nothing else and often: a fetch that waits
for one partition holds back the others of its broker. Its loop only counts and folds; rendering happens elsewhere.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from wardstream.infra.failure import Failure
from wardstream.infra.view.pipeline import Pipeline
from wardstream.infra.view.tally import Tally
from wardstream.infra.view.ward import Ward
from wardstream.schemas.alerts import Alert
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.decode import decoder_of
from wardstream.schemas.findings import Finding
from wardstream.schemas.metrics import Metrics
from wardstream.schemas.predictions import Prediction
from wardstream.schemas.scores import Scores
from wardstream.schemas.ticks import Tick
from wardstream.schemas.topics import LANE_INPUTS, TOPICS, dead, partitions_of

OUTPUTS = ("scores.v1", "alerts.v1")
OTHERS = (*LANE_INPUTS, *(dead(name) for name in LANE_INPUTS), "predictions.v1", "metrics.v1")
OUTPUTS_WAIT_MS = 25
OTHERS_WAIT_MS = 200
DEADLINE_S = 30.0
STOP_GRACE_S = 5.0


class TapError(Failure):
    """The cluster cannot be read."""


class Tap:
    """Keeps a ward, a tally and the pipeline's snapshots up to date.

    Parameters
    ----------
    options : as `kafka_client_options` returns them.
    lanes : partitions of the topics about patients.
    """

    def __init__(self, options: Mapping[str, Any], lanes: int) -> None:
        self.ward = Ward()
        self.tally = Tally()
        self.pipeline = Pipeline()
        self._options = options
        self.lanes = lanes
        self._consumers: list[AIOKafkaConsumer] = []

    async def start(self) -> None:
        """Stand at the end of every topic: what comes after this will be seen.

        Raises
        ------
        TapError : no answer within 30 s.
        """
        try:
            async with asyncio.timeout(DEADLINE_S):
                for topics, wait_ms in ((OUTPUTS, OUTPUTS_WAIT_MS), (OTHERS, OTHERS_WAIT_MS)):
                    self._consumers.append(await self._consumer(topics, wait_ms))
        except (KafkaError, TimeoutError, OSError) as error:
            raise TapError(f"the topics cannot be read: {type(error).__name__}") from error

    async def run(self) -> None:
        """Read until cancelled.

        Raises
        ------
        TapError : the cluster refuses.
        """
        tasks = [asyncio.create_task(self._read(consumer)) for consumer in self._consumers]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()

    async def stop(self) -> None:
        """Disconnect, without waiting for a cluster that is gone."""
        consumers, self._consumers = self._consumers, []
        # As tasks: where the cluster is gone, `stop` may raise the CancelledError of a task of its own.
        stopping = [asyncio.create_task(consumer.stop()) for consumer in consumers]
        if stopping:
            _, late = await asyncio.wait(stopping, timeout=STOP_GRACE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*stopping, return_exceptions=True)

    async def _consumer(self, topics: Sequence[str], wait_ms: int) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            **self._options,
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
            fetch_max_wait_ms=wait_ms,
        )
        try:
            await consumer.start()
            parts = [
                TopicPartition(name, number) for name in topics for number in range(partitions_of(name, self.lanes))
            ]
            consumer.assign(parts)
            for part, end in (await consumer.end_offsets(parts)).items():
                consumer.seek(part, end)
        except BaseException:
            await consumer.stop()
            raise
        return consumer

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            try:
                found = await consumer.getmany(timeout_ms=1000)
            except KafkaError as error:
                raise TapError(f"the topics cannot be read: {type(error).__name__}") from error
            now_ms, wall_s = time.time() * 1000, time.monotonic()
            for part, records in found.items():
                for record in records:
                    self._take(part.topic, record, now_ms - record.timestamp, wall_s)

    def _take(self, topic: str, record: Any, latency_ms: float, wall_s: float) -> None:
        tally = self.tally
        kind = TOPICS.get(topic)
        if kind is None:  # a dead letter; what has no reason is the note that one was replayed
            tally.dead.update(value.decode("utf-8", "replace") for name, value in record.headers if name == "reason")
            return
        if kind.role == "input":
            tally.input(topic)
        try:
            event = decoder_of(kind.type)(record.value)
        except BadEvent:
            return  # the worker makes a dead letter of it
        match event:
            case Scores():
                tally.score(latency_ms, wall_s)
            case Alert():
                tally.alert(event, latency_ms, wall_s)
            case Prediction() | Finding():
                tally.answer(event)
            case Tick():
                tally.tick(event.observed_at, wall_s)
            case Metrics():
                tally.snapshots += 1
                self.pipeline.add(event)
        self.ward.apply(event)


def now() -> datetime:
    """The wall clock, as snapshots tell it."""
    return datetime.now(UTC)
