"""The loop of a lane, on the rig: rebalances, fences, cancellations, failures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from faust.types import TP

from tests.agents.streams.fakes import TOPICS, Tally, add, beat, minute
from tests.agents.streams.rig import FakeKafka, FakeLaneProducer, Rig
from wardstream.agents import metrics as m
from wardstream.agents.streams import transport as transport_module
from wardstream.agents.streams.batch import Batch, LaneMessage


async def test_events_are_applied_once_and_in_order(rig: Rig, fake: FakeKafka) -> None:
    fake.publish("vitals", *(beat(n=n) for n in range(1, 6)))
    rig.run()
    await rig.until_total(15)
    fake.publish("labs", beat(n=100))
    await rig.until_total(115)
    assert [row.value for row in fake.sums][:3] == [b'{"total":1}', b'{"total":3}', b'{"total":6}']
    assert fake.opened == 1


# Holes 1 to 3: agents that are cancelled, late, or never given their batch


async def test_an_agent_that_is_cancelled_reloads_the_lane(rig: Rig, fake: FakeKafka) -> None:
    failures = 2

    async def cancelled(batch: Batch[Any, Tally]) -> None:
        nonlocal failures
        await add(batch)
        if failures:
            failures -= 1
            raise asyncio.CancelledError

    rig.agent = cancelled
    fake.publish("vitals", beat(n=1), beat(n=2))
    rig.run()
    await rig.until_total(3)
    assert fake.opened == 3
    assert rig.meters.values[m.RELOADS, ("LaneLost",)] == 2


async def test_something_awaited_that_is_cancelled_does_not_end_the_lane(rig: Rig, fake: FakeKafka) -> None:
    fake.commit_errors = [asyncio.CancelledError()]
    fake.publish("vitals", beat(n=1))
    rig.run()
    await rig.until_total(1)
    assert fake.opened == 2


async def test_the_end_of_a_loop_ends_the_worker(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ends(fetcher: Any, drain: Any) -> None:
        await asyncio.sleep(0.01)

    async def is_cancelled(fetcher: Any, drain: Any) -> None:
        raise asyncio.CancelledError

    async def raises(fetcher: Any, drain: Any) -> None:
        raise LookupError

    for loop in (ends, is_cancelled, raises):
        rig.consumer._crashed.clear()
        rig.app._crashed.clear()
        monkeypatch.setattr(rig.consumer, "_drain_lane", loop)
        async with asyncio.timeout(60):
            await rig.consumer._drain_messages(rig.fetcher)
        assert rig.app.crashed, loop


async def test_stopping_is_no_crash(rig: Rig) -> None:
    task = asyncio.ensure_future(rig.consumer._drain_messages(rig.fetcher))
    await rig.until(lambda: rig.drain.lane.is_open)
    rig.fetcher._stopped.set()
    async with asyncio.timeout(60):
        await asyncio.gather(task, return_exceptions=True)
    assert not rig.app.crashed


async def test_a_late_agent_writes_into_what_nobody_commits(rig: Rig, fake: FakeKafka) -> None:
    goes_on = asyncio.Event()
    first = True

    async def slow(batch: Batch[Any, Tally]) -> None:
        nonlocal first
        if first:
            first = False
            entity = batch.state["p1"]
            await goes_on.wait()
            entity.total += 1000
        await add(batch)

    rig.agent = slow
    fake.publish("vitals", beat(n=1))
    rig.run()
    await rig.until(lambda: not first)
    await rig.rebalance()
    await rig.until_total(1)
    goes_on.set()
    await asyncio.sleep(0.02)
    fake.publish("vitals", beat(n=2))
    await rig.until_total(3)
    assert len(fake.sums) == 2
    assert fake.opened == 1  # a rebalance does not reload a lane that stays


async def test_a_batch_that_a_rebalance_drops_is_handled_again(rig: Rig, fake: FakeKafka) -> None:
    dropped: list[int] = []

    def lost_once(message: LaneMessage) -> bool:
        if dropped:
            return True
        dropped.append(message.generation_id)
        return False

    rig.deliver = lost_once
    fake.publish("vitals", beat(n=1), beat(n=2))
    rig.run()
    await rig.until(lambda: bool(dropped))
    await rig.rebalance()
    await rig.until_total(3)
    assert dropped == [1]
    assert len(fake.sums) == 2


async def test_a_batch_that_nobody_handles_has_a_deadline(
    rig: Rig, fake: FakeKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport_module, "DISPATCH_GRACE_S", 0.1)
    monkeypatch.setattr(rig.consumer, "settings", replace(rig.settings, handler_deadline_s=0.1))
    lost = [True]
    rig.deliver = lambda message: not (lost and lost.pop())
    fake.publish("vitals", beat(n=1))
    rig.run()
    await rig.until_total(1)
    assert fake.opened == 2


async def test_a_rebalance_that_stops_for_long_commits_nothing_meanwhile(rig: Rig, fake: FakeKafka) -> None:
    rig.run()
    await rig.until(lambda: rig.drain.lane.is_open)
    rig.consumer.stop_flow()
    fake.publish("vitals", beat(n=1))
    await asyncio.sleep(0.1)
    assert fake.total("p1") == 0
    await rig.rebalance()
    await rig.until_total(1)


async def test_stopped_in_a_commit_the_lane_is_restored_when_it_runs_again(rig: Rig, fake: FakeKafka) -> None:
    """The commit may have succeeded: here it has. What is in memory says otherwise."""
    fake.publish("vitals", beat(n=1))
    committed = asyncio.Event()
    commit = FakeLaneProducer.commit

    async def commit_and_hang(self: Any, rows: Any, offsets: Any, group: str) -> None:
        await commit(self, rows, offsets, group)
        committed.set()
        await asyncio.sleep(60)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeLaneProducer, "commit", commit_and_hang)
        rig.run()
        await asyncio.wait_for(committed.wait(), 60)
        assert rig._task is not None
        rig._task.cancel()
        await asyncio.wait({rig._task})
    fake.publish("vitals", beat(n=2))
    rig.run()
    await rig.until_total(3)
    assert len(fake.sums) == 2
    assert fake.opened == 2


# Hole 8: ownership


async def test_a_lane_opens_only_with_all_its_topics(rig: Rig, fake: FakeKafka) -> None:
    rig.assign(["vitals", "ticks"])
    fake.publish("vitals", beat(n=1))
    rig.run()
    await asyncio.sleep(0.15)
    assert fake.opened == 0
    assert rig.consumer.standing() == {}
    await rig.rebalance()
    await rig.until_total(1)
    await rig.rebalance(["vitals", "ticks"])
    await rig.until(lambda: not rig.drain.lane.is_open)
    assert rig.meters.values[m.LANES, ()] == 0
    assert rig.meters.values[m.PATIENTS, ()] == 0


async def test_a_fenced_lane_waits_for_a_new_generation(rig: Rig, fake: FakeKafka) -> None:
    rig.run()
    await rig.until(lambda: rig.drain.lane.is_open)
    fake.holder = "the rightful owner"
    fake.publish("vitals", beat(n=1))
    await rig.until(lambda: not rig.drain.lane.is_open)
    await asyncio.sleep(0.2)
    assert fake.opened == 1  # or the two would fence each other for ever
    await rig.rebalance()
    await rig.until_total(1)
    assert fake.opened == 2


async def test_a_lane_whose_transaction_timed_out_is_fenced_too_and_waits_no_longer_than_a_session(
    rig: Rig, fake: FakeKafka
) -> None:
    rig.run()
    await rig.until(lambda: rig.drain.lane.is_open)
    fake.holder = "nobody"
    fake.publish("vitals", beat(n=1))
    started = time.monotonic()
    await rig.until_total(1)
    assert time.monotonic() - started > 0.5


async def test_a_lane_fenced_in_an_older_generation_does_not_wait(rig: Rig, fake: FakeKafka) -> None:
    rig.run()
    await rig.until(lambda: rig.drain.lane.is_open)
    rig.app.conf.broker_session_timeout = 60.0

    async def moves_on(batch: Batch[Any, Tally]) -> None:
        await add(batch)
        fake.holder = "somebody who has it no more"

    rig.agent = moves_on
    commit = FakeLaneProducer.commit

    async def late_commit(self: Any, rows: Any, offsets: Any, group: str) -> None:
        rig.agent = add
        if fake.opened == 1:
            rig.app.consumer_generation_id += 1  # the group is already further
        await commit(self, rows, offsets, group)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeLaneProducer, "commit", late_commit)
        fake.publish("vitals", beat(n=1))
        await rig.until_total(1)
    assert fake.opened == 2


async def test_inputs_with_more_partitions_than_lanes_end_the_worker(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would read them, nor miss them."""

    async def handed_on(assigned: Any, generation_id: int) -> None:
        pass

    monkeypatch.setattr(rig.consumer, "_on_partitions_assigned", handed_on)
    rig.app._rebalancing_sensor_state = {}
    await rig.consumer.on_partitions_assigned({TP(topic, 0) for topic in TOPICS}, 2)
    assert not rig.app.crashed
    await rig.consumer.on_partitions_assigned({TP("vitals", 1)}, 3)
    assert rig.app.crashed


