"""A batch through a Faust agent, as `test_context` runs it, and what the lane hears of its end."""

from __future__ import annotations

import asyncio
from typing import Any

import faust
import pytest

from tests.agents.apps import unconnected_app
from tests.agents.streams.fakes import Tally, add, batch_of, beat
from wardstream.agents import metrics as m
from wardstream.agents.streams.batch import Batch, LaneLost, lane_agent

LANES = 3


@pytest.fixture
async def app() -> faust.App:
    app = unconnected_app()
    app.finalize()
    app.flow_control.resume()
    return app


def awaited(batch: Batch[Any, Any]) -> asyncio.Future[None]:
    """What the lane waits for."""
    batch.handled = asyncio.get_running_loop().create_future()
    return batch.handled


async def test_an_agent_changes_state_and_adds_outputs(app: faust.App) -> None:
    agent, batch = lane_agent(app, "vitals", add, LANES), batch_of(beat(n=2), beat("p2", n=5), beat(n=3))
    async with agent.test_context() as tested:
        await tested.put(batch)
    assert batch.state["p1"].total == 5
    assert batch.state["p2"].total == 5
    assert [row.value for row in batch.outputs.rows["sums", 0]] == [b'{"total":2}', b'{"total":5}', b'{"total":5}']


async def test_the_lane_hears_that_a_batch_is_handled(app: faust.App) -> None:
    agent, batch = lane_agent(app, "vitals", add, LANES), batch_of(beat())
    handled = awaited(batch)
    async with agent.test_context() as tested:
        await tested.put(batch)
        await asyncio.wait_for(handled, 60)
    assert handled.result() is None


async def test_an_agent_lives_on_after_a_handler_that_raised(app: faust.App) -> None:
    agent, bad, good = lane_agent(app, "vitals", add, LANES), batch_of(beat(n=13)), batch_of(beat(n=1))
    heard = awaited(bad), awaited(good)
    async with agent.test_context() as tested:
        await tested.put(bad)
        await tested.put(good)
        await asyncio.wait(heard, timeout=60)
    assert isinstance(heard[0].exception(), RuntimeError)
    assert heard[1].result() is None
    assert good.state["p1"].total == 1


async def test_without_a_lane_an_error_is_the_tests_own(app: faust.App) -> None:
    with pytest.raises(RuntimeError, match="the name of a patient"), batch_of(beat(n=13)) as batch:
        await add(batch)


async def test_a_handler_that_takes_too_long_has_failed(app: faust.App) -> None:

    async def sleepy(batch: Batch[Any, Tally]) -> None:
        await asyncio.sleep(10)

    agent, batch = lane_agent(app, "vitals", sleepy, LANES, 0.05), batch_of(beat())
    handled = awaited(batch)
    async with agent.test_context() as tested:
        await tested.put(batch)
        await asyncio.wait({handled}, timeout=60)
    assert isinstance(handled.exception(), TimeoutError)


async def test_a_cancelled_agent_is_an_ordinary_error_for_the_lane() -> None:
    """gRPC can raise CancelledError by itself: as a result it would end the lane's loop without a sound."""
    batch = batch_of(beat())
    handled = awaited(batch)
    with pytest.raises(asyncio.CancelledError), batch:
        raise asyncio.CancelledError
    assert isinstance(handled.exception(), LaneLost)


async def test_an_agent_that_comes_too_late_disturbs_nobody() -> None:
    batch = batch_of(beat())
    handled = awaited(batch)
    handled.cancel()  # the lane waits no more
    with batch:
        await add(batch)
    with batch:
        raise RuntimeError
    assert handled.cancelled()


async def test_an_agent_is_listed_under_its_handlers_name(app: faust.App) -> None:
    agent = lane_agent(app, "vitals", add, LANES)
    assert agent.name == f"{add.__module__}.add"
    assert agent in app.agents.values()
    assert agent.concurrency == LANES
    assert not agent.channel.acks  # or Faust would wait for acknowledgements that never come


async def test_a_batch_is_counted_when_it_is_committed() -> None:
    batch = batch_of(beat(), beat())
    batch.count(m.SCORES, ("news2", "yes"), 2)
    assert batch.outputs.counts == {(m.SCORES, ("news2", "yes")): 2}
    assert len(batch) == 2
    assert [received.offset for received in batch] == [0, 1]
