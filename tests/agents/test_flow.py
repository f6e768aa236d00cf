"""Patient flow on its lane: hours are closed when all lanes have said so, counts are exact, a kill changes nothing."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

import pytest

from tests.agents.flow_lane import SITE, FlowLane, Killed, in_and_out, last
from tests.agents.lanes import Lanes
from tests.events import START, admission, tick
from wardstream.agents.closing import forecast_of
from wardstream.agents.metrics import FLOW_SCORED, HANDLER_ERRORS
from wardstream.agents.streams.outputs import Row
from wardstream.agents.streams.state import LaneState
from wardstream.infra.failure import Failure
from wardstream.infra.flow_reading import Asked
from wardstream.infra.flow_show import refuse_delay
from wardstream.models.flow.arrivals import HORIZONS
from wardstream.models.flow.census import HOUR_S, Census, Kept
from wardstream.models.flow.site import FlowCodec
from wardstream.models.flow.unit import Delay
from wardstream.schemas.admissions import Admission
from wardstream.schemas.flow import LEVELS
from wardstream.schemas.occupancy import PARTITIONS, RECEIVED_AT, Occupancy, over_key
from wardstream.schemas.ticks import Tick

HOURS = 14
UNIT_SCORED = "flow_unit_forecasts_scored_total"


def story(seed: int, hours: int = HOURS) -> Iterator[Admission | Tick]:
    """Patients go through the emergency department, some to a ward; much is charted late, and some of it taken back."""
    rng = random.Random(seed)
    told: list[tuple[float, Admission]] = []
    for number in range(hours * 2):
        who, came = {"patient_id": f"P{number}", "encounter_id": f"E{number}"}, rng.uniform(0, hours * 60)
        steps = [(came, "admit", "ED"), (came + rng.uniform(20, 300), "discharge", None)]
        if rng.random() < 0.4:
            steps[1:] = [
                (came + rng.uniform(20, 200), "transfer", "A"),
                (came + rng.uniform(400, 2000), "discharge", None),
            ]
        for step, (when, kind, unit) in enumerate(steps):
            late = when + rng.choice([0.0, 0.0, rng.uniform(0, 150)])
            name = f"{number}-{step}"
            told.append((late, admission(name, when, kind, late, unit=unit, age_years=50.0 + number % 40, **who)))
            if rng.random() < 0.15:
                wrong = f"wrong-{name}"
                told.append((late, admission(wrong, when + 1, "transfer", late + 1, unit="B", **who)))
                undone = late + rng.uniform(2, 200)
                taken_back = admission(f"undo-{name}", when + 2, "cancel_transfer", undone, supersedes=wrong, **who)
                told.append((undone, taken_back))
    told.sort(key=lambda one: one[0])
    minute = 60.0
    for when, event in told:
        while minute <= when:
            yield tick(minute)
            minute += 60.0
        yield event
    yield tick(minute)


async def logged(seed: int, lanes: int = 3) -> Lanes:
    """The story as the lanes of patients have told it."""
    made = Lanes(lanes)
    for event in story(seed):
        await made.give(event)
    return made


def recount(table: dict[str, Occupancy], unit: str, begin: datetime) -> tuple[int, int, int, int, int]:
    """Census at an hour's end and movements in it, by looking at every stay."""
    end = begin + timedelta(hours=1)
    visits = []
    for row in table.values():
        if row.unit == unit:
            visits += [(one.since, one.came_from, one.left_at, one.left_to) for one in row.earlier]
            visits.append((row.since, row.came_from, row.left_at, row.left_to))
    came = [one for one in visits if begin <= one[0] < end]
    left = [one for one in visits if one[2] is not None and begin <= one[2] < end]
    return (
        sum(one[0] < end and (one[2] is None or one[2] >= end) for one in visits),
        sum(one[1] is None for one in came),
        sum(one[1] is not None for one in came),
        sum(one[3] is None for one in left),
        sum(one[3] is not None for one in left),
    )


@pytest.mark.parametrize("seed", range(2))
async def test_the_series_is_exact_after_any_corrections(seed: int) -> None:
    lanes = await logged(seed)
    flow = FlowLane(SITE, lanes.logs)
    await flow.settle()
    table, told = lanes.table(), flow.told()
    assert flow.dead == []
    assert sum(one.status == "corrected" for one in told) > 20, "much was charted late"
    compared = 0
    for (unit, begin), one in last(told).items():
        movements = (one.admissions, one.transfers_in, one.discharges, one.transfers_out)
        assert (one.census, *movements) == recount(table, unit, begin), (unit, begin)
        compared += 1
    assert compared > 2 * HOURS - 5


@pytest.mark.parametrize("seed", range(2))
async def test_a_kill_changes_no_forecast(seed: int) -> None:
    """Killed at any commit, read in batches of any size, partitions in any order: flow.v1 is the same to the byte."""
    logs = (await logged(7)).logs
    whole, killed = FlowLane(SITE, logs), FlowLane(SITE, logs)
    await whole.settle()
    assert sum(any(record.value for record in log) for log in whole.logs) > 1, "units lie in several partitions"
    rng = random.Random(seed)
    kills = 0

    def kill() -> None:
        nonlocal kills
        if rng.random() < 0.15:
            kills += 1
            raise Killed

    killed.kill = kill
    await killed.settle(rng.randint(3, 9), rng)
    assert kills > 3
    forecasts = [one for one in whole.told() if one.ahead]
    assert len(forecasts) > HOURS
    assert killed.flow == whole.flow


