"""Dead letters published again, each once.

A replay writes the raw record to its topic and a note to the dead-letter topic, both in one transaction. So a letter is
not replayed a second time unless that is asked for, even where the command is killed and run again, or run twice at the
same time. The event_id alone would not do: lanes know the last 128 ids of a patient, which is two hours of a monitor.
What is bad still becomes a new letter; it may be replayed again.

The letter of a gateway holds an HL7 v2 message, not an event. It is mapped again, with the present settings of its
feed, and what comes of it is published; what still cannot be mapped stays as it is. Who the patient was then is left
out where the feed has told it again since: a compacted table keeps what is written last. So is a row of such a table
that is no longer the last of its key: what is newer holds.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence, Set
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import IllegalOperation, KafkaError

from wardstream.agents.streams.dead_letters import DeadLetters, RawRecord
from wardstream.agents.streams.producer import CLOSE_DEADLINE_S, MAX_REQUEST_BYTES, OPEN_DEADLINE_S
from wardstream.infra.dead import FEED, NOTE, DeadLetterError, Done, Letter, Place, Selection, letters, translated
from wardstream.infra.gateways.delivery import Row
from wardstream.infra.identities import newest_identities
from wardstream.infra.kafka.reading import records
from wardstream.schemas.identities import TOPIC as IDENTITIES
from wardstream.schemas.topics import TOPICS, dead

Remap = Callable[[str, RawRecord], Sequence[Row] | None]
"""Maps the message of a feed's letter again; None: it still cannot be mapped. KeyError: there is no such feed."""

REPLAYED_FROM = "replayed-from"
_COMMIT_DEADLINE_S = 30.0
_CHUNK_LETTERS = 500
_CHUNK_BYTES = 2 << 20


async def replay(
    options: Mapping[str, Any],
    app_id: str,
    sealed_by: DeadLetters,
    names: Sequence[str],
    selection: Selection,
    done: Done = lambda done, total: None,
    remap: Remap | None = None,
) -> Counter[str]:
    """Publish letters again, to the topics they came from.

    Parameters
    ----------
    options, app_id
        The cluster, and what the transactions are named after.
    sealed_by
        Opens the letters.
    names
        Dead-letter topics.
    selection
        Which letters of theirs.
    done
        Told how many of the selected letters are done.
    remap
        Maps the letters of gateways; None: they are left alone.

    Returns
    -------
    Counter
        Letters by outcome: `replayed`; `before` (left out, because they were replayed before); `cut` (left out, because
        only the beginning is kept); `empty` (left out: a record without a value); `sealed` (with another key);
        `unmapped` (left out: of a feed, and still not mapped); `feed` (left out: of a feed that we know nothing of);
        `overtaken` (left out: a row of a compacted table that has a newer one).

    Raises
    ------
    DeadLetterError
        Kafka failed or did not answer in time. What was acknowledged until then has its notes.
    """
    outcome: Counter[str] = Counter()
    async with translated(), _producer(options, app_id) as producer:  # first: it ends whatever another replay has open
        chosen, outcome["before"] = await _chosen(options, names, selection)
        told = {} if remap is None or not chosen else await newest_identities(options)
        last = await _last_rows(options, {topic for topic, _, _ in chosen})
        chunk: list[tuple[Letter, list[_Again]]] = []
        handled = size = 0
        async with aclosing(letters(options, names, selection.since)) as all_letters:
            async for found in all_letters:
                if found.place not in chosen:
                    continue
                handled += 1
                refused, again = _opened(found, sealed_by, remap, told, last)
                if again is None:
                    outcome[refused] += 1
                    continue
                chunk.append((found, again))
                size += sum(len(record.value) for record in again)
                if len(chunk) >= _CHUNK_LETTERS or size >= _CHUNK_BYTES:
                    outcome["replayed"] += await _publish(producer, chunk)
                    chunk, size = [], 0
                    done(handled, len(chosen))
        outcome["replayed"] += await _publish(producer, chunk)
        done(handled, len(chosen))
    return outcome


