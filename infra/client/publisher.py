"""Publishing events: validated, keyed, batched, and acknowledged by every in-sync replica.

There are two ways: to Kafka itself, and through a gateway over HTTPS with a token. Each event is decoded again after
encoding, by the decoder that the workers use: what is accepted here cannot become a dead letter there, for 2 µs an
event. On the way to Kafka the partition is computed here: a client with another partitioner would put a patient's labs
and vitals into different lanes.

Order: events of one partition keep the order in which they were given. Nothing is promised between partitions but for
`publish_tick`, which comes after all that was given before it.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Self
from uuid import UUID, uuid5

from wardstream.client.batches import PublishError
from wardstream.client.brokers import Brokers
from wardstream.client.gateway import Gateway
from wardstream.schemas.decode import check, decoder, encode
from wardstream.schemas.envelope import Event
from wardstream.schemas.ticks import Tick
from wardstream.schemas.topics import TOPICS

TICKS = "ticks.v1"
TICK_IDS = UUID("0b1c9d53-3c3e-5d0c-9a55-6f3a7f5f9a61")  # namespace of the ids of ticks

_TOPIC_OF: dict[type, str] = {
    topic.type: name for name, topic in TOPICS.items() if topic.role == "input" and issubclass(topic.type, Event)
}


class Publisher:
    """Publishes events about patients to a wardstream cluster.

    Parameters
    ----------
    bootstrap_servers : str or sequence of str
        `host:port` of one or more brokers; or the URL of a gateway, `https://host:port`.
    token : str, optional
        For a gateway: who we are. `wardstream tokens add` makes one.
    deadline_s : float
        Longest wait for the cluster or the gateway, in seconds: to start, for room to buffer, for acknowledgements.
    linger_s : float
        How long an event may wait for others of its batch, in seconds.
    **options
        Further options of `aiokafka.AIOKafkaProducer`, such as `security_protocol`, `ssl_context`, `sasl_mechanism`;
        for a gateway `ssl_context` alone.

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
        token: str | None = None,
        deadline_s: float = 30.0,
        linger_s: float = 0.005,
        **options: Any,
    ) -> None:
        self._way: Brokers | Gateway
        if isinstance(bootstrap_servers, str) and bootstrap_servers.startswith(("https://", "http://")):
            self._way = _gateway(bootstrap_servers, token, deadline_s, linger_s, **options)
        elif token is not None:
            raise ValueError("a token is for a gateway: https://host:port")
        else:
            self._way = Brokers({"bootstrap_servers": bootstrap_servers, **options}, deadline_s, linger_s)
        self._decoders: dict[str, Callable[[bytes], object]] = {}
        self._since_flush = False  # whether anything but ticks was sent

    async def __aenter__(self) -> Self:
        """Connect.

        Raises
        ------
        PublishError
            No broker, or no gateway, lets us in within the deadline.
        """
        await self._way.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for what is not yet acknowledged unless there was an error, and disconnect."""
        try:
            if error is None:
                await self._way.flush()
        finally:
            await self._way.close()

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
        topic = topic_of(event)
        decode = self._decoders.get(topic)
        if decode is None:
            decode = self._decoders[topic] = decoder(topic)
        await self._add(topic, event.patient_id, encode_checked(event, decode))
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
        BadEvent
            The time is not valid.
        PublishError
            As `send`; or it goes through a gateway: who makes the time is at the cluster itself.
        """
        brokers = self._brokers()
        if self._since_flush:
            await self.flush()
        for partition in range(await brokers.partitions(TICKS)):
            tick_id = uuid5(TICK_IDS, f"{source}/{at.isoformat()}/{partition}")
            tick = Tick(event_id=tick_id, source=source, observed_at=at, received_at=at)
            check(tick)
            await brokers.add_at(TICKS, partition, encode(tick))

    async def flush(self) -> None:
        """Wait until all in-sync replicas have everything that was sent.

        Raises
        ------
        PublishError
            They do not within the deadline, or refused some; it names the topics.
        """
        self._since_flush = False
        await self._way.flush()

    async def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has.

        Raises
        ------
        PublishError
            There is no such topic, or no broker answers; or we publish through a gateway, which keeps that to itself.
        """
        return await self._brokers().partitions(topic)

    async def _add(self, topic: str, patient_id: str, value: bytes) -> None:
        self._since_flush = True
        await self._way.add(topic, patient_id, value)

    def _brokers(self) -> Brokers:
        if isinstance(self._way, Gateway):
            raise PublishError("partitions and ticks are Kafka's own: not through a gateway")
        return self._way


def topic_of(event: Event) -> str:
    """Return the input topic of an event.

    Raises
    ------
    TypeError
        There is none for its type.
    """
    topic = _TOPIC_OF.get(type(event))
    if topic is None:
        raise TypeError(f"no input topic takes {type(event).__name__}")
    return topic


def encode_checked(event: Event, decode: Callable[[bytes], object]) -> bytes:
    """Return an event as JSON that `decode` takes.

    Raises
    ------
    BadEvent
        The event is not valid.
    """
    try:
        value = encode(event)
    except (TypeError, ValueError, OverflowError, RecursionError):
        value = b"null"
    if b"null" in value:  # rare, as defaults are left out: an error above, or NaN, which JSON writes as null
        check(event)
        return encode(event)
    decode(value)
    return value


def _gateway(
    url: str, token: str | None, deadline_s: float, linger_s: float, ssl_context: ssl.SSLContext | None = None
) -> Gateway:
    return Gateway(url, token, deadline_s, linger_s, ssl_context)
