"""One lane's transactional producer, and the batched read of its changelog.

The transactional id is `<app>-lane-<n>`: opening it fences whoever held the lane before, and finishes or aborts what
they left open. So it is opened *before* the changelog is read: the changelog's end is then stable.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    KafkaError,
    ProducerFenced,
    TransactionCoordinatorFenced,
)

from wardstream.agents.streams.fetched import unwrap
from wardstream.agents.streams.outputs import Row

FENCED = (ProducerFenced, InvalidProducerEpoch, InvalidProducerIdMapping, TransactionCoordinatorFenced)

OPEN_DEADLINE_S = 30.0
COMMIT_DEADLINE_S = 15.0
CLOSE_DEADLINE_S = 5.0
RESTORE_STALL_S = 20.0  # without one more row of the changelog
RESTORED_AT_ONCE = 20_000  # rows, then other lanes have their turn
TRANSACTION_TIMEOUT_MS = 20_000  # the broker aborts what a dead worker left open after this; longer than our deadline
MAX_REQUEST_BYTES = 4 << 20  # a dead letter of the largest record still fits

Rows = Mapping[tuple[str, int], list[Row]]


class LaneProducer:
    """Writes one transaction a batch. Every wait has a deadline; after any failure it is closed, not reused."""

    def __init__(self, lane: int, app_id: str, client: Mapping[str, Any]) -> None:
        self._producer = AIOKafkaProducer(
            **client,
            transactional_id=f"{app_id}-lane-{lane}",
            linger_ms=0,
            max_batch_size=1 << 20,
            max_request_size=MAX_REQUEST_BYTES,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            request_timeout_ms=10_000,
            retry_backoff_ms=3,  # the default of 100 ms is what every transaction would wait
        )

    async def open(self) -> None:
        async with asyncio.timeout(OPEN_DEADLINE_S):
            await self._producer.start()

    async def commit(self, rows: Rows, offsets: Mapping[TopicPartition, int], group: str) -> None:
        """Write rows and offsets in one transaction. An error leaves the outcome open: restore before going on."""
        async with asyncio.timeout(COMMIT_DEADLINE_S):
            await self._producer.begin_transaction()
            sent: list[asyncio.Future[Any]] = []
            try:
                for (topic, partition), partition_rows in rows.items():
                    await self._send(topic, partition, partition_rows, sent)
            finally:
                outcomes = await asyncio.gather(*sent, return_exceptions=True)
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome
            if offsets:
                await self._producer.send_offsets_to_transaction(dict(offsets), group)
            await self._producer.commit_transaction()

    async def _send(self, topic: str, partition: int, rows: list[Row], sent: list[asyncio.Future[Any]]) -> None:
        """Whole record batches to a known partition: three times the speed of a `send` a record."""
        batch, none = self._producer.create_batch(), list[tuple[str, bytes]]()
        for row in rows:
            headers = list(row.headers) if row.headers else none  # aiokafka's builder takes nothing else
            if batch.append(key=row.key, value=row.value, timestamp=row.timestamp_ms, headers=headers) is None:  # full
                sent.append(await self._producer.send_batch(batch, topic, partition=partition))
                batch = self._producer.create_batch()  # the first always fits
                batch.append(key=row.key, value=row.value, timestamp=row.timestamp_ms, headers=headers)
        if batch.record_count():
            sent.append(await self._producer.send_batch(batch, topic, partition=partition))

    async def close(self) -> None:
        """Stop at once. What is open is aborted when the lane is opened again, here or elsewhere, or by its timeout.

        aiokafka's `stop` would wait for what is unsent, as long as brokers are away; but nothing is unsent after a
        commit, and what a failed one has left must not be sent.
        """
        producer, sender = self._producer, self._producer._sender.sender_task
        producer._closed = True
        with contextlib.suppress(KafkaError, TimeoutError, OSError):
            async with asyncio.timeout(CLOSE_DEADLINE_S):
                if sender is not None:
                    sender.cancel()
                await producer.client.close()  # fails what is in flight
                while sender is not None and not sender.done():
                    sender.cancel()  # it waits for its requests, one by one
                    await asyncio.wait({sender}, timeout=0.1)


async def read_changelog(
    topic: str, lane: int, client: Mapping[str, Any], on_read: Callable[[], None] = lambda: None
) -> dict[bytes, bytes]:
    """The latest row of every key of one changelog partition; `on_read` is called as they come.

    Raises
    ------
    TimeoutError : no further row came for `RESTORE_STALL_S` although the end was not reached.
    """
    tp, rows = TopicPartition(topic, lane), dict[bytes, bytes]()
    consumer = AIOKafkaConsumer(
        **client,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",  # were rows removed before they are read, the newest would seem to be all
        isolation_level="read_committed",
        fetch_max_wait_ms=100,
    )
    async with asyncio.timeout(OPEN_DEADLINE_S):
        await consumer.start()
    try:
        async with asyncio.timeout(OPEN_DEADLINE_S):
            consumer.assign([tp])
            end = (await consumer.end_offsets([tp]))[tp]
            consumer.seek(tp, (await consumer.beginning_offsets([tp]))[tp])
        while True:
            async with asyncio.timeout(RESTORE_STALL_S):
                position = await consumer.position(tp)
                if position >= end:
                    return rows
                while not (first := await consumer.getmany(timeout_ms=200, max_records=1)):
                    if await consumer.position(tp) != position:  # only markers
                        break
                unwrap(consumer, tp)  # what came with the first
                rest = await consumer.getmany(max_records=RESTORED_AT_ONCE)
            on_read()
            for record in chain(first.get(tp, ()), rest.get(tp, ())):
                value = record.value
                if value is None:
                    rows.pop(record.key, None)
                else:
                    rows[record.key] = value
    finally:
        with contextlib.suppress(KafkaError, TimeoutError, OSError):
            async with asyncio.timeout(CLOSE_DEADLINE_S):
                await consumer.stop()