async def _chosen(options: Mapping[str, Any], names: Sequence[str], selection: Selection) -> tuple[set[Place], int]:
    """The letters to replay, and how many of the selected are left out because they were replayed before."""
    chosen: set[Place] = set()
    noted: set[Place] = set()
    async with aclosing(letters(options, names, selection.since)) as all_letters:
        async for found in all_letters:
            if found.note_of is not None:
                noted.add((found.topic, found.partition, found.note_of))
            elif selection.takes(found):
                chosen.add(found.place)
    if selection.repeat == "allowed":
        return chosen, 0
    return chosen - noted, len(chosen & noted)


async def _last_rows(options: Mapping[str, Any], names: Collection[str]) -> set[Place]:
    """Where the last record of each key is, in the compacted topics whose dead letters these are."""
    last: dict[tuple[str, int, bytes | None], int] = {}
    for topic in TOPICS.values():
        if topic.compacted and dead(topic.name) in names:
            async for record in records(options, topic.name):
                last[topic.name, record.partition, record.key] = record.offset
    return {(topic, partition, offset) for (topic, partition, _), offset in last.items()}


class _Again(NamedTuple):
    """A record to write; without a partition its key leads it."""

    topic: str
    value: bytes
    key: bytes | None
    partition: int | None
    headers: list[tuple[str, bytes]]


def _opened(
    found: Letter, sealed_by: DeadLetters, remap: Remap | None, told: Mapping[str, datetime], last: Set[Place]
) -> tuple[str, list[_Again] | None]:
    """What to write again, or why it is left out.

    `told`: when identities were told last, by key; `last`: where the last records of compacted tables are.
    """
    if found.cut is not None:
        return "cut", None
    try:
        raw = found.open(sealed_by)
    except DeadLetterError:
        return "sealed", None
    if raw.value is None:
        return "empty", None
    topic, partition, offset = found.origin.rsplit("/", 2)
    from_here = (REPLAYED_FROM, str(found).encode())
    if topic.startswith(FEED):
        try:
            rows = None if remap is None else remap(topic.removeprefix(FEED), raw)
        except KeyError:
            return "feed", None
        if rows is None:
            return "feed" if remap is None else "unmapped", None
        at = datetime.fromtimestamp(raw.timestamp_ms / 1000, UTC)
        rows = [row for row in rows if row.topic != IDENTITIES.name or told.get(row.key or "", at) <= at]
        return "", [_Again(row.topic, row.value, (row.key or "").encode(), None, [from_here]) for row in rows]
    known = TOPICS.get(topic)
    if known is not None and known.compacted and (topic, int(partition), int(offset)) not in last:
        return "overtaken", None  # also by a tombstone that is compacted away: the last of a key always stays
    # A key leads to its patient's lane, wherever the record was; else (no key, or none of a patient) the partition was
    # chosen.
    fixed = raw.key is None or (known is not None and (known.keyed_by != "patient_id" or not known.in_lanes))
    headers = [(k, v) for k, v in raw.headers if v is not None and k != REPLAYED_FROM]
    return "", [_Again(topic, raw.value, raw.key, int(partition) if fixed else None, [*headers, from_here])]


async def _publish(producer: AIOKafkaProducer, chunk: Sequence[tuple[Letter, list[_Again]]]) -> int:
    """One transaction: the records and the notes."""
    if not chunk:
        return 0
    now = datetime.now(UTC).isoformat(timespec="seconds").encode()
    async with asyncio.timeout(_COMMIT_DEADLINE_S):
        async with producer.transaction():
            sent = []
            for found, again in chunk:
                for topic, value, key, partition, headers in again:
                    sent.append(await producer.send(topic, value, key, partition, headers=headers))
                note = [(NOTE, b"%d" % found.offset), ("at", now)]
                sent.append(await producer.send(found.topic, b"", None, found.partition, headers=note))
            await asyncio.gather(*sent)
    return len(chunk)


@asynccontextmanager
async def _producer(options: Mapping[str, Any], app_id: str) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(
        **options,
        transactional_id=f"{app_id}-dead-replay",
        max_request_size=MAX_REQUEST_BYTES,
        request_timeout_ms=15_000,
        retry_backoff_ms=20,
    )
    try:
        async with asyncio.timeout(OPEN_DEADLINE_S):
            await producer.start()
        yield producer
    finally:
        with contextlib.suppress(KafkaError, IllegalOperation, TimeoutError, OSError):
            async with asyncio.timeout(CLOSE_DEADLINE_S):
                await producer.stop()
