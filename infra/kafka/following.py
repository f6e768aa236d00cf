"""Tables in compacted topics of one partition, as they stand and as they change: for processes that obey them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError

from wardstream.infra.failure import Failure
from wardstream.infra.kafka.outlasting import outlasted
from wardstream.infra.kafka.topics import describe_topics

log = logging.getLogger(__name__)

WAIT_MS = 500
_OPEN_S = 30.0
_STALL_S = 20.0
_CLOSE_S = 5.0
_PAUSE_S = 5.0


class Follower:
    """The committed rows of some tables.

    Attributes
    ----------
    rows : dict
        The newest value of each key, by topic.
    """

    def __init__(self, client: Mapping[str, Any], topics: Sequence[str]) -> None:
        self.rows: dict[str, dict[bytes, bytes]] = {topic: {} for topic in topics}
        self._client = client
        self._consumer: AIOKafkaConsumer | None = None

    async def open(self) -> None:
        """Read what there is.

        Raises
        ------
        Failure
            There is no such topic.
        KafkaError, TimeoutError
            The cluster does not answer.
        """
        await self.close()
        async with asyncio.timeout(_OPEN_S):
            missing = self.rows.keys() - (await describe_topics(self._client, self.rows)).keys()
            if missing:
                raise Failure(f"no topic {', '.join(sorted(missing))}: `wardstream topics create` makes it")
            self._consumer = consumer = AIOKafkaConsumer(
                **self._client,
                group_id=None,
                enable_auto_commit=False,
                isolation_level="read_committed",
                fetch_max_wait_ms=100,
            )
            await consumer.start()
            parts = [TopicPartition(topic, 0) for topic in self.rows]
            consumer.assign(parts)
            ends = await consumer.end_offsets(parts)
            for part, begin in (await consumer.beginning_offsets(parts)).items():
                consumer.seek(part, begin)
        for rows in self.rows.values():
            rows.clear()
        while [part for part in parts if await consumer.position(part) < ends[part]]:
            async with asyncio.timeout(_STALL_S):
                before = [await consumer.position(part) for part in parts]
                while before == [await consumer.position(part) for part in parts]:
                    await self.wait()

    async def wait(self) -> bool:
        """Wait for changes for half a second at most; whether there were any.

        Raises
        ------
        KafkaError
            The cluster refuses, or `open` has not been done.
        """
        if self._consumer is None:
            raise KafkaConnectionError("not connected")
        found = await self._consumer.getmany(timeout_ms=WAIT_MS)
        for part, records in found.items():
            rows = self.rows[part.topic]
            for record in records:
                if record.key is None:
                    continue
                if record.value is None:
                    rows.pop(record.key, None)
                else:
                    rows[record.key] = record.value
        return bool(found)

    async def close(self) -> None:
        """Disconnect; what was read stays."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            with contextlib.suppress(KafkaError, TimeoutError, OSError):
                async with asyncio.timeout(_CLOSE_S):
                    await consumer.stop()


class Obeyer(ABC):
    """Does what tables say, from its start on and as they change.

    Parameters
    ----------
    client : mapping
        Kafka's client options.
    topics : sequence of str
        The tables.
    what : str
        What they decide, for the log.
    """

    def __init__(self, client: Mapping[str, Any], topics: Sequence[str], what: str) -> None:
        self._follower = Follower(client, topics)
        self._what = what

    @abstractmethod
    def obey(self) -> None:
        """Look at the rows as they are now."""

    async def open(self) -> None:
        """Read the tables and obey them.

        Raises
        ------
        Failure
            There is no such topic.
        KafkaError, TimeoutError
            The cluster does not answer.
        """
        await self._follower.open()
        self.obey()

    async def step(self) -> None:
        """Wait for changes for half a second, and obey them; never fails for long."""
        with outlasted(log, f"{self._what} cannot be followed"):
            if await self._follower.wait():
                self.obey()
            return
        await asyncio.sleep(_PAUSE_S)
        with outlasted(log, "nor can it be read anew; what was decided before holds"):
            await self.open()

    async def close(self) -> None:
        """Disconnect."""
        await self._follower.close()