async def test_however_far_apart_lanes_are_forecasts_are_the_same() -> None:
    """One lane is hours behind the others, as after a worker's death: what it told late is of the same hours."""
    events = list(story(3))
    even, uneven = Lanes(2), Lanes(2)
    for event in events:
        await even.give(event)
    uneven.publish(*events)
    while uneven.unread(0):  # lane 0 first, all of it
        await uneven.step(0)
    await uneven.settle()
    one, other = FlowLane(SITE, even.logs), FlowLane(SITE, uneven.logs)
    await one.settle()
    await other.settle()
    said, again = ([(t.unit, t.hour_from, t.ahead) for t in lane.told() if t.ahead] for lane in (one, other))
    assert said == again


def over(hour: int, lane: int, lanes: int) -> Row:
    """A lane says that the hour that ends so many hours after the beginning is over."""
    end = repr(START.timestamp() + hour * HOUR_S).encode()
    return Row(over_key(lane, lanes).encode(), None, 0, ((RECEIVED_AT, end),))


async def test_an_hour_is_closed_when_all_lanes_have_said_so() -> None:
    lanes = Lanes(1)
    await lanes.give(admission("in", 5, "admit", unit="A", encounter_id="E"))
    flow = FlowLane(SITE, lanes.logs)
    everywhere = range(PARTITIONS)

    async def say(hour: int, lane: int, lanes: int, partitions: Iterable[int] = everywhere) -> list[datetime]:
        """A lane says that an hour is over; returns the hours that were told until now."""
        for partition in partitions:
            flow.append(over(hour, lane, lanes), partition)
        await flow.settle()
        return [one.hour_from for one in flow.told()]

    assert await say(1, 0, 2) == []
    assert await say(2, 0, 2) == []
    assert await say(1, 1, 2, everywhere[:-1]) == [], "in one partition more of that lane's rows may come"
    assert await say(1, 1, 2, everywhere[-1:]) == [START]
    (first,) = flow.told()
    assert (first.unit, first.census, first.admissions) == ("A", 1, 1)
    assert await say(2, 1, 2) == [START, START + timedelta(hours=1)]
    assert len(await say(3, 0, 1)) == 3, "there is one lane now"


async def test_a_row_that_cannot_be_counted_keeps_no_hour_open(monkeypatch: pytest.MonkeyPatch) -> None:
    logs, put = (await logged(4)).logs, Census.put

    def failing(census: Census, key: str, row: Occupancy) -> tuple[Kept | None, Kept]:
        if row.encounter_id == "E3":
            raise RuntimeError("the name of a patient")
        return put(census, key, row)

    sound, broken = FlowLane(SITE, logs), FlowLane(SITE, logs)
    await sound.settle()
    monkeypatch.setattr(Census, "put", failing)
    await broken.settle()
    hours = {(one.unit, one.hour_from) for one in sound.told() if one.status == "final"}
    assert {(one.unit, one.hour_from) for one in broken.told() if one.status == "final"} == hours
    assert broken.dead == []
    assert broken.meters.total(HANDLER_ERRORS) >= 2
    assert broken.told() != sound.told()


