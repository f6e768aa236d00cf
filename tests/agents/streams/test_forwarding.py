"""What a lane writes to other lanes: strays, events of patients who have moved, rows with other keys."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from aiokafka import TopicPartition

from tests.agents.streams.fakes import Beat, FakeProducer, Tally, TallyCodec, beat, dispatch, open_lane, records
from tests.agents.streams.test_lane import items, letters, to_agents, total
from wardstream.agents import metrics as m
from wardstream.agents.metrics import Meters
from wardstream.agents.streams.batch import Batch
from wardstream.agents.streams.lane import MOST_FORWARDS, HandlerFailed, Lane
from wardstream.agents.streams.outputs import MAX_ROW_BYTES
from wardstream.agents.streams.state import LaneState, Moved


async def test_a_stray_is_forwarded_to_its_lane_and_counted() -> None:
    lane, producer = open_lane()
    stray = beat("stray7")
    (record,) = records("vitals", stray)
    await lane.apply(items(lane, record._replace(key=b"wrong", headers=(("h", b"1"),), timestamp=77)), to_agents)
    (commit,) = producer.commits
    (row,) = commit.rows["vitals", 1]
    assert (row.key, row.value, row.timestamp_ms) == (b"stray7", record.value, 77)
    assert dict(row.headers) == {"h": b"1", "forwarded-from": b"0"}
    assert commit.offsets == {TopicPartition("vitals", 0): 1}
    assert "stray7" not in lane.state
    assert lane.meters.values[m.STRAYS, ("vitals",)] == 1


async def test_a_stray_too_large_to_be_written_again_is_a_dead_letter() -> None:
    lane, producer = open_lane()
    (record,) = records("vitals", beat("stray7"))
    await lane.apply(items(lane, record._replace(headers=(("h", bytes(MAX_ROW_BYTES)),))), to_agents)
    assert letters(lane, producer) == [("too_large", 0)]
    assert not producer.rows("vitals")


async def merged(key: str, to: str) -> tuple[Lane, FakeProducer]:
    """A lane whose patient `key` has become part of another."""

    async def move(batch: Batch[Any, Tally]) -> None:
        batch.state.move(key, Moved(to, (at, at, uuid4()), 1e12))

    at = datetime(2026, 3, 1, tzinfo=UTC)
    lane, producer = open_lane(follows=lambda event: event.n != 7)
    await lane.apply(items(lane, *records("labs", beat(key))), dispatch(move, failures=HandlerFailed))
    rows, lane.meters = producer.changelog(), Meters()
    producer.commits.clear()
    lane.state = LaneState(TallyCodec(), rows)  # as after a restart
    return lane, producer


@pytest.mark.parametrize(("to", "place"), [("p2", 0), ("stray2", 1)])
async def test_events_of_a_patient_who_has_moved_follow_under_the_new_id(to: str, place: int) -> None:
    lane, producer = await merged("p1", to)
    late = beat("p1", 3)
    read = records("vitals", late, late, beat("p1", 7), beat("p9"))
    await lane.apply(items(lane, *read), to_agents)
    (commit,) = producer.commits
    followed = commit.rows["vitals", place]
    assert [msgspec.json.decode(row.value or b"", type=Beat) for row in followed] == [
        msgspec.structs.replace(late, patient_id=to)
    ] * 2, "whether it is new is for the other to say"
    assert {(row.key, dict(row.headers)["forwarded-from"]) for row in followed} == {(to.encode(), b"0")}
    assert lane.meters.values[m.FOLLOWED, ("vitals",)] == 2
    assert (total(lane, "p1"), total(lane, "p9")) == (7, 1), "what decides about moves is handled where it comes"


async def test_what_goes_in_circles_ends_as_a_dead_letter() -> None:
    lane, producer = open_lane()
    (record,) = records("vitals", beat("stray7"))
    worn = record._replace(headers=(("forwarded-from", b"1"),) * MOST_FORWARDS)
    await lane.apply(items(lane, worn), to_agents)
    assert letters(lane, producer) == [("forwarded_too_often", 0)]
    assert not producer.rows("vitals")


async def test_topics_with_other_keys_have_their_own_partitions() -> None:
    async def occupy(batch: Batch[Any, Tally]) -> None:
        for received in batch:
            batch.emit("occupancy", "bed-5", {}, received)
            batch.emit("sums", "p1", {}, received)

    lane, producer = open_lane(partition_of=lambda topic, key: 5 if topic == "occupancy" else None)
    await lane.apply(items(lane, *records("vitals", beat())), dispatch(occupy, failures=HandlerFailed))
    assert {("occupancy", 5), ("sums", 0), ("changelog", 0)} == set(producer.commits[0].rows)