# Holes 10 and 11


async def test_ticks_wait_for_the_other_inputs(rig: Rig, fake: FakeKafka) -> None:
    """After an outage an hour of ticks may be read before the vitals of that hour."""
    order: list[tuple[str, float]] = []

    async def note(batch: Batch[Any, Tally]) -> None:
        order.extend((batch.topic, received.event.received_at.timestamp()) for received in batch)

    rig.agent = note
    rig.aiokafka.chunk = 7
    fake.publish("ticks", *(minute(60.0 * i) for i in range(1, 6)))
    fake.publish("vitals", *(beat(at=10.0 * i) for i in range(30)))
    rig.run()
    await rig.until(lambda: len(order) == 35)
    for i, (topic, at) in enumerate(order):
        if topic == "ticks":
            assert all(t < at for _, t in order[:i])
            assert all(t >= at for _, t in order[i + 1 :])


async def test_an_event_that_raises_reloads_nothing(rig: Rig, fake: FakeKafka) -> None:
    fake.publish("vitals", beat(n=1), beat(n=13), beat(n=2))
    rig.run()
    await rig.until_total(3)
    assert rig.meters.total(m.DEAD_LETTERS) == 1
    assert rig.meters.total(m.RELOADS) == 0
    assert fake.opened == 1


async def test_a_failed_commit_restores_the_lane(rig: Rig, fake: FakeKafka) -> None:
    fake.commit_errors = [TimeoutError(), OSError()]
    fake.publish("vitals", beat(n=1), beat(n=2))
    rig.run()
    await rig.until_total(3)
    assert fake.opened == 3
    assert len(fake.sums) == 2


