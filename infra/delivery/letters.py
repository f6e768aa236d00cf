"""Deliveries that came to nothing, and one more try at them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from msgspec.structs import replace

from wardstream.infra.delivery.receiver import Receiver
from wardstream.infra.failure import Failure
from wardstream.infra.kafka.reading import records
from wardstream.schemas.alerts import Place
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.decode import decoder_of, encode
from wardstream.schemas.deliveries import TOPIC, Delivery

_DEADLINE_S = 30.0


async def dead_letters(options: Mapping[str, Any], name: str | None = None) -> list[Delivery]:
    """What was not delivered, and not since; of one subscription, or of all.

    Raises
    ------
    Failure, KafkaError, TimeoutError
        The cluster does not answer.
    """
    last: dict[tuple[str, UUID], Delivery] = {}
    decode = decoder_of(Delivery)
    async with aclosing(records(options, TOPIC.name)) as found:
        async for record in found:
            try:
                delivery = decode(record.value)
            except BadEvent:  # of another version
                continue
            key = delivery.name, delivery.event_id
            if delivery.outcome == "delivered":
                last.pop(key, None)
            elif name in (None, delivery.name):
                last[key] = delivery
    return list(last.values())


async def retry(options: Mapping[str, Any], receiver: Receiver, letters: Sequence[Delivery]) -> list[Delivery]:
    """Post letters of one subscription again, once each, in their order; returns what became of them.

    They come late, after what has happened since: a receiver knows by `number`. What it replies is not heard.

    Raises
    ------
    Failure
        A transition is there no more.
    KafkaError, TimeoutError
        The cluster does not answer.
    """
    ended = []
    async with AIOKafkaProducer(**options, enable_idempotence=True, request_timeout_ms=15_000) as producer:
        for letter in letters:
            posted = await receiver.post(str(letter.event_id), await _value(options, letter.place))
            outcome = replace(
                letter,
                outcome="delivered" if posted.reason is None else "rejected" if posted.never else "gave_up",
                at=datetime.now(UTC),
                attempts=1,
                status=posted.status,
                reason=posted.reason,
            )
            async with asyncio.timeout(_DEADLINE_S):
                await producer.send_and_wait(TOPIC.name, encode(outcome), letter.name.encode(), 0)
            ended.append(outcome)
    return ended


async def _value(options: Mapping[str, Any], place: Place) -> bytes:
    part = TopicPartition(place.topic, place.partition)
    consumer = AIOKafkaConsumer(
        **options, isolation_level="read_committed", enable_auto_commit=False, auto_offset_reset="none"
    )
    try:
        async with asyncio.timeout(_DEADLINE_S):
            await consumer.start()
            consumer.assign([part])
            begin = (await consumer.beginning_offsets([part]))[part]
            if place.offset >= begin:
                consumer.seek(part, place.offset)
                record = await consumer.getone(part)
                if record.offset == place.offset:
                    return bytes(record.value)
    finally:
        await consumer.stop()
    raise Failure(f"{place.topic}, partition {place.partition}: offset {place.offset} is there no more")
