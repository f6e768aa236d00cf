"""The way to the topics over Kafka: one idempotent producer, and the batches on their way to it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import lru_cache
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from wardstream.client.batches import BATCH_BYTES, Batches, Headers, PublishError
from wardstream.schemas.partition import partition_of

STOP_GRACE_S = 5.0


@lru_cache(maxsize=1 << 16)
def place(patient_id: str, partitions: int) -> tuple[bytes, int]:
    """Return the Kafka key and the partition of a patient."""
    return patient_id.encode(), partition_of(patient_id, partitions)


class Brokers:
    """A connection to a cluster.

    Parameters
    ----------
    options : dict
        Of `aiokafka.AIOKafkaProducer`, `bootstrap_servers` among them.
    deadline_s : float
        Longest wait for the cluster, in seconds: to open, for room to buffer, for acknowledgements.
    linger_s : float
        How long a record may wait for others of its batch, in seconds.
    """

    def __init__(self, options: dict[str, Any], deadline_s: float, linger_s: float) -> None:
        self._options, self._deadline_s, self._linger_s = options, deadline_s, linger_s
        self._connection: tuple[AIOKafkaProducer, Batches] | None = None
        self._partitions: dict[str, int] = {}

    async def open(self) -> None:
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

    async def close(self) -> None:
        """Disconnect; what is not acknowledged may be lost."""
        if self._connection is not None:
            producer, batches = self._connection
            self._connection = None
            batches.close()
            await _stop(producer)

    async def add(self, topic: str, patient_id: str, value: bytes, headers: Headers = ()) -> None:
        """Buffer a record in its patient's partition; waits while too much is buffered.

        Raises
        ------
        PublishError
            The cluster has not taken earlier records, or takes none within the deadline.
        """
        _, batches = self._connected()
        key, partition = place(patient_id, self._partitions.get(topic) or await self.partitions(topic))
        await batches.add(topic, partition, key, value, headers)

    async def add_at(self, topic: str, partition: int, value: bytes, headers: Headers = ()) -> None:
        """Buffer a record without a key; otherwise as `add`."""
        _, batches = self._connected()
        await batches.add(topic, partition, None, value, headers)

    async def flush(self) -> None:
        """Wait until all in-sync replicas have everything that was added.

        Raises
        ------
        PublishError
            They do not within the deadline, or refused some; it names the topics.
        """
        _, batches = self._connected()
        await batches.flush()

    async def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has; asked once.

        Raises
        ------
        PublishError
            There is no such topic, or no broker answers.
        """
        if (known := self._partitions.get(topic)) is not None:
            return known
        producer, _ = self._connected()
        try:
            async with asyncio.timeout(self._deadline_s):
                found = len(await producer.partitions_for(topic))
        except (KafkaError, TimeoutError) as error:
            raise PublishError(f"{topic}: {type(error).__name__}. `wardstream topics create` makes it.") from error
        self._partitions[topic] = found
        return found

    def _connected(self) -> tuple[AIOKafkaProducer, Batches]:
        if self._connection is None:
            raise RuntimeError("use the publisher in `async with`")
        return self._connection


async def _stop(producer: AIOKafkaProducer) -> None:
    """Stop without hanging on a dead cluster; whoever waited for acknowledgements has been told."""
    sender: asyncio.Task[None] | None = producer._sender.sender_task
    with suppress(KafkaError, TimeoutError):
        async with asyncio.timeout(STOP_GRACE_S):
            await producer.stop()
    if sender is not None and not sender.done():  # else it would send later what has been sent again by then
        with suppress(KafkaError, TimeoutError, OSError):
            async with asyncio.timeout(STOP_GRACE_S):
                await producer.client.close()
                while not sender.done():
                    sender.cancel()  # it waits for its requests, one by one
                    await asyncio.wait({sender}, timeout=0.1)
