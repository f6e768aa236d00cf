"""Hours that nobody told, days on which a unit is closed, units that are no more."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.agents.flow_lane import SITE, FlowLane, in_and_out, last
from tests.agents.lanes import Lanes
from tests.events import START, admission, tick
from wardstream.agents.streams.state import LaneState
from wardstream.infra.flow_reading import Asked
from wardstream.models.flow.members import HourOfWeek
from wardstream.models.flow.site import FlowCodec, Site, UnitRules
from wardstream.schemas.flow import KEPT_DAYS


async def test_hours_that_the_clock_went_over_are_told_and_the_unit_comes_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A feed is down, and while it is the clock goes on by days at once; patients came in between, and one is there."""
    lanes = Lanes(1)
    await lanes.give(admission("stays", 5, "admit", unit="A", patient_id="PA", encounter_id="EA"))
    for hour in range(48):
        await in_and_out(lanes, hour, 6)
        await lanes.give(tick(hour * 60 + 60))
    for hour in range(48, 60):
        await lanes.give(tick(hour * 60 + 60))
    later = 60 + 70
    for hour in (100, 129):  # both in hours that are skipped
        who = {"patient_id": f"P{hour}", "encounter_id": f"E{hour}"}
        await lanes.give(admission(f"in {hour}", hour * 60 + 5, "admit", later * 60 - 30, unit="ED", **who))
    await lanes.give(tick(later * 60 + 60), tick(later * 60 + 120))
    flow = FlowLane(SITE, lanes.logs)
    await flow.settle()
    told = flow.told()
    for unit, there in (("A", [1] * 132), ("ED", [0] * 100 + [1] * 29 + [2] * 3)):
        series = sorted((one.hour_from, one.census) for (name, _), one in last(told).items() if name == unit)
        assert [at for at, _ in series] == [START + timedelta(hours=hour) for hour in range(132)]
        assert [census for _, census in series] == there
    mine = {one.hour_from: one for one in told if one.unit == "ED" and one.status == "final"}
    assert mine[START + timedelta(hours=59)].silent, "before the jump"
    assert all(mine[START + timedelta(hours=hour)].silent for hour in range(60, later))
    assert mine[START + timedelta(hours=later)].ahead, "somebody came"
    assert mine[START + timedelta(hours=later + 1)].ahead
    assert len(told) == len({one.event_id for one in told})
    assert [record.message for record in caplog.records if "clock" in record.message] == [
        "the clock went on by 70 hours at once: they are told without forecasts"
    ]


async def test_a_jump_in_which_nobody_came_is_no_hour_without_arrivals() -> None:
    """The feed is down, and the clock goes on by days at once: the first hour after it is silent, and teaches nothing.

    In a clinic to which somebody comes every tenth hour nobody is missed.
    """
    lanes = Lanes(1)
    for hour in range(72):
        await in_and_out(lanes, hour, 6)
        await in_and_out(lanes, hour, hour % 10 == 0, "Clinic")
        await lanes.give(tick(hour * 60 + 60))
    for hour in (72 + 60, 72 + 61):
        await lanes.give(tick(hour * 60 + 60))
    flow = FlowLane(SITE, lanes.logs)
    await flow.settle()
    after = {(one.unit, one.hour_from): one for one in flow.told() if one.hour_from >= START + timedelta(hours=132)}
    assert {(unit, one.silent, bool(one.ahead)) for (unit, _), one in after.items()} == {
        ("ED", True, False),
        ("Clinic", False, True),
    }
    assert len(after) == 4
    await in_and_out(lanes, 72 + 62, 6)
    await lanes.give(tick((72 + 63) * 60))
    await flow.settle()
    (back,) = [one for one in flow.told() if one.unit == "ED"][-1:]
    assert back.ahead, "they come again"
    assert back.ahead[0].arrivals.mean > 5.0


