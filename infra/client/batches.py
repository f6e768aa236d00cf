"""Batches of records on their way to the cluster, one open a topic and partition.

They are built here because aiokafka's `send` costs three times as much a record. Whatever can go wrong with a batch
after its caller has gone on (a deadline, a refusal, a cancelled caller whose batch held other tasks' records) is
remembered and raised by the next call: nothing is lost without a word.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

Headers = tuple[tuple[str, bytes], ...]

BATCH_BYTES = 256 * 1024
BUFFERED_RECORDS = 4096  # more wait for the cluster: back-pressure, at most a few MB


class PublishError(RuntimeError):
    """The cluster did not take events in time. Publish them again: their ids make a second time harmless."""


class Batches:
    """Buffers records, sends them when a batch is full or has waited long enough.

    Parameters
    ----------
    producer : AIOKafkaProducer
        Idempotent, started.
    deadline_s : float
        Longest wait for the cluster, in seconds.
    linger_s : float
        How long a record may wait for others, in seconds.
    """

    def __init__(self, producer: AIOKafkaProducer, deadline_s: float, linger_s: float) -> None:
        self._producer, self._deadline_s, self._linger_s = producer, deadline_s, linger_s
        self._open: dict[tuple[str, int], Any] = {}  # aiokafka's BatchBuilder
        self._buffered = 0
        self._shipping = asyncio.Lock()  # batches of one partition must not overtake each other
        self._unacknowledged: set[asyncio.Future[Any]] = set()
        self._failed: dict[str, str] = {}  # topic: what happened, until it is told
        self._timer: asyncio.TimerHandle | None = None
        self._timed: asyncio.Task[None] | None = None

    async def add(self, topic: str, partition: int, key: bytes | None, value: bytes, headers: Headers = ()) -> None:
        """Buffer a record; waits while too much is buffered.

        Raises
        ------
        PublishError
            The cluster has not taken earlier records, or takes none within the deadline.
        """
        if self._failed:
            self._tell_failures()
        slot = (topic, partition)
        batch = self._open.get(slot)
        while batch is None or batch.append(timestamp=None, key=key, value=value, headers=list(headers)) is None:
            if batch is not None:  # full
                await self._ship_in_time()
            batch = self._open.get(slot)  # another task may have opened one meanwhile
            if batch is None:
                batch = self._open[slot] = self._producer.create_batch()
        self._buffered += 1
        if self._buffered >= BUFFERED_RECORDS:
            await self._ship_in_time()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._linger_s, self._waited_enough)

    async def flush(self) -> None:
        """Wait until all in-sync replicas have everything that was added.

        Raises
        ------
        PublishError
            They do not within the deadline; it names the topics.
        """
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._ship()
                if self._unacknowledged:
                    await asyncio.wait(set(self._unacknowledged))
        except TimeoutError as error:
            raise PublishError(f"not acknowledged within {self._deadline_s:g} s") from error
        self._tell_failures()

    def close(self) -> None:
        """Stop waiting; what is still buffered is not sent."""
        if self._timer is not None:
            self._timer.cancel()
        if self._timed is not None:
            self._timed.cancel()

    async def _ship_in_time(self) -> None:
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._ship()
        except TimeoutError as error:
            raise PublishError(f"the cluster has taken nothing for {self._deadline_s:g} s") from error

    async def _ship(self) -> None:
        """Hand all open batches to the producer; waits while it still has the ones before."""
        async with self._shipping:
            batches, self._open, self._buffered = self._open, {}, 0
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            waiting = set(batches)
            try:
                async with asyncio.TaskGroup() as group:
                    for slot, batch in batches.items():
                        group.create_task(self._ship_one(slot, batch, waiting))
            finally:
                for topic, _ in waiting:
                    self._failed[topic] = "not handed over"

    async def _ship_one(self, slot: tuple[str, int], batch: Any, waiting: set[tuple[str, int]]) -> None:
        topic, partition = slot

        def acknowledged(future: asyncio.Future[Any]) -> None:
            self._unacknowledged.discard(future)
            if future.cancelled():
                self._failed[topic] = "cancelled"
            elif (error := future.exception()) is not None:
                self._failed[topic] = type(error).__name__

        try:
            future = await self._producer.send_batch(batch, topic, partition=partition)
        except KafkaError as error:
            self._failed[topic] = type(error).__name__
        else:
            self._unacknowledged.add(future)
            future.add_done_callback(acknowledged)
        waiting.discard(slot)

    def _waited_enough(self) -> None:
        self._timer = None
        if self._timed is None or self._timed.done():
            self._timed = asyncio.get_running_loop().create_task(self._ship_waiting())

    async def _ship_waiting(self) -> None:
        try:
            await self._ship_in_time()
        except PublishError as error:
            self._failed["publisher"] = str(error)

    def _tell_failures(self) -> None:
        failed, self._failed = self._failed, {}
        if failed:
            raise PublishError("; ".join(f"{topic}: {what}" for topic, what in sorted(failed.items())))
