"""Publishing events: validated, keyed, batched, and acknowledged by every in-sync replica.

Batches are built here, one a topic and partition, because aiokafka's `send` costs three times as much a message.
The partition is computed here too: a client with another partitioner would put a patient's labs and vitals into
different lanes. Each event is decoded again after encoding, by the decoder that the workers use: what is accepted here
cannot become a dead letter there, for 2 µs an event.

Order: events of one partition keep the order in which they were given. Nothing is promised between partitions but for
`publish_tick`, which comes after all that was given before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from types import TracebackType
from typing import Any, Literal, Self
from uuid import UUID, uuid5

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from wardstream.schemas.decode import check, decoder, encode
from wardstream.schemas.envelope import Event
from wardstream.schemas.partition import partition_of
from wardstream.schemas.ticks import Tick
from wardstream.schemas.topics import TOPICS

BATCH_BYTES = 256 * 1024
BUFFERED_EVENTS = 4096  # more wait for the cluster: back-pressure, at most a few MB
TICK_IDS = UUID("0b1c9d53-3c3e-5d0c-9a55-6f3a7f5f9a61")  # namespace of the ids of ticks
TICKS = "ticks.v1"

_TOPIC_OF: dict[type, str] = {
    topic.type: name for name, topic in TOPICS.items() if topic.role == "input" and topic.type is not Tick
}


class PublishError(RuntimeError):
    """The cluster did not take events in time. Publish them again: their ids make a second time harmless."""


@lru_cache(maxsize=1 << 16)
def place(patient_id: str, partitions: int) -> tuple[bytes, int]:
    """Return the Kafka key and the partition of a patient."""
    return patient_id.encode(), partition_of(patient_id, partitions)


class Publisher:
    """Publishes events about patients to a wardstream cluster.

    Parameters
    ----------
    bootstrap_servers : str or sequence of str
        `host:port` of one or more brokers.
    deadline_s : float
        Longest wait for the cluster, in seconds: to start, for room to buffer, for acknowledgements, to close.
    linger_s : float
        How long an event may wait for others of its batch, in seconds.
    **options
        Further options of `aiokafka.AIOKafkaProducer`, such as `security_protocol`, `ssl_context`, `sasl_mechanism`.

    Examples
    --------
    >>> async with Publisher("localhost:9092") as publisher:  # doctest: +SKIP
    ...     now = datetime.now(UTC)
    ...     await publisher.publish(
    ...         Vitals(event_id=uuid4(), source="bedside-7", patient_id="p-1", observed_at=now, received_at=now,
    ...                heart_rate_bpm=72, spo2_percent=97)
    ...     )
    """

    def __init__(
        self,
        bootstrap_servers: str | Sequence[str] = "localhost:9092",
        *,
        deadline_s: float = 30.0,
        linger_s: float = 0.005,
        **options: Any,
    ) -> None:
        self._deadline_s, self._linger_s = deadline_s, linger_s
        self._options = {"bootstrap_servers": bootstrap_servers, **options}
        self._producer: AIOKafkaProducer | None = None
        self._partitions: dict[str, int] = {}
        self._decoders: dict[str, Callable[[bytes], object]] = {}
        self._open: dict[tuple[str, int], Any] = {}  # aiokafka's BatchBuilder, by topic and partition
        self._buffered = 0
        self._shipping = asyncio.Lock()  # batches of one partition must not overtake each other
        self._unacknowledged: set[asyncio.Future[Any]] = set()
        self._failed: dict[str, str] = {}  # topic: kind of error, since the last time it was told
        self._lingering: asyncio.TimerHandle | None = None
        self._lingered: asyncio.Task[None] | None = None
        self._events_since_flush = False

    async def __aenter__(self) -> Self:
        """Connect.

        Raises
        ------
        PublishError
            No broker answers within the deadline.
        """
        producer = AIOKafkaProducer(
            **self._options,
            enable_idempotence=True,  # implies acks=all
            max_batch_size=BATCH_BYTES,
            linger_ms=0,  # batches come complete
            request_timeout_ms=int(self._deadline_s * 1000),
        )
        try:
            async with asyncio.timeout(self._deadline_s):
                await producer.start()
        except (KafkaError, TimeoutError, OSError) as error:
            await _stop(producer)
            raise PublishError(f"no broker lets us in: {type(error).__name__}") from error
        except BaseException:
            await _stop(producer)
            raise
        self._producer = producer
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for what is not yet acknowledged, and disconnect."""
        try:
            if error is None:
                await self.flush()
        finally:
            if self._lingering is not None:
                self._lingering.cancel()
            if self._lingered is not None:
                self._lingered.cancel()
            producer, self._producer = self._producer, None
            if producer is not None:
                await _stop(producer)

    async def publish(self, *events: Event) -> None:
        """Publish and return when all in-sync replicas have the events.

        Raises
        ------
        BadEvent
            An event is not valid; it names the fields, never values. The events before it are published.
        PublishError
            They were not acknowledged within the deadline.
        """
        for event in events:
            await self.send(event)
        await self.flush()

    async def send(self, event: Event) -> str:
        """Validate and buffer one event; return the name of its topic.

        It leaves within `linger_s`; `flush` tells whether it arrived. Waits while too much is buffered.

        Raises
        ------
        BadEvent
            The event is not valid; it names the fields, never values.
        PublishError
            The cluster has not taken earlier events.
        """
        topic = _TOPIC_OF.get(type(event))
        if topic is None:
            raise TypeError(f"no input topic takes {type(event).__name__}")
        decode = self._decoders.get(topic)
        if decode is None:
            decode = self._decoders[topic] = decoder(topic)
        value = _encode_checked(event, decode)
        partitions = self._partitions.get(topic) or await self.partitions(topic)
        key, partition = place(event.patient_id, partitions)
        await self._append(topic, partition, key, value)
        self._events_since_flush = True
        return topic

    async def publish_tick(self, at: datetime, source: Literal["clock", "replay", "simulator"]) -> None:
        """Write one tick to every partition, once all that was sent before is acknowledged.

        Parameters
        ----------
        at : datetime
            The stream's time.
        source : {"clock", "replay", "simulator"}
            Who makes the time. The ids follow from it, the time and the partition: written twice is written once.

        Raises
        ------
        BadEvent, PublishError
            As `send`.
        """
        if self._events_since_flush:
            await self.flush()
        partitions = self._partitions.get(TICKS) or await self.partitions(TICKS)
        for partition in range(partitions):
            tick_id = uuid5(TICK_IDS, f"{source}/{at.isoformat()}/{partition}")
            tick = Tick(event_id=tick_id, source=source, observed_at=at, received_at=at)
            tick.check()
            await self._append(TICKS, partition, None, encode(tick))

    async def flush(self) -> None:
        """Wait until all in-sync replicas have everything that was sent.

        Raises
        ------
        PublishError
            They do not within the deadline; it names the topics.
        """
        self._events_since_flush = False
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._ship()
                if self._unacknowledged:
                    await asyncio.wait(set(self._unacknowledged))
        except TimeoutError as error:
            raise PublishError(f"not acknowledged within {self._deadline_s:g} s") from error
        self._tell_failures()

    async def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has.

        Raises
        ------
        PublishError
            There is no such topic, or no broker answers.
        """
        try:
            async with asyncio.timeout(self._deadline_s):
                known = await self._connected().partitions_for(topic)
        except (KafkaError, TimeoutError) as error:
            raise PublishError(f"{topic}: {type(error).__name__}. `wardstream topics create` makes it.") from error
        self._partitions[topic] = len(known)
        return len(known)

    def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise RuntimeError("use the publisher in `async with`")
        return self._producer

    async def _append(self, topic: str, partition: int, key: bytes | None, value: bytes) -> None:
        if self._failed:
            self._tell_failures()
        slot = (topic, partition)
        batch = self._open.get(slot)
        while batch is None or batch.append(timestamp=None, key=key, value=value) is None:
            if batch is not None:
                await self._ship_in_time()
            batch = self._open.get(slot)
            if batch is None:
                batch = self._open[slot] = self._connected().create_batch()
        self._buffered += 1
        if self._buffered >= BUFFERED_EVENTS:
            await self._ship_in_time()
        elif self._lingering is None:
            self._lingering = asyncio.get_running_loop().call_later(self._linger_s, self._lingered_enough)

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
            if self._lingering is not None:
                self._lingering.cancel()
                self._lingering = None
            waiting = set(batches)
            try:
                async with asyncio.TaskGroup() as group:
                    for slot, batch in batches.items():
                        group.create_task(self._ship_one(slot, batch)).add_done_callback(
                            lambda task, slot=slot: task.cancelled() or waiting.discard(slot)
                        )
            finally:
                for topic, _ in waiting:  # a deadline or a cancelled caller: other tasks' events may be among them
                    self._failed[topic] = "not handed over"

    async def _ship_one(self, slot: tuple[str, int], batch: Any) -> None:
        topic, partition = slot

        def acknowledged(future: asyncio.Future[Any]) -> None:
            self._unacknowledged.discard(future)
            if future.cancelled():
                self._failed[topic] = "Cancelled"
            elif (error := future.exception()) is not None:
                self._failed[topic] = type(error).__name__

        try:
            future = await self._connected().send_batch(batch, topic, partition=partition)
        except KafkaError as error:
            self._failed[topic] = type(error).__name__
        else:
            self._unacknowledged.add(future)
            future.add_done_callback(acknowledged)

    def _lingered_enough(self) -> None:
        self._lingering = None
        if self._lingered is None or self._lingered.done():
            self._lingered = asyncio.get_running_loop().create_task(self._ship_lingering())

    async def _ship_lingering(self) -> None:
        try:
            await self._ship_in_time()
        except PublishError as error:
            self._failed["publisher"] = str(error)  # told by the next call

    def _tell_failures(self) -> None:
        failed, self._failed = self._failed, {}
        if failed:
            raise PublishError("; ".join(f"{topic}: {kind}" for topic, kind in sorted(failed.items())))


def _encode_checked(event: Event, decode: Callable[[bytes], object]) -> bytes:
    try:
        value = encode(event)
    except (TypeError, ValueError, OverflowError, RecursionError):
        value = b"null"
    if b"null" in value:  # rare, as defaults are left out: an error above, or NaN, which JSON writes as null
        check(event)
        return encode(event)
    decode(value)
    return value


async def _stop(producer: AIOKafkaProducer) -> None:
    """Stop without hanging on a dead cluster; what it had is reported by whoever waited for it."""
    try:
        async with asyncio.timeout(5):
            await producer.stop()
    except (KafkaError, TimeoutError):
        pass
