"""A trace through a lane: its outputs go on from its input, and what is given up is never told of."""

from __future__ import annotations

from typing import Any

import pytest

from tests.agents.streams.fakes import Record, add, beat, dispatch, open_lane, records
from tests.tracing import CALLER, TRACE, noted
from wardstream.agents.streams.batch import Received
from wardstream.agents.streams.lane import HandlerFailed, Lane
from wardstream.agents.tracing import TRACEPARENT

to_agents = dispatch(add, failures=HandlerFailed)
TRACED = ((TRACEPARENT, CALLER.encode()),)


def items(lane: Lane, *read: Record) -> list[Received[Any]]:
    return [item for record in read for item in lane.decode(record.topic, [record], 0.0)]


async def test_outputs_of_traced_inputs_go_on_from_them() -> None:
    lane, producer = open_lane()
    plain, traced = records("vitals", beat(n=1), beat(n=2))
    with noted() as notes:
        await lane.apply(items(lane, plain, traced._replace(headers=TRACED)), to_agents)
    (span,) = notes.ended
    assert (span.name, span.parent) == ("process vitals", CALLER)
    assert [row.headers for row in producer.rows("sums")] == [(), ((TRACEPARENT, span.traceparent.encode()),)]
    assert TRACE in span.traceparent


async def test_an_input_that_leads_to_nothing_is_told_of() -> None:
    lane, _ = open_lane()
    (one,) = records("vitals", beat())
    with noted() as notes:
        twice = [one._replace(headers=TRACED), one._replace(headers=TRACED, offset=1)]
        await lane.apply(items(lane, *twice), to_agents)
    assert [span.name for span in notes.ended] == ["process vitals"] * 2, "also of a resend"


async def test_a_batch_that_is_halved_is_told_of_once() -> None:
    lane, producer = open_lane()
    read = [one._replace(headers=TRACED) for one in records("vitals", beat(n=1), beat(n=13), beat(n=2))]
    with noted() as notes:
        await lane.apply(items(lane, *read), to_agents)
    assert len(notes.ended) == 3
    told = {span.traceparent.encode() for span in notes.ended}
    assert {dict(row.headers)[TRACEPARENT] for row in producer.rows("sums")} < told


async def test_what_is_not_committed_is_not_told_of() -> None:
    lane, producer = open_lane()
    producer.errors = [RuntimeError()]
    (one,) = records("vitals", beat())
    with noted() as notes, pytest.raises(RuntimeError):
        await lane.apply(items(lane, one._replace(headers=TRACED)), to_agents)
    assert notes.ended == []


async def test_who_does_not_trace_hands_a_trace_on() -> None:
    lane, producer = open_lane()
    (one,) = records("vitals", beat())
    await lane.apply(items(lane, one._replace(headers=(("other", b"x"), *TRACED))), to_agents)
    assert [row.headers for row in producer.rows("sums")] == [TRACED]
