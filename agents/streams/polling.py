"""The consumer that all lanes of a worker share, in Faust's thread for it: polls, bounds and seeks.

aiokafka's settings are Faust's but for what lanes need; see `_create_worker_consumer`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from wardstream.agents.streams.assignor import LaneAssignor, OneLaneAssignor
from wardstream.agents.streams.fetched import unwrap
from wardstream.agents.streams.places import reads_whole

log = logging.getLogger(__name__)

LEAVE_S = 5.0  # to leave the group; who does not is out of it when the session ends
FOREVER_MS = 2**31 - 1
METADATA_AGE_MS = 10_000  # how soon a topic that was made anew, or has more partitions, is noticed


class Poll(NamedTuple):
    """What one poll brought, by input, and where it left each input."""

    records: dict[str, list[Any]]
    before: dict[str, int]
    after: dict[str, int]
    ends: dict[str, int | None]  # last stable offset; None before the first fetch
    seen_ms: dict[str, int]  # when the broker last answered a fetch
    begins: dict[str, int]  # first offset of the inputs in which the poll met a gap


class LaneConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer thread with a consumer for lanes. Its coroutines run in that thread."""

    consumer: Any  # the `LaneConsumer` it works for

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        conf = self.app.conf
        return AIOKafkaConsumer(
            **self.consumer.settings.client,
            client_id=conf.broker_client_id,
            group_id=conf.id,
            partition_assignment_strategy=[
                OneLaneAssignor if reads_whole(self.consumer.settings.topics) else LaneAssignor
            ],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",  # inputs may be outputs of transactions too
            fetch_max_wait_ms=50,  # Faust's 1,500 would keep an idle lane's next event behind an empty fetch
            max_poll_records=conf.broker_max_poll_records,
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            # A worker that owns no lane never polls; aiokafka would leave the group for it, and never come back.
            max_poll_interval_ms=FOREVER_MS,
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            metadata_max_age_ms=METADATA_AGE_MS,
        )

    async def on_thread_stop(self) -> None:
        """Leave the group, if Kafka takes that in time: aiokafka would look for it for ever."""
        try:
            async with asyncio.timeout(LEAVE_S):
                await super().on_thread_stop()
        except (TimeoutError, asyncio.CancelledError):
            # Cancelled by what we have waited for: nobody cancels the end of this thread.
            log.warning("the group is not left in order: Kafka does not answer")

    async def poll(self, tps: Mapping[str, TP], wanted: set[str], timeout_s: float) -> Poll:
        consumer = self._ensure_consumer()
        own = {topic: TopicPartition(*tp) for topic, tp in tps.items()}
        names = {tp: topic for topic, tp in own.items()}
        before = {topic: await consumer.position(tp) for topic, tp in own.items()}
        for tp in own.values():
            unwrap(consumer, tp)
        # without a partition `getmany` would take those of the other lanes
        got = (
            await consumer.getmany(*(own[topic] for topic in wanted), timeout_ms=int(timeout_s * 1000))
            if wanted
            else {}
        )
        after = {topic: await consumer.position(tp) for topic, tp in own.items()}
        ends = {topic: consumer.last_stable_offset(tp) for topic, tp in own.items()}
        seen_ms = {topic: consumer.last_poll_timestamp(tp) or 0 for topic, tp in own.items()}
        # Gaps are markers and aborted records, as a rule; but aiokafka also goes on silently after lost ones.
        met = {topic: got[tp][0].offset if got.get(tp) else after[topic] for topic, tp in own.items()}
        gaps = [own[topic] for topic, offset in met.items() if offset > before[topic]]
        begins = await consumer.beginning_offsets(gaps) if gaps else {}
        return Poll(
            {names[tp]: records for tp, records in got.items()},
            before,
            after,
            ends,
            seen_ms,
            {names[tp]: begin for tp, begin in begins.items()},
        )

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Faust seeks after each rebalance. Lanes know better where they stand."""
        consumer, topics = self._ensure_consumer(), self.consumer.settings.sources
        others = [tp for tp in consumer.assignment() if tp.topic not in topics]
        found: Mapping[TP, int] = await self.call_thread(consumer.seek_to_committed, *others) if others else {}
        return found

    async def bounds(self, tps: Mapping[str, TP]) -> tuple[dict[str, int], dict[str, int]]:
        """First and next offset of each input."""
        consumer = self._ensure_consumer()
        names = {TopicPartition(*tp): topic for topic, tp in tps.items()}
        begins, ends = await consumer.beginning_offsets(list(names)), await consumer.end_offsets(list(names))
        return {names[tp]: at for tp, at in begins.items()}, {names[tp]: at for tp, at in ends.items()}

    async def seek_all(self, tps: Mapping[str, TP], offsets: Mapping[str, int]) -> None:
        consumer = self._ensure_consumer()
        for topic, tp in tps.items():
            consumer.seek(TopicPartition(*tp), offsets[topic])
