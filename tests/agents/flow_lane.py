"""The one lane of patient flow, with what it reads and writes in memory; handler and settings are the worker's own."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from tests.agents.lanes import Lanes
from tests.agents.streams.fakes import Record
from tests.events import admission
from wardstream.agents import closing
from wardstream.agents.metrics import Meters
from wardstream.agents.streams.batch import Batch
from wardstream.agents.streams.lane import Lane, LaneSettings
from wardstream.agents.streams.outputs import Row
from wardstream.agents.streams.places import whole
from wardstream.agents.streams.state import LaneState
from wardstream.infra.flow_app import FLOW_AT_ONCE, flow_lanes
from wardstream.infra.settings import Settings
from wardstream.infra.worker import OCCUPANCY_TOPIC
from wardstream.models.flow.site import FlowCodec, FlowRow, Site, UnitRules
from wardstream.schemas.decode import decoder_of
from wardstream.schemas.flow import Flow
from wardstream.schemas.occupancy import PARTITIONS

INPUTS = whole(OCCUPANCY_TOPIC, PARTITIONS)
IDS = dict.fromkeys(INPUTS, UUID(int=1))
Logs = Mapping[tuple[str, int], list[Record]]
KEY = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

SITE = Site(
    units={
        "ED": UnitRules(emergency=True, staffed=4, patients_per_nurse=4.0),
        "A": UnitRules(staffed=12, patients_per_nurse=6.0),
    }
)


class Killed(Exception):
    """The worker dies in its commit."""


class FlowLane:
    """What a worker of the group does, step by step.

    Attributes
    ----------
    logs : what it reads: the partitions of occupancy.v1.
    flow : every record of flow.v1, with its key.
    rows : the compacted changelog.
    kill : called before and after each commit is made; raises `Killed` to have the worker die there.
    """

    def __init__(self, site: Site | None = None, logs: Logs | None = None) -> None:
        logs = logs or {}
        self.logs = [logs.get((OCCUPANCY_TOPIC, number), []) for number in range(PARTITIONS)]
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
        lane.start_offsets(IDS, dict.fromkeys(INPUTS, 0), dict.fromkeys(INPUTS, 10**9))
        return lane

    def restart(self) -> None:
        """Nothing is left but the changelog."""
        self.lane = self._opened()

    def append(self, row: Row, partition: int) -> None:
        """One more record to read."""
        log = self.logs[partition]
        log.append(Record(OCCUPANCY_TOPIC, len(log), row.value, partition, row.key, row.headers, 0))

    def unread(self) -> dict[str, list[Record]]:
        """What it has still to read, by input."""
        positions = self.lane.state.lane.positions
        left = {name: log[positions[name].offset :] for name, log in zip(INPUTS, self.logs, strict=True)}
        return {name: records for name, records in left.items() if records}

    async def settle(self, most: int = FLOW_AT_ONCE, rng: random.Random | None = None) -> None:
        """Read until nothing is left, in batches of so many records; of partitions by chance, else in turn."""
        while left := self.unread():
            name = next(iter(left)) if rng is None else rng.choice(list(left))
            try:
                await self.lane.apply(self.lane.decode(name, left[name][:most], 0.0), self._dispatch)
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
            for row in some:
                if topic == "flow.v1":
                    assert partition == 0
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


def last(told: list[Flow]) -> dict[tuple[str, datetime], Flow]:
    """What a consumer has who keeps the last record of each unit and hour."""
    return {(one.unit, one.hour_from): one for one in told}


async def in_and_out(lanes: Lanes, hour: int, number: int, unit: str = "ED", **fields: object) -> None:
    """So many come to a unit in an hour and leave it in the same hour."""
    for one in range(number):
        who = {"patient_id": f"{unit}{hour}-{one}", "encounter_id": f"{unit}{hour}-{one}"}
        await lanes.give(admission(f"in {who}", hour * 60 + 10, "admit", unit=unit, **who, **fields))
        await lanes.give(admission(f"out {who}", hour * 60 + 35, "discharge", **who))
