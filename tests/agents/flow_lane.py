"""The one lane of patient flow, with what it reads and writes in memory; handler and settings are the worker's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from tests.agents.streams.fakes import Record
from wardstream.agents import closing
from wardstream.agents.metrics import Meters
from wardstream.agents.streams.batch import Batch
from wardstream.agents.streams.lane import Lane, LaneSettings
from wardstream.agents.streams.outputs import Row
from wardstream.agents.streams.state import LaneState
from wardstream.infra.flow_app import FLOW_AT_ONCE, flow_lanes
from wardstream.infra.settings import Settings
from wardstream.infra.worker import OCCUPANCY_TOPIC
from wardstream.models.flow.site import FlowCodec, FlowRow, Site
from wardstream.schemas.decode import decoder_of
from wardstream.schemas.flow import Flow

IDS = {OCCUPANCY_TOPIC: UUID(int=1)}
KEY = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


class Killed(Exception):
    """The worker dies in its commit."""


class FlowLane:
    """What a worker of the group does, step by step.

    Attributes
    ----------
    log : what it reads: occupancy.v1.
    flow : every record of flow.v1, with its key.
    rows : the compacted changelog.
    kill : called before and after each commit is made; raises `Killed` to have the worker die there.
    """

    def __init__(self, site: Site | None = None, log: list[Record] | None = None) -> None:
        self.log: list[Record] = [] if log is None else log
        self.flow: list[tuple[bytes, bytes]] = []
        self.dead: list[Row] = []
        self.rows: dict[bytes, bytes] = {}
        self.kill: Callable[[], None] = lambda: None
        settings = Settings(broker_url="kafka://localhost:9092", dead_letter_key=KEY)
        self.settings: LaneSettings = flow_lanes(settings)
        self.meters: Meters = self.settings.meters
        self._handler = closing.handler(site or Site())
        self.lane = self._opened()

    def _opened(self) -> Lane:
        lane = Lane(0, self.settings)
        lane.state = LaneState(self.settings.codec, self.rows)
        lane._producer = _Producer(self)  # type: ignore[assignment]
        lane.start_offsets(IDS, {OCCUPANCY_TOPIC: 0}, {OCCUPANCY_TOPIC: 10**9})
        return lane

    def restart(self) -> None:
        """Nothing is left but the changelog."""
        self.lane = self._opened()

    def append(self, row: Row) -> None:
        """One more record to read."""
        self.log.append(Record(OCCUPANCY_TOPIC, len(self.log), row.value, 0, row.key, row.headers, 0))

    async def settle(self, most: int = FLOW_AT_ONCE) -> None:
        """Read until nothing is left, in batches of so many records."""
        while left := self.log[self.lane.state.lane.positions[OCCUPANCY_TOPIC].offset :]:
            try:
                await self.lane.apply(self.lane.decode(OCCUPANCY_TOPIC, left[:most], 0.0), self._dispatch)
            except Killed:
                self.restart()

    async def _dispatch(self, topic: str, batch: Batch[Any, Any]) -> None:
        await self._handler(batch)

    def told(self) -> list[Flow]:
        return [decoder_of(Flow)(value) for _, value in self.flow]

    def row(self, unit: str) -> FlowRow:
        """A unit's row."""
        return FlowCodec().decode(self.rows[b"p\0" + unit.encode()])


class _Producer:
    def __init__(self, lane: FlowLane) -> None:
        self._lane = lane

    async def commit(self, rows: Mapping[tuple[str, int], Sequence[Row]], offsets: Any, group: str) -> None:
        lane = self._lane
        lane.kill()
        for (topic, partition), some in rows.items():
            assert partition == 0
            for row in some:
                if topic == "flow.v1":
                    assert row.key is not None
                    assert row.value is not None
                    lane.flow.append((row.key, row.value))
                elif topic.endswith(".dead"):
                    lane.dead.append(row)
                elif row.value is None:
                    lane.rows.pop(row.key or b"", None)
                else:
                    lane.rows[row.key or b""] = row.value
        lane.kill()