async def test_what_a_forecast_says() -> None:
    flow = FlowLane(SITE, (await logged(1)).logs)
    await flow.settle()
    forecasts = [one for one in flow.told() if one.ahead and one.unit == "A"]
    said = forecasts[-1]
    assert said.staffed == 12
    assert [one.horizon_h for one in said.ahead] == list(HORIZONS)
    assert len(said.course) == max(HORIZONS)
    assert said.course[(said.peak_h or 0) - 1] == max(said.course)
    for one in said.ahead:
        for spread in (one.arrivals, one.discharges, one.beds):
            assert len(spread.quantiles) == len(LEVELS)
            assert list(spread.quantiles) == sorted(spread.quantiles)
        assert one.full is not None
        assert one.shortfall is not None
        assert one.nurses is not None
        assert one.nurses[1] == -(-one.beds.quantiles[LEVELS.index(0.5)] // 6)
        assert one.discharges.quantiles[-1] <= said.census
    (other, *_) = [one for one in flow.told() if one.ahead and one.unit == "B"]
    assert other.ahead[0].full is None, "nothing is stated of it"


async def test_a_silent_feed_teaches_nothing() -> None:
    """After weeks with some six arrivals an hour nothing comes any more: no unit learns that nobody comes."""
    lanes = Lanes(1)
    rng = random.Random(1)
    for hour in range(24 * 4):
        for number in range(rng.choice([4, 5, 6, 7, 8])):
            who = {"patient_id": f"P{hour}-{number}", "encounter_id": f"E{hour}-{number}"}
            came = hour * 60 + rng.uniform(0, 30)
            await lanes.give(admission(f"in {who}", came, "admit", unit="ED", **who))
            await lanes.give(admission(f"out {who}", came + 25, "discharge", **who))
        await lanes.give(tick(hour * 60 + 60))
    for hour in range(24 * 4, 24 * 5):
        await lanes.give(tick(hour * 60 + 60))
    flow = FlowLane(SITE, lanes.logs)
    await flow.settle()
    told = flow.told()
    silent = [one for one in told if one.silent]
    assert 18 < len(silent) < 24
    assert all(not one.ahead for one in silent)
    assert flow.row("ED").expected > 4.0, "it still expects them"


async def test_measures_are_on_the_stream() -> None:
    flow = FlowLane(SITE, (await logged(2)).logs)
    await flow.settle()
    counted = {(metric.name, labels): value for (metric, labels), value in flow.meters.values.items()}
    for what in ("arrivals", "beds"):
        for forecaster in ("forecast", "hour of week", "seasonal naive", "moving average"):
            labels = (what, forecaster, "4")
            scored = counted["flow_forecasts_scored_total", labels]
            assert scored > HOURS
            assert 0 <= counted["flow_absolute_error_total", labels] < 10 * scored
            assert 0 < counted["flow_crps_total", labels] < 10 * scored
            assert 0 < counted["flow_pinball_total", labels] < 10 * scored
            of_units = [v for (name, key), v in counted.items() if name == UNIT_SCORED and key[1:] == (what, "4")]
            assert len(of_units) > 1
            assert sum(of_units) == scored, "each unit is counted once"
            pit = sum(v for (name, key), v in counted.items() if name == "flow_pit_total" and key[:3] == labels)
            assert pit == scored
    assert counted["flow_forecasts_total", ()] == sum(bool(one.ahead) for one in flow.told())


async def test_a_unit_is_asked_from_the_changelog() -> None:
    """What is asked between hours is what was published; nobody in the story is planned, so nobody is delayed."""
    flow = FlowLane(SITE, (await logged(5)).logs)
    for log in flow.logs:
        del log[len(log) // 2 :]
    await flow.settle()
    asked = Asked(LaneState(FlowCodec(), flow.rows), SITE)
    newest = next(one for one in reversed(flow.told()) if one.ahead and one.unit == "A")
    assert asked.hour == newest.hour_from.timestamp() // HOUR_S
    said = forecast_of(asked.outlook("A"), SITE.unit("A"))
    assert (said["ahead"], said["course"]) == (newest.ahead, newest.course)
    assert forecast_of(asked.outlook("A", Delay(24, 24)), SITE.unit("A"))["course"] == newest.course
    moved = asked.movements("A")
    assert sum(moved.values()) > 0
    assert all(moved[name] == getattr(newest, name) for name in moved)
    with pytest.raises(Failure, match="units are A"):
        asked.outlook("nowhere")


async def test_only_who_was_registered_before_is_delayed() -> None:
    """As many come to ward A planned as come unannounced; to ward B and the department all come unannounced."""
    lanes = Lanes(1)
    for hour in range(24 * 3):
        for unit, planned in (("ED", False), ("A", True), ("A", False), ("B", False)):
            who = {"patient_id": f"{unit}{hour}{planned}", "encounter_id": f"E{unit}{hour}{planned}", "unit": unit}
            came = hour * 60 + 20
            if planned:
                await lanes.give(admission(f"booked {who}", came - 10, "admit", patient_class="preadmit", **who))
            kind = "emergency" if unit == "ED" else "inpatient"
            await lanes.give(admission(f"in {who}", came, "admit", patient_class=kind, **who))
        await lanes.give(tick(hour * 60 + 60))
    flow = FlowLane(SITE, lanes.logs)
    await flow.settle()
    asked = Asked(LaneState(FlowCodec(), flow.rows), SITE)
    delay = Delay(24, 48)
    fewer = {name: asked.outlook(name).expected[23] - asked.outlook(name, delay).expected[23] for name in ("A", "B")}
    assert asked.units["A"].planned == pytest.approx(0.5, abs=0.02)
    assert fewer["A"] > 1.0
    assert fewer["B"] == 0.0
    refuse_delay("A", SITE.unit("A"), asked)
    for unit, said in (("B", "registered"), ("ED", "emergency department")):
        with pytest.raises(Failure, match=said):
            refuse_delay(unit, SITE.unit(unit), asked)


async def test_measures_are_of_the_same_hours() -> None:
    """Forecast and baselines are scored on the same hours, also when the feed has been down."""
    lanes = Lanes(1)
    for hour in range(24 * 4):
        if not 24 <= hour < 44:
            await in_and_out(lanes, hour, 6)
        await lanes.give(tick(hour * 60 + 60))
    flow = FlowLane(SITE, lanes.logs)
    await flow.settle()
    assert [one for one in flow.told() if one.silent]
    counted = {labels: value for (metric, labels), value in flow.meters.values.items() if metric is FLOW_SCORED}
    assert counted
    for what, forecaster, horizon in counted:
        assert counted[what, forecaster, horizon] == counted[what, "forecast", horizon], (what, forecaster, horizon)
