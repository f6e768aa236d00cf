"""Where a lane reads, on the rig: other people's seeks, markers, lost records, and what is left to Faust."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import TopicPartition
from faust.types import TP

from tests.agents.streams.fakes import TOPICS, Tally, add, beat
from tests.agents.streams.rig import MARKER, FakeKafka, Handler, Rig
from wardstream.agents import metrics as m
from wardstream.agents.streams.batch import Batch

# Positions: holes 5 and 12, and other people's seeks


async def test_somebody_elses_seek_doubles_nothing_and_loses_nothing(rig: Rig, fake: FakeKafka) -> None:
    vitals = TopicPartition("vitals", 0)

    def seeks(by: int) -> Handler:
        """While a batch is handled, more comes, and somebody seeks."""

        async def handler(batch: Batch[Any, Tally]) -> None:
            rig.agent = add
            at = len(fake.logs["vitals"])
            fake.publish("vitals", *(beat(n=1) for _ in range(4)))
            rig.aiokafka.seek(vitals, at + by)
            await add(batch)

        return handler

    rig.run()
    for by in (-6, 2):  # back, then beyond what was read
        rig.agent = seeks(by)
        fake.publish("vitals", *(beat(n=1) for _ in range(6)))
        await rig.until(lambda: rig.agent is add and fake.total("p1") == len(fake.logs["vitals"]))
    rig.aiokafka.during_poll = lambda: rig.aiokafka.seek(vitals, 2)
    await rig.until(lambda: rig.aiokafka.during_poll is None)
    fake.publish("vitals", beat(n=1))
    await rig.until_total(21)
    assert rig.meters.total(m.DUPLICATES) == 0  # not even tried
    assert len(fake.sums) == 21


async def test_fausts_seek_to_committed_spares_the_lanes(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def called(fun: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        return await fun(*args)

    monkeypatch.setattr(rig.consumer._thread, "call_thread", called)
    await rig.consumer.perform_seek()
    assert rig.aiokafka.sought_to_committed == []
    rig.aiokafka.assigned.add(TopicPartition("others", 0))
    await rig.consumer.perform_seek()
    assert rig.aiokafka.sought_to_committed == [TopicPartition("others", 0)]


async def test_markers_are_no_lag(rig: Rig, fake: FakeKafka) -> None:
    fake.publish("vitals", beat(n=1), MARKER, MARKER)
    fake.publish("labs", MARKER)
    rig.run()
    await rig.until_total(1)
    await rig.until(lambda: (m.LAG, ("vitals",)) in rig.meters.values)
    assert rig.meters.values[m.LAG, ("vitals",)] == 0
    assert rig.drain.behind() == set()
    fake.publish("vitals", beat(n=1))
    await rig.until_total(2)
    assert rig.meters.total(m.INPUT_LOST) == 0


async def test_lag_is_what_is_not_yet_read(rig: Rig, fake: FakeKafka) -> None:
    rig.aiokafka.chunk = 1
    fake.publish("vitals", *(beat(n=1, at=60 * i) for i in range(4)))
    lags = []

    async def look(batch: Batch[Any, Tally]) -> None:
        lags.append(rig.meters.values[m.LAG, ("vitals",)])
        await add(batch)

    rig.agent = look
    rig.run()
    await rig.until_total(4)
    await rig.until(lambda: rig.meters.values[m.LAG, ("vitals",)] == 0)
    assert lags[0] >= 1


async def test_an_input_made_anew_is_read_from_its_beginning(rig: Rig, fake: FakeKafka) -> None:
    fake.publish("vitals", *(beat(n=1) for _ in range(5)))
    rig.run()
    await rig.until_total(5)
    fake.logs["vitals"].clear()
    fake.ids["vitals"] = uuid4()
    fake.publish("vitals", beat(n=10), beat(n=20))
    await rig.until_total(35)
    assert rig.meters.total(m.INPUTS_RECREATED) == 1


async def test_an_input_made_anew_that_has_grown_past_us_is_found_by_its_id(rig: Rig, fake: FakeKafka) -> None:
    fake.publish("vitals", *(beat(n=1) for _ in range(2)))
    rig.run()
    await rig.until_total(2)
    fake.logs["vitals"] = []
    fake.ids["vitals"] = uuid4()
    fake.publish("vitals", *(beat(n=1) for _ in range(10)))
    rig.consumer.reload_lanes()  # what the worker does when it sees another id
    await rig.until_total(12)


async def test_what_retention_removes_before_the_lane_opens_is_counted(rig: Rig, fake: FakeKafka) -> None:
    fake.publish("vitals", *(beat(n=1) for _ in range(10)))
    rig.run()
    await rig.until_total(10)
    await rig.rebalance([])
    await rig.until(lambda: not rig.drain.lane.is_open)
    fake.publish("vitals", *(beat(n=1) for _ in range(10)))
    fake.begins["vitals"] = 15
    await rig.rebalance()
    await rig.until_total(15)
    assert rig.meters.values[m.INPUT_LOST, ("vitals",)] == 5


@pytest.mark.parametrize("within_a_poll", [True, False])
async def test_what_retention_removes_while_the_lane_reads_is_counted(
    rig: Rig, fake: FakeKafka, within_a_poll: bool
) -> None:
    """aiokafka finds its offset out of range and goes on at the beginning, without a word."""
    fake.publish("vitals", *(beat(n=1) for _ in range(10)))
    rig.run()
    await rig.until_total(10)

    def lose() -> None:
        fake.logs["vitals"] += [MARKER] * 5
        fake.publish("vitals", beat(n=1))
        fake.begins["vitals"] = 15
        if not within_a_poll:
            rig.aiokafka.positions[TopicPartition("vitals", 0)] = 15

    if within_a_poll:
        rig.aiokafka.during_poll = lose
    else:
        lose()
    await rig.until_total(11)
    assert rig.meters.values[m.INPUT_LOST, ("vitals",)] == 5


async def test_a_log_that_was_truncated_is_counted_and_read_on(rig: Rig, fake: FakeKafka) -> None:
    fake.publish("vitals", *(beat(n=1) for _ in range(10)))
    rig.run()
    await rig.until_total(10)
    del fake.logs["vitals"][7:]
    await rig.until(lambda: rig.meters.total(m.INPUT_LOST) == 3)
    fake.publish("vitals", beat(n=1))
    await rig.until_total(11)


# Faust's side


async def test_faust_commits_no_offsets_of_lanes(rig: Rig) -> None:
    for topic in ("vitals", "others"):
        rig.consumer._acked[TP(topic, 0)] = [1, 2]
        rig.consumer._committed_offset[TP(topic, 0)] = None
    assert rig.consumer._new_offset(TP("vitals", 0)) is None
    assert rig.consumer._new_offset(TP("others", 0)) == 3


async def test_fausts_own_loop_does_not_poll_lanes(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    async def getmany(active: Any, timeout: float) -> dict[str, Any]:  # noqa: ASYNC109 - Faust's
        asked.append(active)
        return {}

    monkeypatch.setattr(rig.consumer._thread, "getmany", getmany)
    lanes = {TP(topic, 0) for topic in TOPICS}
    assert await rig.consumer._getmany(lanes, 1.0) == {}
    await rig.consumer._getmany(lanes | {TP("others", 0)}, 1.0)
    assert asked == [{TP("others", 0)}]
