"""A unit's forecast of beds: near what comes, wider in what is shared, through outages and restores."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import numpy as np
import pytest

from wardstream.infra.feeds.flow_hospital import UnitHour
from wardstream.models.flow.arrivals import HORIZONS
from wardstream.models.flow.calendar import Calendar
from wardstream.models.flow.counts import mean_of
from wardstream.models.flow.judging_beds import judge_beds
from wardstream.models.flow.snapshot import VERSION, BadSnapshot, dump, load
from wardstream.models.flow.unit import AHEAD, Came, Delay, Outlook, Present, Unit

FIRST = 400_008


def ward(hours: int, seed: int = 1) -> Iterator[tuple[int, int, dict[str, Present]]]:
    """Some come by day, and stay for a day or two; nobody leaves at night."""
    rng = np.random.default_rng(seed)
    present: dict[str, Present] = {}
    for hour in range(FIRST, FIRST + hours):
        by_day = 8 <= hour % 24 < 20
        present = {key: one for key, one in present.items() if not (by_day and rng.random() < 0.08)}
        arrived = int(rng.poisson(2.0 if by_day else 0.5))
        present |= {f"{hour}-{i}": Present(hour + float(rng.random()), 60.0, 3) for i in range(arrived)}
        yield hour, arrived, dict(present)


def step(unit: Unit, hour: int, arrived: int, present: dict[str, Present]) -> Outlook:
    unit.learn(hour, Came(arrived, arrived), present)  # all of them are planned
    return unit.say(hour)


def same(one: Outlook, other: Outlook) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one.needed + one.raw, other.needed + other.raw, strict=True))


def test_a_restored_unit_says_what_it_would_have_said() -> None:
    """Snapshot, end, restore, go on: every forecast is the same bit by bit, so a kill changes none."""
    hours = list(ward(24 * 12))
    calendar, whole = Calendar(), Unit(Calendar())
    for hour, arrived, present in hours[:-30]:
        step(whole, hour, arrived, present)
    restored = load(dump(whole), calendar, Unit)
    for hour, arrived, present in hours[-30:]:
        assert same(step(whole, hour, arrived, present), step(restored, hour, arrived, present))


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("called",)


@pytest.mark.parametrize("content", [pickle.dumps(Evil()), pickle.dumps(3.0), b"", b"\x80\x05rubbish"])
def test_what_is_no_snapshot_is_refused_and_calls_nothing(content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    for snapshot in (VERSION + content, content):
        with pytest.raises(BadSnapshot):
            load(snapshot, Calendar(), Unit)
    assert capsys.readouterr().out == ""


def test_beds_are_forecast_soon_after_a_unit_opens() -> None:
    """From the third week on: a day ahead better than by the weeks before, and intervals hold what they should."""
    hours = ((hour, {"A": UnitHour(Came(arrived), present)}, ()) for hour, arrived, present in ward(24 * 28))
    judged = judge_beds(hours, None, Calendar(), 24 * 14, horizons=(24,))["A"][24]
    assert judged["beds"].crps.value < 0.9 * judged["hour of week"].crps.value
    assert judged["beds"].coverage[0.8].value > 0.7


def test_an_outage_is_gone_over() -> None:
    unit = Unit(Calendar())
    for hour, arrived, present in ward(24 * 10):
        if 24 * 7 <= hour - FIRST < 24 * 8:
            unit.miss(hour)
        else:
            said = step(unit, hour, arrived, present)
    assert np.isfinite(said.expected).all()
    assert [float(pmf.sum()) for pmf in said.needed] == pytest.approx([1.0] * len(HORIZONS))
    assert mean_of(said.raw[0]) == pytest.approx(len(present), abs=5.0)


def test_means_and_the_peak_follow_from_the_distributions() -> None:
    unit = Unit(Calendar())
    for hour, arrived, present in ward(24 * 8):
        said = step(unit, hour, arrived, present)
    assert [said.expected[h - 1] for h in HORIZONS] == pytest.approx([float(mean_of(p)) for p in said.raw], rel=0.01)
    leaving = [float(mean_of(pmf)) for pmf in said.leaving]
    assert leaving == sorted(leaving)
    assert leaving[-1] <= len(present)
    assert said.expected[said.peak_h - 1] == said.expected.max()
    assert len(said.expected) == AHEAD


def test_an_empty_unit_is_forecast() -> None:
    said = step(Unit(Calendar()), FIRST, 0, {})
    assert np.isfinite(said.expected).all()


def test_planned_patients_who_come_later_need_their_beds_later() -> None:
    unit = Unit(Calendar())
    for hour, arrived, present in ward(24 * 10):
        said = step(unit, hour, arrived, present)
    delayed = unit.forecast(hour, delay=Delay(within_h=12, by_h=24))
    fewer = said.expected - delayed.expected
    assert fewer[11] > 3.0, "by then those of half a day are missing"
    assert abs(fewer[47]) < 0.5 * fewer[11], "a day later they have come"
    assert same(unit.forecast(hour), said), "to ask what if changes nothing"


def test_while_the_emergency_department_is_silent_those_from_there_are_not_delayed() -> None:
    """Who comes from there is in the rate of all, for nobody knows who will; as many as without them are delayed."""
    without, among = Unit(Calendar()), Unit(Calendar())
    for hour, arrived, present in ward(24 * 10):
        others = arrived - arrived // 2
        without.learn(hour, Came(others, others), present)
        among.learn(hour, Came(arrived, others, arrived // 2), present)
    delay = Delay(within_h=12, by_h=24)
    one, other = (unit.forecast(hour).expected - unit.forecast(hour, delay=delay).expected for unit in (without, among))
    assert one[11] > 3.0
    assert other == pytest.approx(one, rel=0.05, abs=0.05)


def test_a_gap_of_weeks_is_gone_over_in_days() -> None:
    unit = Unit(Calendar())
    for hour, arrived, present in ward(24 * 9):
        step(unit, hour, arrived, present)
    unit.go_to(hour + 24 * 7 * 52 + 5)
    assert unit.arrivals.hour == hour + 24 * 7 * 52 + 4
    assert unit.present is None
    assert np.isfinite(step(unit, hour + 24 * 7 * 52 + 5, 2, {}).expected).all()


@pytest.mark.parametrize("hours", [2, 24 * 7, 24 * 7 + 1, 24 * 14 + 1])
def test_after_a_gap_nobody_knows_who_left_in_it(hours: int) -> None:
    unit = Unit(Calendar())
    for hour, arrived, present in ward(24 * 2):
        step(unit, hour, arrived, present)
    unit.go_to(hour + hours)
    assert unit.arrivals.hour == hour + hours - 1
    assert unit.present is None
    assert unit.learn(hour + hours, Came(1), {}) == []


def test_nobody_is_planned_who_is_not_known_to_be() -> None:
    unit = Unit(Calendar())
    for hour, arrived, present in ward(24 * 4):
        unit.learn(hour, Came(arrived), present)
        said = unit.say(hour)
    assert same(unit.forecast(hour, delay=Delay(within_h=24, by_h=48)), said)
