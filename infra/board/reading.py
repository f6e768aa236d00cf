"""Kafka as the board reads it: one consumer without a group, for all boards of this process.

Tables are read whole; of events, as much as is kept (by when they were written). Where Kafka goes away, reading goes on
from where it was when it is back, and what is known stays: the boards say how old it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from wardstream.infra.board.board import Board
from wardstream.infra.failure import Failure
from wardstream.infra.kafka.outlasting import outlasted
from wardstream.infra.kafka.topics import describe_topics
from wardstream.schemas.admissions import TOPIC as ADMISSIONS
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.decode import decoder_of
from wardstream.schemas.directives import TOPIC as DIRECTIVES
from wardstream.schemas.envelope import Event
from wardstream.schemas.findings import TOPIC as FINDINGS
from wardstream.schemas.imaging import TOPIC as IMAGING
from wardstream.schemas.labs import TOPIC as LABS
from wardstream.schemas.model_controls import TOPIC as CONTROLS
from wardstream.schemas.model_controls import ModelControl
from wardstream.schemas.occupancy import TOPIC as OCCUPANCY
from wardstream.schemas.occupancy import tombstone
from wardstream.schemas.predictions import TOPIC as PREDICTIONS
from wardstream.schemas.scores import TOPIC as SCORES
from wardstream.schemas.ticks import TOPIC as TICKS
from wardstream.schemas.ticks import Tick
from wardstream.schemas.topics import TOPICS
from wardstream.schemas.vitals import TOPIC as VITALS

log = logging.getLogger(__name__)

DAY_S: Final = 24 * 3600.0
LOOK_BACK_S: Final[dict[str, float]] = {
    **dict.fromkeys((VITALS.name, LABS.name, SCORES.name, PREDICTIONS.name, FINDINGS.name, IMAGING.name), DAY_S),
    DIRECTIVES.name: 7 * DAY_S,  # an order ends within a week
    ADMISSIONS.name: 30 * DAY_S,  # for orders on resuscitation
    TICKS.name: 600.0,
}
"""Events: how far back they are read, s."""
TABLES: Final = (OCCUPANCY.name, CONTROLS.name)
_FED: Final = frozenset((VITALS.name, LABS.name, IMAGING.name, ADMISSIONS.name))  # by sources outside
CHECK_S: Final = 5.0
_OPEN_S: Final = 60.0
_LANES_S: Final = 60.0  # to notice that there are more
_ANSWER_S: Final = 10.0
_CLOSE_S: Final = 5.0
_WAIT_MS: Final = 200
_AT_ONCE: Final = 1000  # records
_PAUSE_S: Final = 2.0

Take = Callable[[Any, str], None]


class Reading:
    """Reads for a board.

    Parameters
    ----------
    client : mapping
        Kafka's client options.
    heard : callable
        Told of each input its source, and when it was written.
    others : mapping of str to (float, callable)
        Other topics to be read: how far back (s; infinity: whole), and what takes each message of theirs and its key.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        board: Board,
        heard: Callable[[str, float], None],
        others: Mapping[str, tuple[float, Take]],
    ) -> None:
        self._client, self._board, self._heard = client, board, heard
        self._others = {topic: take for topic, (_, take) in others.items()}
        self._back = LOOK_BACK_S | {topic: back for topic, (back, _) in others.items()}
        self._reached: dict[TopicPartition, int] = {}
        self._newest = 0.0  # when the newest record that was read was written, s since 1970

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            with outlasted(log, "the ward cannot be read"):
                await self._read()
            self._board.source_ok = False
            await asyncio.sleep(_PAUSE_S)

    async def _read(self) -> None:
        consumer = AIOKafkaConsumer(
            **self._client,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # of records that retention has removed meanwhile
            isolation_level="read_committed",
            fetch_max_wait_ms=100,
        )
        try:
            async with asyncio.timeout(_OPEN_S):
                parts = await self._partitions()
                await consumer.start()
                consumer.assign(parts)
                for part, offset in (await self._begin(consumer, parts)).items():
                    consumer.seek(part, offset)
                ends = await consumer.end_offsets(parts)
            # Who is there first: of who is not, little is kept.
            for some in ([part for part in parts if part.topic in TABLES], parts):
                while behind := [part for part in some if await consumer.position(part) < ends[part]]:
                    await self._step(consumer, behind)
            self._board.source_ok = True
            self._board.begin()
            checked = counted = time.monotonic()
            while True:
                await self._step(consumer, parts)
                if (now := time.monotonic()) - checked >= CHECK_S:
                    await self._check(consumer, parts)
                    checked = now
                if now - counted >= _LANES_S:
                    async with asyncio.timeout(_OPEN_S):
                        if await self._partitions() != parts:
                            raise Failure("lanes are being added")
                    counted = now
        finally:
            with contextlib.suppress(KafkaError, TimeoutError, OSError):
                async with asyncio.timeout(_CLOSE_S):
                    await consumer.stop()

    async def _partitions(self) -> list[TopicPartition]:
        wanted = [*TABLES, *self._back]
        present = await describe_topics(self._client, wanted)
        if missing := set(wanted) - present.keys():
            raise Failure(f"no topic {', '.join(sorted(missing))}: `wardstream topics create` makes it")
        return [TopicPartition(topic, one.number) for topic in wanted for one in present[topic].partitions]

    async def _begin(self, consumer: Any, parts: list[TopicPartition]) -> dict[TopicPartition, int]:
        """Where to read from: where we were; else as far back as is kept."""
        found = {part: self._reached[part] for part in parts if part in self._reached}
        new = [part for part in parts if part not in found]
        found |= await consumer.beginning_offsets([part for part in new if self._whole(part.topic)])
        events = [part for part in new if not self._whole(part.topic)]
        now, ends = time.time(), await consumer.end_offsets(events)
        times = {part: int((now - self._back[part.topic]) * 1000) for part in events}
        for part, at in (await consumer.offsets_for_times(times)).items() if times else ():
            found[part] = ends[part] if at is None else at.offset
        return found

    def _whole(self, topic: str) -> bool:
        return self._back.get(topic, float("inf")) == float("inf")

    async def _step(self, consumer: Any, parts: list[TopicPartition]) -> None:
        """Take what there is, for a fifth of a second at most."""
        found = await consumer.getmany(*parts, timeout_ms=_WAIT_MS, max_records=_AT_ONCE)
        for part, records in found.items():
            for record in records:
                self._take(part.topic, record)
            self._reached[part] = records[-1].offset + 1
            self._newest = max(self._newest, records[-1].timestamp / 1000)
        await asyncio.sleep(0)

    async def _check(self, consumer: Any, parts: list[TopicPartition]) -> None:
        """Whether Kafka is there (a consumer does not say when it is not), and how far we are behind."""
        async with asyncio.timeout(_ANSWER_S):
            ends = await consumer.end_offsets(parts)
            behind = any([await consumer.position(part) < end for part, end in ends.items()])
        self._board.behind_s = max(0.0, time.time() - self._newest) if behind else 0.0

    def _take(self, topic: str, record: Any) -> None:
        ward = self._board.ward
        try:
            if topic == OCCUPANCY.name and not record.value:
                ward.withdraw(tombstone(record.key, record.headers, record.timestamp))
                return
            event = decoder_of(TOPICS[topic].type)(record.value)
        except BadEvent:
            return  # the worker makes a dead letter of it
        match event:
            case Event():
                ward.apply(event)
                if topic in _FED:
                    self._heard(event.source, record.timestamp / 1000)
            case Tick():
                self._board.clock.tick(event)
            case ModelControl():
                ward.control(event)
        if (take := self._others.get(topic)) is not None:
            take(event, (record.key or b"").decode(errors="replace"))
