"""Inputs of lanes: partitions by number, and topics that one lane reads whole."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from aiokafka import TopicPartition
from faust.types import TP

from tests.agents.streams.fakes import FakeProducer, Record, add, beat, decode_beat, dispatch, records, settings
from wardstream.agents.streams.lane import HandlerFailed, Lane
from wardstream.agents.streams.outputs import Outputs
from wardstream.agents.streams.places import place, reads_whole, whole
from wardstream.infra.preflight import StartRefused, check_lanes

PARTS = whole("vitals", 3)
ONE_LANE: dict[str, Any] = {
    "topics": PARTS,
    "clock_topic": None,
    "lanes": 1,
    "decoders": dict.fromkeys(PARTS, decode_beat),
    "lane_of": lambda patient: 0,
}


def test_where_inputs_lie() -> None:
    assert place("vitals", 2) == TP("vitals", 2)
    assert [place(name, 0) for name in PARTS] == [TP("vitals", number) for number in range(3)]
    assert reads_whole(PARTS)
    assert not reads_whole(("labs", "vitals"))
    assert settings(**ONE_LANE).sources == {"vitals"}


def test_bad_input_goes_to_the_dead_letters_of_its_partition() -> None:
    lane = Lane(0, settings(**ONE_LANE))
    (bad,) = lane.decode("vitals/2", [Record("vitals", 0, b"no beat")], 0.0)
    outputs = Outputs(0)
    lane._bury(bad, "bad", (), outputs)
    assert list(outputs.rows) == [("vitals.dead", 2)]


@pytest.mark.parametrize(("there", "refused"), [(3, False), (1, True), (4, True)])
def test_a_topic_that_is_read_whole_has_the_partitions_that_are_read(there: int, refused: bool) -> None:
    lanes = settings(**ONE_LANE)
    try:
        check_lanes("app", lanes, {"vitals": there})
    except StartRefused:
        assert refused
    else:
        assert not refused


async def test_a_lane_keeps_its_place_in_each_partition() -> None:
    lane, producer = Lane(0, settings(**ONE_LANE)), FakeProducer()
    lane._producer = producer  # type: ignore[assignment]
    nowhere = dict.fromkeys(PARTS, 0)
    lane.start_offsets(dict.fromkeys(PARTS, UUID(int=1)), nowhere, dict.fromkeys(PARTS, 9))
    items = [
        item
        for number, name in enumerate(PARTS[1:], start=1)
        for item in lane.decode(name, records("vitals", *(beat() for _ in range(number)), partition=number), 0.0)
    ]
    await lane.apply(items, dispatch(add, failures=HandlerFailed))
    assert {name: at.offset for name, at in lane.state.lane.positions.items()} == dict(
        zip(PARTS, range(3), strict=True)
    )
    told = producer.commits[-1].offsets
    assert told == {TopicPartition("vitals", 1): 1, TopicPartition("vitals", 2): 2}
    assert lane.state.decoded("p1").total == 3