async def test_a_lane_that_cannot_open_tries_again_and_is_seen(
    rig: Rig, fake: FakeKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(client: Any, topics: Iterable[str]) -> dict[str, UUID]:
        if "vitals" in topics:
            raise TimeoutError
        return await fake.topic_ids(client, topics)

    fake.publish("vitals", beat(n=1))
    monkeypatch.setattr(transport_module, "topic_ids", fails)
    rig.run()
    await rig.until(lambda: fake.opened > 2)
    assert rig.consumer.standing()[0].positions == dict.fromkeys(TOPICS, 0)  # behind, as the watchdog reckons
    monkeypatch.setattr(transport_module, "topic_ids", fake.topic_ids)
    await rig.until_total(1)
    assert rig.consumer.standing()[0].positions["vitals"] == 1


async def test_a_lane_whose_changelog_is_gone_ends_the_worker_and_fences_nobody(rig: Rig, fake: FakeKafka) -> None:
    """It has moved to other lanes; a worker that slept through that must not make it anew."""
    del fake.ids["changelog"]
    rig.run()
    await rig.until(lambda: rig.app.crashed)
    assert fake.opened == 0


async def test_a_lane_that_faust_never_lets_run_is_seen(rig: Rig) -> None:
    rig.consumer.stop_flow()
    rig.run()
    await asyncio.sleep(0.05)
    assert set(rig.consumer.standing()) == {0}
