"""Records as aiokafka has fetched them, without what it wraps each of them in."""

from __future__ import annotations

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import FetchResult


def unwrap(consumer: AIOKafkaConsumer, tp: TopicPartition) -> None:
    """Have the next `getmany` return what was fetched ahead of a partition as the records themselves.

    They have all that lanes need (offset, timestamp, key, value, headers). To wrap each in a `ConsumerRecord`, as
    aiokafka does otherwise, takes as long as to decode an event. What is still to be fetched comes wrapped.
    """
    fetched = getattr(getattr(consumer, "_fetcher", None), "_records", {}).get(tp)
    if isinstance(fetched, FetchResult) and fetched.has_more():
        fetched._partition_records._consumer_record = lambda tp, record: record
