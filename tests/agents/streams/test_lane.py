"""One lane, without Kafka: what a batch commits, how a bad event is singled out, where the lane goes on reading."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.agents.streams.fakes import (
    EMPTY,
    IDS,
    TOPICS,
    Commit,
    FakeProducer,
    Record,
    Tally,
    add,
    beat,
    dispatch,
    minute,
    open_lane,
    records,
)
from wardstream.agents import metrics as m
from wardstream.agents.streams import lane as lane_module
from wardstream.agents.streams.batch import Batch, LaneLost, Received
from wardstream.agents.streams.lane import AT_FIRST, SHORTEST, TOLD_EVERY_S, HandlerFailed, Lane
from wardstream.agents.streams.outputs import MAX_ROW_BYTES
from wardstream.agents.streams.state import LANE_ROW, LaneRow, Work

FAR = dict.fromkeys(TOPICS, 10**9)
to_agents = dispatch(add, failures=HandlerFailed)


def items(lane: Lane, *read: Record) -> list[Received[Any]]:
    return [item for record in read for item in lane.decode(record.topic, [record], 0.0)]


def total(lane: Lane, patient: str) -> int:
    tally: Tally = Work(lane.state)[patient]
    return tally.total


def lane_row(commit: Commit) -> LaneRow:
    (row,) = [row for row in commit.rows["changelog", 0] if row.key == LANE_ROW]
    return msgspec.json.decode(row.value or b"", type=LaneRow)


def letters(lane: Lane, producer: FakeProducer, topic: str = "vitals") -> list[tuple[str, int]]:
    """Reason and offset of every dead letter."""
    headers = [dict(row.headers) for row in producer.rows(f"{topic}.dead")]
    return [(known["reason"].decode(), int(known["offset"])) for known in headers]


async def test_one_transaction_holds_outputs_state_positions_and_offsets() -> None:
    lane, producer = open_lane()
    await lane.apply(
        items(lane, *records("labs", beat("p2", 5), start=3), *records("vitals", beat(n=1), beat(n=2), start=7)),
        to_agents,
    )
    (commit,) = producer.commits
    assert commit.offsets == {TopicPartition("labs", 0): 4, TopicPartition("vitals", 0): 9}
    assert [row.value for row in commit.rows["sums", 0]] == [b'{"total":5}', b'{"total":1}', b'{"total":3}']
    positions = lane_row(commit).positions
    assert {topic: position.offset for topic, position in positions.items()} == {"labs": 4, "vitals": 9, "ticks": 0}
    assert {topic: position.topic_id for topic, position in positions.items()} == IDS
    assert {row.key for row in commit.rows["changelog", 0]} >= {b"p\0p1", b"p\0p2", b"i\0p1\x000", LANE_ROW}


async def test_batches_are_as_long_as_their_handlers_are_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    now, an_event_takes = 100.0, 0.01

    async def slow(batch: Batch[Any, Any]) -> None:
        nonlocal now
        now += an_event_takes * len(batch)

    monkeypatch.setattr(lane_module.time, "monotonic", lambda: now)
    lane, producer = open_lane()
    to_slow = dispatch(slow, failures=HandlerFailed)

    async def sizes(first: int) -> list[int]:
        done = [first]
        await lane.apply(items(lane, *records("vitals", *(beat(n=n) for n in range(1500)), start=first)), to_slow)
        done += [lane_row(commit).positions["vitals"].offset for commit in producer.commits]
        producer.commits.clear()
        return [after - before for before, after in pairwise(done)]

    assert await sizes(0) == [AT_FIRST, 256, 128, 128, 128, 128, 128, 92]
    an_event_takes = 1.0
    assert (await sizes(1500))[-1] <= SHORTEST
    an_event_takes = 0.0
    assert await sizes(3000) == [64, 128, 256, 512, 540]


async def test_what_handlers_leave_is_done_once_at_the_end_of_the_batch() -> None:
    asked: list[list[int]] = []

    async def leaves(batch: Batch[Any, Any]) -> None:
        for received in batch:
            batch.leave(received)

    async def at_end(batch: Batch[Any, Any]) -> None:
        asked.append([received.event.n for received in batch.outputs.left])
        if 13 in asked[-1]:
            raise RuntimeError("the name of a patient")
        for received in batch.outputs.left:
            batch.emit("sums", "p1", {"total": received.event.n}, received)

    lane, producer = open_lane(at_end=at_end)
    runs = [*records("labs", beat(n=1)), *records("vitals", beat(n=2), beat(n=3)), *records("labs", beat(n=4), start=1)]
    await lane.apply(items(lane, *runs), dispatch(leaves, failures=HandlerFailed))
    assert asked == [[1, 2, 3, 4]]
    assert len(producer.commits) == 1
    await lane.apply(
        items(lane, *records("vitals", beat(n=5), beat(n=13), start=2)), dispatch(leaves, failures=HandlerFailed)
    )
    assert [row.value for row in producer.rows("sums")] == [b'{"total":%d}' % n for n in (1, 2, 3, 4, 5)]
    assert letters(lane, producer) == [("handler_failed", 3)]


async def test_the_group_is_told_once_a_second_and_of_the_last_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(lane_module.time, "monotonic", lambda: now)
    lane, producer = open_lane()
    for offset in range(3):
        await lane.apply(items(lane, *records("vitals", beat(), start=offset)), to_agents)
        await lane.tell()
        now += 0.3
    assert [commit.offsets for commit in producer.commits] == [{TopicPartition("vitals", 0): 1}, {}, {}]
    assert lane_row(producer.commits[-1]).positions["vitals"].offset == 3
    now += TOLD_EVERY_S
    await lane.tell()
    assert producer.commits[-1].offsets == {TopicPartition("vitals", 0): 3}
    assert list(producer.commits[-1].rows) == [("changelog", 0)]
    now += TOLD_EVERY_S
    await lane.tell()
    assert len(producer.commits) == 4, "all is told"


async def test_a_restored_lane_tells_the_group_where_it_stands() -> None:
    lane, producer = open_lane()
    await lane.apply(items(lane, *records("vitals", beat(), start=7)), to_agents)
    again, after = open_lane(producer.changelog())
    await again.tell()
    assert after.commits[0].offsets[TopicPartition("vitals", 0)] == 8


async def test_outputs_have_the_publishing_time_of_their_cause() -> None:
    lane, producer = open_lane()
    await lane.apply(items(lane, *(record._replace(timestamp=1234) for record in records("vitals", beat()))), to_agents)
    assert producer.rows("sums")[0].timestamp_ms == 1234


@hypothesis_settings(max_examples=40)
@given(st.lists(st.sampled_from([1, 1, 1, 13]), min_size=1, max_size=24), st.integers(1, 5))
def test_halving_singles_out_the_events_that_fail(numbers: list[int], patients: int) -> None:
    lane, producer = open_lane()
    events = [beat(f"p{i % patients}", n) for i, n in enumerate(numbers)]
    asyncio.run(lane.apply(items(lane, *records("vitals", *events)), to_agents))
    bad = [i for i, n in enumerate(numbers) if n == 13]
    assert letters(lane, producer) == [("handler_failed", i) for i in bad]
    for patient in {event.patient_id for event in events}:
        assert total(lane, patient) == sum(e.n for e in events if e.n != 13 and e.patient_id == patient)
    assert len(producer.rows("sums")) == len(numbers) - len(bad)  # the failed ones left no output
    assert lane.state.lane.positions["vitals"].offset == len(numbers)
    offsets = [lane_row(commit).positions["vitals"].offset for commit in producer.commits]
    assert offsets == sorted(offsets)
    assert lane.meters.total(m.HANDLER_ERRORS) == len(bad)
    assert lane.meters.total(m.EVENTS) == len(numbers) - len(bad)


async def test_a_failed_event_can_be_opened_and_its_error_holds_no_text(caplog: pytest.LogCaptureFixture) -> None:
    lane, producer = open_lane()
    (record,) = records("vitals", beat(n=13), start=5)
    record = record._replace(key=b"p1", headers=(("h", b"1"),), timestamp=77)
    await lane.apply(items(lane, record), to_agents)
    (row,) = producer.rows("vitals.dead")
    raw = lane.settings.dead_letters.open(row.value or b"", row.headers)
    assert (raw.key, raw.value, raw.headers, raw.timestamp_ms) == (b"p1", record.value, (("h", b"1"),), 77)
    assert (m.HANDLER_ERRORS, ("vitals", "RuntimeError")) in lane.meters.values
    assert "the name of a patient" not in caplog.text
    assert b"p\0p1" not in producer.changelog()


async def test_bad_input_is_a_dead_letter_in_the_same_transaction() -> None:
    lane, producer = open_lane()
    read = records("vitals", beat(n=1), b"{", beat(n=2))
    await lane.apply(items(lane, *read, Record("vitals", 3, None)), to_agents)
    (commit,) = producer.commits
    assert letters(lane, producer) == [("malformed_json", 1), ("malformed_json", 3)]
    (first, _) = commit.rows["vitals.dead", 0]
    assert dict(first.headers)["fields"] == b"n"
    assert total(lane, "p1") == 3
    assert commit.offsets == {TopicPartition("vitals", 0): 4}
    assert lane.meters.values[m.DEAD_LETTERS, ("vitals", "malformed_json")] == 2


async def test_duplicates_change_nothing_within_a_batch_after_a_commit_and_after_a_restore() -> None:
    lane, producer = open_lane()
    first, second = beat(n=1), beat(n=2)
    await lane.apply(items(lane, *records("vitals", first, first, second)), to_agents)
    await lane.apply(items(lane, *records("vitals", second, first, start=3)), to_agents)
    assert total(lane, "p1") == 3
    assert lane.meters.values[m.DUPLICATES, ("vitals",)] == 3
    again, after = open_lane(producer.changelog())
    await again.apply(items(again, *records("labs", first), *records("vitals", second, start=5)), to_agents)
    assert total(again, "p1") == 3
    assert after.rows("sums") == []
    assert again.meters.total(m.DUPLICATES) == 2
    assert after.commits[0].offsets == {TopicPartition(name, 0): at for name, at in zip(TOPICS, (1, 6, 0), strict=True)}


async def test_an_output_that_kafka_would_refuse_stops_no_lane() -> None:
    async def shout(batch: Batch[Any, Tally]) -> None:
        for received in batch:
            batch.emit("sums", "p1", "x" * (MAX_ROW_BYTES if received.event.n == 13 else 1), received)

    lane, producer = open_lane()
    read = records("vitals", beat(n=1), beat(n=13), beat(n=1))
    await lane.apply(items(lane, *read), dispatch(shout, failures=HandlerFailed))
    assert letters(lane, producer) == [("handler_failed", 1)]
    assert len(producer.rows("sums")) == 2


async def test_what_a_rebalance_interrupts_leaves_no_trace() -> None:
    lane, producer = open_lane()
    late: list[Tally] = []

    async def interrupted(topic: str, batch: Batch[Any, Tally]) -> None:
        await add(batch)
        late.append(batch.state["p1"])
        raise LaneLost("rebalance")

    read = items(lane, *records("vitals", beat(n=1), beat(n=2)))
    with pytest.raises(LaneLost):
        await lane.apply(read, interrupted)
    assert producer.commits == []
    assert lane.state.lane.positions["vitals"].offset == 0
    await lane.apply(read, to_agents)  # read again: not one of them is a duplicate
    late[0].total += 100
    assert total(lane, "p1") == 3
    assert lane.meters.total(m.DUPLICATES) == 0


async def test_nothing_is_counted_that_was_not_committed() -> None:
    lane, producer = open_lane()
    producer.errors = [TimeoutError()]
    with pytest.raises(TimeoutError):
        await lane.apply(items(lane, *records("vitals", beat(), b"{")), to_agents)
    assert lane.meters.total(m.EVENTS) == lane.meters.total(m.DEAD_LETTERS) == lane.meters.total(m.OUTPUTS) == 0


async def test_a_closed_lane_commits_nothing() -> None:
    lane, producer = open_lane()
    read = items(lane, *records("vitals", beat()))
    await lane.close()
    assert producer.closed
    with pytest.raises(LaneLost):
        await lane.apply(read, to_agents)


async def test_halving_is_seen_by_the_watchdog() -> None:
    """A handler that hangs on the first of many is singled out in steps of its deadline, none of them a commit."""
    lane, _ = open_lane()
    steps = lane.steps
    await lane.apply(items(lane, *records("vitals", beat(n=13), *(beat() for _ in range(7)))), to_agents)
    assert lane.steps - steps >= 3 + 4  # failures, then commits


def test_a_bad_record_takes_the_time_of_the_one_before_it() -> None:
    lane, _ = open_lane()
    read = lane.decode("vitals", records("vitals", b"{", beat(at=120), b"{"), 60.0)
    assert [item.time for item in read] == [60.0, 120.0, 120.0]
    assert lane.meters.values[m.BYTES, ("vitals",)] == sum(len(item.record.value) for item in read)


# Where to read on


def test_a_new_lane_begins_at_the_beginning() -> None:
    lane, _ = open_lane()
    lane.state.lane.positions.clear()
    assert lane.start_offsets(IDS, dict.fromkeys(TOPICS, 4), FAR) == dict.fromkeys(TOPICS, 4)
    assert lane.meters.total(m.INPUT_LOST) == 0


def test_a_lane_goes_on_at_its_own_position() -> None:
    lane, _ = open_lane()
    lane.state.lane.positions["vitals"].offset = 50
    assert lane.start_offsets(IDS, EMPTY, FAR)["vitals"] == 50


def test_a_topic_made_anew_is_read_from_its_beginning_and_counted() -> None:
    lane, _ = open_lane()
    lane.state.lane.positions["vitals"].offset = 50
    new = IDS | {"vitals": uuid4()}
    assert lane.start_offsets(new, EMPTY, dict.fromkeys(TOPICS, 60))["vitals"] == 0
    assert lane.meters.values == {(m.INPUTS_RECREATED, ("vitals",)): 1}
    assert lane.state.lane.positions["vitals"].topic_id == new["vitals"]
    assert lane.start_offsets(new, EMPTY, FAR)["vitals"] == 0
    assert lane.meters.total(m.INPUTS_RECREATED) == 1


def test_a_gap_left_by_retention_is_counted() -> None:
    lane, _ = open_lane()
    lane.state.lane.positions["vitals"].offset = 50
    assert lane.start_offsets(IDS, EMPTY | {"vitals": 80}, FAR)["vitals"] == 80
    assert lane.meters.values == {(m.INPUT_LOST, ("vitals",)): 30}


def test_a_truncated_log_is_counted() -> None:
    lane, _ = open_lane()
    lane.state.lane.positions["vitals"].offset = 50
    assert lane.start_offsets(IDS, EMPTY, FAR | {"vitals": 40})["vitals"] == 40
    assert lane.meters.values == {(m.INPUT_LOST, ("vitals",)): 10}


def test_what_is_removed_while_a_lane_reads_on_is_counted() -> None:
    lane, _ = open_lane()
    lane.skipped("vitals", 7)
    lane.skipped("vitals", 0)
    lane.skipped("vitals", -3)
    assert lane.meters.values == {(m.INPUT_LOST, ("vitals",)): 7}


# The live clock


async def test_an_event_from_the_clocks_future_is_bad_input() -> None:
    """Taken in, it would be the newest that is known, and hide what comes until then."""
    now = 1_800_000_060.0
    lane, producer = open_lane(now=lambda: now)
    await lane.apply(items(lane, *records("vitals", beat(at=now + 299), beat(at=now + 301), beat(at=now))), to_agents)
    assert letters(lane, producer) == [("future", 1)]
    assert total(lane, "p1") == 2


async def test_a_feeds_own_time_may_be_any() -> None:
    lane, producer = open_lane(now=None)
    await lane.apply(items(lane, *records("vitals", beat(at=6e9))), to_agents)
    assert letters(lane, producer) == []


async def test_lane_0_writes_each_minute_to_every_lane() -> None:
    now = 1_800_000_060.0
    lane, producer = open_lane(now=lambda: now)
    await lane.tick()
    await lane.tick()
    (commit,) = producer.commits
    ticks = {
        place: [msgspec.json.decode(row.value or b"")["received_at"] for row in rows]
        for place, rows in commit.rows.items()
        if place[0] == "ticks"
    }
    assert ticks == {("ticks", number): ["2027-01-15T08:01:00Z"] for number in range(2)}
    assert lane_row(commit).last_tick == now
    assert commit.offsets == {}


async def test_after_a_restore_the_missed_minutes_follow() -> None:
    now = 1_800_000_060.0
    lane, producer = open_lane(now=lambda: now)
    await lane.tick()
    later, after = open_lane(producer.changelog(), now=lambda: now + 180)
    await later.tick()
    assert len(after.rows("ticks")) == 3 * 2


@pytest.mark.parametrize(
    ("number", "changes"),
    [(1, {"now": lambda: 0.0}), (0, {"now": None}), (0, {"now": lambda: 0.0, "clock_topic": None})],
)
async def test_nobody_else_writes_ticks(number: int, changes: dict[str, Any]) -> None:
    lane, producer = open_lane(**changes)
    lane.number = number
    await lane.tick()
    assert producer.commits == []


async def test_ticks_reach_their_handler_though_they_are_about_nobody() -> None:
    seen: list[UUID] = []

    async def on_ticks(batch: Batch[Any, Tally]) -> None:
        seen.extend(received.event.event_id for received in batch)

    lane, _ = open_lane()
    ticks = [minute(60), minute(120)]
    await lane.apply(items(lane, *records("ticks", *ticks)), dispatch(on_ticks, failures=HandlerFailed))
    assert seen == [tick.event_id for tick in ticks]
