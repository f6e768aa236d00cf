"""The audit: one chain, whoever writes it.

A writer is a transactional producer whose id is that of the chain: opening it fences whoever was writing, and only then
is the end read. So the record before the new one is the last one, or the transaction fails and is begun anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import IllegalOperation, KafkaError, ProducerFenced

from wardstream.infra.failure import Failure
from wardstream.infra.kafka.reading import records
from wardstream.schemas.audit import BEGIN, TOPIC, AuditRecord, What
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.decode import check, decoder_of, encode

_DEADLINE_S = 30.0
_CLOSE_S = 5.0
_TRIES = 5
_PAUSE_S = 0.5
_PART = TopicPartition(TOPIC.name, 0)


class AuditError(Failure):
    """Nothing could be written to the audit, or its chain is broken."""


class Head(NamedTuple):
    """The end of a chain: how many records, and the hash of the last one (zeros: there is none)."""

    records: int
    hash: str


class Deed(NamedTuple):
    """What a record is to say, as `AuditRecord` says it."""

    at: datetime
    who: str
    what: What
    why: str
    patient_id: str | None = None
    model: str | None = None
    about: str | None = None


async def write_audit(
    options: Mapping[str, Any],
    app_id: str,
    *,
    at: datetime,
    who: str,
    what: What,
    why: str,
    patient_id: str | None = None,
    model: str | None = None,
    about: str | None = None,
) -> AuditRecord:
    """Add a record, and return when all in-sync replicas have it; raises as `write_deeds`."""
    (record,) = await write_deeds(options, app_id, [Deed(at, who, what, why, patient_id, model, about)])
    return record


async def write_deeds(options: Mapping[str, Any], app_id: str, deeds: Sequence[Deed]) -> list[AuditRecord]:
    """Add records, all of them or none, and return when all in-sync replicas have them.

    Raises
    ------
    AuditError
        It could not be written: then what it speaks of must not be done.
    BadEvent
        Who, why, the pseudonym, the model or what it is about is not valid.
    """
    for tried in range(_TRIES):
        producer = AIOKafkaProducer(
            **options, transactional_id=f"{app_id}-audit", request_timeout_ms=15_000, retry_backoff_ms=20
        )
        try:
            async with asyncio.timeout(_DEADLINE_S):
                await producer.start()
                head, written = await _head(options), []
                for deed in deeds:
                    record = AuditRecord(sequence=head.records, previous=head.hash, **deed._asdict())
                    check(record)
                    written.append(record)
                    head = Head(head.records + 1, sha256(encode(record)).hexdigest())
                async with producer.transaction():
                    sent = [await producer.send(TOPIC.name, encode(one), one.who.encode(), 0) for one in written]
                    await asyncio.gather(*sent)
                return written
        except ProducerFenced:
            pass  # another writer came between
        except (KafkaError, TimeoutError, OSError) as error:
            raise AuditError(f"the audit cannot be written: {type(error).__name__}") from error
        finally:
            with contextlib.suppress(KafkaError, IllegalOperation, TimeoutError, OSError):
                async with asyncio.timeout(_CLOSE_S):
                    await producer.stop()
        await asyncio.sleep(random.uniform(0.0, _PAUSE_S * 2**tried))  # else writers would fence each other for ever
    raise AuditError("the audit cannot be written: others write it all the time")


async def verify_audit(options: Mapping[str, Any]) -> Head:
    """Read the whole chain and return its end.

    Raises
    ------
    AuditError
        It is broken; the text says where first.
    """
    head, decode = Head(0, BEGIN), decoder_of(AuditRecord)
    async with aclosing(records(options, TOPIC.name)) as found:
        async for record in found:
            try:
                entry = decode(record.value)
            except BadEvent as bad:
                raise AuditError(f"the record at offset {record.offset} is none of the audit: {bad}") from None
            if entry.sequence != head.records or entry.previous != head.hash:
                raise AuditError(
                    f"the chain is broken at offset {record.offset}: record {entry.sequence} does not follow "
                    f"the {head.records} before it"
                )
            head = Head(head.records + 1, sha256(record.value).hexdigest())
    return head


async def _head(options: Mapping[str, Any]) -> Head:
    """The last record that was committed. Offsets of transactions have gaps, so the end is looked for backwards."""
    consumer = AIOKafkaConsumer(
        **options, isolation_level="read_committed", enable_auto_commit=False, fetch_max_wait_ms=100
    )
    await consumer.start()
    try:
        consumer.assign([_PART])
        begin = (await consumer.beginning_offsets([_PART]))[_PART]
        end = (await consumer.end_offsets([_PART]))[_PART]
        back = 16
        while True:
            start = max(end - back, begin)
            consumer.seek(_PART, start)
            last = None
            while await consumer.position(_PART) < end:
                for record in (await consumer.getmany(_PART, timeout_ms=200)).get(_PART, ()):
                    last = record if record.offset < end else last
            if last is not None:
                try:
                    sequence = decoder_of(AuditRecord)(last.value).sequence
                except BadEvent as bad:
                    raise AuditError(f"the last record of {TOPIC.name} is none of the audit: {bad}") from None
                return Head(sequence + 1, sha256(last.value).hexdigest())
            if start == begin:
                return Head(0, BEGIN)
            back *= 8
    finally:
        await consumer.stop()
