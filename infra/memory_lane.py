"""A worker's lane without Kafka: handlers, state and order are the worker's own, what it writes is handed over.

For questions about what would be, or was, told: replays of recorded patients, and alerts that are explained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, NamedTuple
from uuid import UUID

from wardstream.agents import handovers, predicting
from wardstream.agents.patients import Rules
from wardstream.agents.streams.batch import Batch, Handler
from wardstream.agents.streams.dead_letters import DeadLetters
from wardstream.agents.streams.lane import Lane, LaneSettings
from wardstream.agents.streams.order import SLICE_S
from wardstream.agents.streams.outputs import Row
from wardstream.agents.streams.state import LaneState
from wardstream.infra.worker import CLOCK_TOPIC, HANDLERS, output_partition
from wardstream.models.patient import PatientCodec
from wardstream.schemas.decode import decoder, encode
from wardstream.schemas.partition import partition_of

_IDS: Final = {topic: UUID(int=number) for number, topic in enumerate(HANDLERS, start=1)}
_RANK: Final = {CLOCK_TOPIC: -1} | {topic: n for n, topic in enumerate(t for t in HANDLERS if t != CLOCK_TOPIC)}

_DEADLINE_S: Final = 600.0  # nobody waits at a bedside

Written = Callable[[str, Row], None]
"""Takes each row that the lane writes, with its topic."""


class Line(NamedTuple):
    """A record of an input, as Kafka's client would give it."""

    topic: str
    offset: int
    value: bytes | None
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp: int = 0


class MemoryLane(Lane):
    """One lane in memory.

    Parameters
    ----------
    rules : Rules
        As a worker's.
    written : callable
        Takes what is written. What a lane writes for other lanes is written, too.
    number, lanes : int
        Which lane of how many.
    at_end : Handler or None
        In place of the worker's, which asks the models.
    """

    def __init__(
        self, rules: Rules, written: Written, number: int = 0, lanes: int = 1, at_end: Handler | None = None
    ) -> None:
        super().__init__(
            number,
            LaneSettings(
                app_id="memory",
                client={},
                topics=tuple(HANDLERS),
                clock_topic=CLOCK_TOPIC,
                changelog=_CHANGELOG,
                decoders={topic: decoder(topic) for topic in HANDLERS},
                encode=encode,
                codec=PatientCodec(),
                dead_letters=DeadLetters(bytes(32)),  # nobody keeps them
                lanes=lanes,
                lane_of=partial(partition_of, partitions=lanes),
                partition_of=output_partition,
                follows=handovers.follows,
                at_end=at_end or predicting.at_end(rules),
                handler_deadline_s=_DEADLINE_S,
            ),
        )
        self._handlers = {topic: make(rules) for topic, make in HANDLERS.items()}
        self._producer = _Recorder(written)  # type: ignore[assignment]  # what of a producer a commit needs
        self.state = LaneState(self.settings.codec, {})
        nowhere, everything = dict.fromkeys(HANDLERS, 0), dict.fromkeys(HANDLERS, 2**62)
        self.start_offsets(_IDS, nowhere, everything)

    async def take(self, lines: Iterable[Line], answers: Callable[[], Sequence[Line]] = tuple) -> None:
        """Apply records: in the order of time, of one topic in that of their offsets, a slice of a minute at once.

        A record that comes too late for its slice is taken with the one that is at hand, as a lane takes it. `answers`
        are asked for after each slice, and follow at once.
        """
        for _, run in groupby(self._ordered(lines), key=itemgetter(0)):
            await self.apply([received for _, received in run], self._dispatch)
            while given := answers():
                await self.apply([received for _, received in self._ordered(given)], self._dispatch)

    def _ordered(self, lines: Iterable[Line]) -> Iterator[tuple[float, Any]]:
        """Each record with the slice in which it is handled."""
        read: list[tuple[float, int, Any]] = []
        for topic, some in groupby(sorted(lines, key=lambda line: _RANK[line.topic]), key=lambda line: line.topic):
            latest = 0.0
            for received in self.decode(topic, list(some), latest):
                latest = max(latest, received.time // SLICE_S)
                read.append((latest, _RANK[topic], received))
        read.sort(key=itemgetter(0, 1))
        return ((number, received) for number, _, received in read)

    async def _dispatch(self, topic: str, batch: Batch[Any, Any]) -> None:
        await self._handlers[topic](batch)


_CHANGELOG: Final = "changelog"


class _Recorder:
    def __init__(self, written: Written) -> None:
        self._written = written

    async def commit(self, rows: Mapping[tuple[str, int], Sequence[Row]], offsets: Any, group: str) -> None:
        for (topic, _), some in rows.items():
            if topic != _CHANGELOG:
                for row in some:
                    self._written(topic, row)
