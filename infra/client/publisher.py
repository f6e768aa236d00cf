"""Publishing events: validated, keyed, batched, and acknowledged by every in-sync replica.

The partition is computed here: a client with another partitioner would put a patient's labs and vitals into different
lanes. Each event is decoded again after encoding, by the decoder that the workers use: what is accepted here cannot
become a dead letter there, for 2 µs an event.

Order: events of one partition keep the order in which they were given. Nothing is promised between partitions but for
`publish_tick`, which comes after all that was given before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from types import TracebackType
from typing import Any, Literal, Self
from uuid import UUID, uuid5

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from wardstream.client.batches import BATCH_BYTES, Batches, PublishError
from wardstream.schemas.decode import check, decoder, encode
from wardstream.schemas.envelope import Event
from wardstream.schemas.partition import partition_of
from wardstream.schemas.ticks import Tick
from wardstream.schemas.topics import TOPICS

TICKS = "ticks.v1"
TICK_IDS = UUID("0b1c9d53-3c3e-5d0c-9a55-6f3a7f5f9a61")  # namespace of the ids of ticks
STOP_GRACE_S = 5.0

_TOPIC_OF: dict[type, str] = {
    topic.type: name for name, topic in TOPICS.items() if topic.role == "input" and topic.type is not Tick
}


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
        Longest wait for the cluster, in seconds: to start, for room to buffer, for acknowledgements.
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
        self._connection: tuple[AIOKafkaProducer, Batches] | None = None
        self._partitions: dict[str, int] = {}
        self._decoders: dict[str, Callable[[bytes], object]] = {}
        self._since_flush = False  # whether anything but ticks was sent

    async def __aenter__(self) -> Self:
        """Connect.

        Raises
        ------
        PublishError
            No broker lets us in within the deadline.
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
        self._connection = producer, Batches(producer, self._deadline_s, self._linger_s)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for what is not yet acknowledged unless there was an error, and disconnect."""
        producer, batches = self._connected()
        try:
            if error is None:
                await batches.flush()
        finally:
            self._connection = None
            batches.close()
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
        await self._add(topic, event.patient_id, value)
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
        if self._since_flush:
            await self.flush()
        _, batches = self._connected()
        partitions = self._partitions.get(TICKS) or await self.partitions(TICKS)
        for partition in range(partitions):
            tick_id = uuid5(TICK_IDS, f"{source}/{at.isoformat()}/{partition}")
            tick = Tick(event_id=tick_id, source=source, observed_at=at, received_at=at)
            check(tick)
            await batches.add(TICKS, partition, None, encode(tick))

    async def flush(self) -> None:
        """Wait until all in-sync replicas have everything that was sent.

        Raises
        ------
        PublishError
            They do not within the deadline, or refused some; it names the topics.
        """
        _, batches = self._connected()
        self._since_flush = False
        await batches.flush()

    async def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has.

        Raises
        ------
        PublishError
            There is no such topic, or no broker answers.
        """
        producer, _ = self._connected()
        try:
            async with asyncio.timeout(self._deadline_s):
                known = await producer.partitions_for(topic)
        except (KafkaError, TimeoutError) as error:
            raise PublishError(f"{topic}: {type(error).__name__}. `wardstream topics create` makes it.") from error
        self._partitions[topic] = len(known)
        return len(known)

    async def _add(self, topic: str, patient_id: str, value: bytes) -> None:
        _, batches = self._connected()
        partitions = self._partitions.get(topic) or await self.partitions(topic)
        key, partition = place(patient_id, partitions)
        self._since_flush = True
        await batches.add(topic, partition, key, value)

    def _connected(self) -> tuple[AIOKafkaProducer, Batches]:
        if self._connection is None:
            raise RuntimeError("use the publisher in `async with`")
        return self._connection


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
    """Stop without hanging on a dead cluster; whoever waited for acknowledgements has been told."""
    with suppress(KafkaError, TimeoutError):
        async with asyncio.timeout(STOP_GRACE_S):
            await producer.stop()