async def test_hours_are_closed_although_no_tick_falls_on_their_end() -> None:
    """After a jump of the clock its ticks strike no full hour any more."""
    lanes = Lanes(1)
    for hour in range(6):
        await in_and_out(lanes, hour, 2)
        await lanes.give(tick(hour * 60 + 60))
    await lanes.give(tick(70 * 60 + 30))
    await lanes.give(admission("in", 71 * 60 + 18, "admit", unit="A", encounter_id="E"), tick(71 * 60 + 30))
    await lanes.give(tick(72 * 60 + 12))
    flow = FlowLane(SITE, lanes.logs)
    await flow.settle()
    told = last(flow.told())
    assert {begin for unit, begin in told if unit == "ED"} == {START + timedelta(hours=hour) for hour in range(72)}
    assert told["A", START + timedelta(hours=71)].census == 1


@pytest.mark.parametrize("stated", [True, False])
async def test_a_day_on_which_a_unit_is_closed_is_no_feed_that_is_down(stated: bool) -> None:
    """Each hour somebody comes to the clinic, but on the Sunday (8 March) nobody does: stated, that is learnt."""
    lanes = Lanes(1)
    for hour in range(24 * 8):
        if (START + timedelta(hours=hour)).day != 8:
            await in_and_out(lanes, hour, 1, "Clinic")
        await lanes.give(tick(hour * 60 + 60))
    closed = frozenset({"sunday"}) if stated else frozenset()
    flow = FlowLane(Site(units={"Clinic": UnitRules(closed=closed)}), lanes.logs)
    await flow.settle()
    assert bool([one for one in flow.told() if one.silent]) == (not stated)
    unit = Asked(LaneState(FlowCodec(), flow.rows), Site()).units["Clinic"]
    hours = unit.arrivals.members["hour of week"]
    assert isinstance(hours, HourOfWeek)
    assert (hours.sums[6 * 24 + 20] == 1.0) == stated, "on the first Sunday one, on the second nobody"


async def test_a_unit_that_is_no_more_is_told_for_the_last_time() -> None:
    """Ward B is renamed: after 35 days without anybody its last record says so; who comes later finds a new unit."""
    lanes = Lanes(1)
    await lanes.give(admission("stays", 5, "admit", unit="A", patient_id="PA", encounter_id="EA"))
    await in_and_out(lanes, 1, 2, "B")
    midnight = 24 * (KEPT_DAYS + 2) + 16  # of START's clock
    for hour in (0, 1, 2, midnight - 2, midnight - 1, midnight, midnight + 1):
        still = {"patient_id": "PA", "encounter_id": "EA"}
        await lanes.give(admission(f"there {hour}", hour * 60 + 6, "update", **still))
        await lanes.give(tick(hour * 60 + 60))
    flow = FlowLane(SITE, lanes.logs)
    await flow.settle()
    told = flow.told()
    (end,) = [one for one in told if one.ended]
    assert (end.unit, end.census, end.ahead) == ("B", 0, ())
    assert end.hour_from == START + timedelta(hours=midnight)
    assert max(one.hour_from for one in told if one.unit == "B") == end.hour_from
    assert max(one.hour_from for one in told if one.unit == "A") > end.hour_from
    assert not [name for name in flow.rows if b"B" in name.split(b"\0")]
    await in_and_out(lanes, midnight + 2, 1, "B")
    await lanes.give(tick((midnight + 3) * 60))
    await flow.settle()
    again = [one for one in flow.told() if one.unit == "B"][-1]
    assert (again.admissions, again.discharges, again.ended) == (1, 1, False)
    assert again.ahead


async def test_a_unit_whose_only_patient_was_never_there_ends_in_the_next_first_hour_of_a_day() -> None:
    lanes = Lanes(1)
    await lanes.give(admission("in", 5, "admit", unit="A", patient_id="PA", encounter_id="EA"))
    who = {"patient_id": "PB", "encounter_id": "EB"}
    await lanes.give(admission("wrong", 10, "admit", unit="B", **who), tick(60))
    await lanes.give(admission("undo", 70, "cancel_admit", **who))
    for hour in range(2, 24):
        await lanes.give(tick(hour * 60))
    flow = FlowLane(SITE, lanes.logs)
    await flow.settle()
    mine = [one for one in flow.told() if one.unit == "B"]
    assert [(one.census, one.admissions) for one in mine if one.hour_from == START] == [(1, 1), (0, 0)]
    (end,) = [one for one in mine if one.ended]
    assert (end, end.census, end.hour_from) == (mine[-1], 0, START + timedelta(hours=16))
    assert not [one for one in flow.told() if one.ended and one.unit == "A"]
