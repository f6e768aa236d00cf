"""Several lanes and their Kafka in memory: lanes, state, handlers and their settings are the worker's own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from uuid import UUID

from tests.agents.bedside import MemoryRows
from tests.agents.streams.fakes import Record
from tests.events import topic_of
from wardstream.agents import handovers, predicting
from wardstream.agents.patients import Rules
from wardstream.agents.streams.batch import Batch
from wardstream.agents.streams.dead_letters import DeadLetters
from wardstream.agents.streams.lane import Lane, LaneSettings
from wardstream.agents.streams.outputs import Row
from wardstream.agents.streams.state import LaneState
from wardstream.infra.changelogs import router
from wardstream.infra.worker import CLOCK_TOPIC, HANDLERS, output_partition
from wardstream.models.bins import Bins, MeasurementSet
from wardstream.models.patient import Patient, PatientCodec
from wardstream.schemas.alerts import Alert
from wardstream.schemas.decode import decoder, decoder_of, encode
from wardstream.schemas.envelope import Event
from wardstream.schemas.occupancy import Occupancy
from wardstream.schemas.partition import partition_of
from wardstream.schemas.scores import Scores
from wardstream.schemas.ticks import Tick

IDS = {topic: UUID(int=number) for number, topic in enumerate(HANDLERS, start=1)}
NOWHERE = dict.fromkeys(HANDLERS, 0)
FAR = dict.fromkeys(HANDLERS, 10**9)


class Killed(Exception):
    """The worker dies in its commit."""


class Lanes:
    """What workers do with some lanes, step by step.

    Attributes
    ----------
    logs : every record of every partition.
    rows : the compacted changelog of each lane.
    kill : called before and after each commit is made; raises `Killed` to have the worker die there.
    """

    def __init__(self, lanes: int = 3, rules: Rules | None = None) -> None:
        rules = rules or Rules()
        self.logs: dict[tuple[str, int], list[Record]] = defaultdict(list)
        self._written: list[Record] = []
        self._read, self._table = 0, dict[str, Occupancy]()
        self.rows: list[dict[bytes, bytes]] = [{} for _ in range(lanes)]
        self.kill: Callable[[], None] = lambda: None
        self.lane_of = partial(partition_of, partitions=lanes)
        self.settings = LaneSettings(
            app_id="test",
            client={},
            topics=tuple(HANDLERS),
            clock_topic=CLOCK_TOPIC,
            changelog="changelog",
            decoders={topic: decoder(topic) for topic in HANDLERS},
            encode=encode,
            codec=PatientCodec(),
            dead_letters=DeadLetters(bytes(32)),
            lanes=lanes,
            lane_of=self.lane_of,
            partition_of=output_partition,
            follows=handovers.follows,
            at_end=predicting.at_end(rules),
        )
        self._handlers = {topic: make(rules) for topic, make in HANDLERS.items()}
        self.lanes = [self._opened(number) for number in range(lanes)]

    def _opened(self, number: int) -> Lane:
        lane = Lane(number, self.settings)
        lane.state = LaneState(self.settings.codec, self.rows[number])
        lane._producer = _Producer(self, number)  # type: ignore[assignment]
        lane.start_offsets(IDS, NOWHERE, FAR)
        return lane

    def publish(self, *events: Event | Tick) -> None:
        """Put events where publishers would; a tick into every lane."""
        for event in events:
            topic = topic_of(event)
            places = [self.lane_of(event.patient_id)] if isinstance(event, Event) else range(len(self.lanes))
            for place in places:
                self.append(topic, place, Row(None, encode(event), 0))

    def append(self, topic: str, partition: int, row: Row) -> None:
        log = self.logs[topic, partition]
        record = Record(topic, len(log), row.value, partition, row.key, row.headers, row.timestamp_ms or 0)
        log.append(record)
        self._written.append(record)

    def unread(self, number: int) -> dict[str, list[Record]]:
        """What a lane has still to read, by topic."""
        positions = self.lanes[number].state.lane.positions
        found = {topic: self.logs[topic, number][positions[topic].offset :] for topic in HANDLERS}
        return {topic: records for topic, records in found.items() if records}

    async def step(self, number: int, most: Mapping[str, int] | None = None) -> None:
        """One batch of a lane: of each topic so many records at most, in the order of topics."""
        lane, items = self.lanes[number], list[Any]()
        for topic, records in self.unread(number).items():
            some = records if most is None else records[: most.get(topic, 0)]
            items += lane.decode(topic, some, 0.0)
        try:
            await lane.apply(items, self._dispatch)
        except Killed:
            self.lanes[number] = self._opened(number)

    async def _dispatch(self, topic: str, batch: Batch[Any, Any]) -> None:
        await self._handlers[topic](batch)

    async def settle(self) -> None:
        """Until no lane has anything left to read."""
        rounds = 0
        while busy := [number for number in range(len(self.lanes)) if self.unread(number)]:
            rounds += 1
            assert rounds < 200, "it goes in circles"
            for number in busy:
                await self.step(number)

    async def give(self, *events: Event | Tick) -> None:
        """Publish, and wait for all that follows."""
        self.publish(*events)
        await self.settle()

    def restart(self) -> None:
        """Nothing is left but the changelogs."""
        self.lanes = [self._opened(number) for number in range(len(self.lanes))]

    def migrated(self, lanes: int) -> Lanes:
        """The same topics and state with more lanes, as `wardstream lanes migrate` leaves them."""
        more, route = Lanes(lanes), router(lanes)
        more.logs, more._written = self.logs, self._written
        for number, rows in enumerate(self.rows):
            for key, row in rows.items():
                more.rows[route(key, number)][key] = row
        more.restart()
        return more

    def patient(self, key: str) -> Patient | None:
        """A patient's state, from its row."""
        row = self.rows[self.lane_of(key)].get(b"p\0" + key.encode())
        return None if row is None else PatientCodec().decode(row)

    def children(self, key: str, kind: str) -> dict[str, bytes]:
        """A patient's rows of one kind, by name."""
        begin = f"c\0{key}\0{kind}".encode()
        rows = self.rows[self.lane_of(key)]
        return {name[len(begin) :].decode(): row for name, row in rows.items() if name.startswith(begin)}

    def sets(self, key: str) -> list[MeasurementSet]:
        """What a patient's bins hold."""
        found = Bins(MemoryRows(self.children(key, "bin/"))).sets()
        return sorted(found, key=lambda one: (one.at, one.event_id))

    def moved(self) -> dict[str, str]:
        """Of ids that have ceased, where their events go."""
        return {key: moved.to for lane in self.lanes for key, moved in lane.state.moved.items()}

    def scores(self) -> list[Scores]:
        return [decoder_of(Scores)(record.value) for record in self._records("scores.v1")]

    def alerts(self) -> list[tuple[int, Alert]]:
        """Every transition, with its partition."""
        return [(record.partition, decoder_of(Alert)(record.value)) for record in self._records("alerts.v1")]

    def table(self) -> dict[str, Occupancy]:
        """What a consumer has who keeps the last row of each key, and goes on where it was."""
        for record in self._written[self._read :]:
            if record.topic == "occupancy.v1":
                assert record.key is not None
                key = record.key.decode()
                assert key.startswith("\t") or record.partition == output_partition("occupancy.v1", record.key)
                if key.startswith("\t"):
                    assert record.value is None  # a lane says that an hour is over
                elif record.value is None:
                    del self._table[key]  # nothing is withdrawn that was not there
                else:
                    self._table[key] = decoder_of(Occupancy)(record.value)
                    assert key.split("\t")[0] == self._table[key].unit
        self._read = len(self._written)
        return self._table

    def dead(self) -> list[Record]:
        return [record for record in self._written if record.topic.endswith(".dead")]

    def _records(self, topic: str) -> list[Record]:
        """In the order in which they were written."""
        return [record for record in self._written if record.topic == topic]


class _Producer:
    """Makes a lane's transaction, as a whole."""

    def __init__(self, lanes: Lanes, number: int) -> None:
        self._lanes = lanes
        self._number = number

    async def commit(self, rows: Mapping[tuple[str, int], list[Row]], offsets: Any, group: str) -> None:
        lanes = self._lanes
        lanes.kill()
        for (topic, partition), some in rows.items():
            if topic == "changelog":
                for row in some:
                    assert row.key is not None
                    if row.value is None:
                        lanes.rows[self._number].pop(row.key, None)
                    else:
                        lanes.rows[self._number][row.key] = row.value
            else:
                for row in some:
                    lanes.append(topic, partition, row)
        lanes.kill()
