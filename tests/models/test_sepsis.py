"""Inputs of `sepsis`: hours, medians, what is carried on, what is missing; and that nothing knows the future."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.models.measuring import HOUR, T0, event_id, kept
from wardstream.models.bins import KEPT_HOURS, MeasurementSet
from wardstream.models.sepsis import (
    CLOCK,
    LABS,
    LOOK_BACK,
    SIGNALS,
    Abstained,
    Calibration,
    Prepared,
    Who,
    hour_of,
    hourly,
    load_calibration,
    prepare,
    sigmoid,
    stacked,
)
from wardstream.models.signals import BY_CODE

HR, TEMP, LACTATE = (SIGNALS.index(code) for code in ("hr", "temp", "lactate"))
SIGNS = {"hr": 80.0, "rr": 16.0, "spo2": 97.0, "sbp": 120.0, "temp": 37.0}
ADULT = Who(T0, 61.5, "female")


def at(hours: float, name: object = None, **values: float) -> MeasurementSet:
    moment = T0 + hours * HOUR
    return MeasurementSet(moment, moment, event_id(name or f"{hours}/{sorted(values)}"), False, dict(values))


def prepared(sets: list[MeasurementSet], hours: float, who: Who = ADULT) -> Prepared:
    found = prepare(kept(sets), who, T0 + hours * HOUR)
    assert isinstance(found, Prepared)
    return found


@pytest.mark.parametrize(
    ("hours", "hour"), [(-0.1, 0), (0, 1), (0.01, 1), (1, 1), (1.0003, 2), (48, 48), (48.5, 49), (300, 300)]
)
def test_row_t_is_the_hour_that_ends_at_t(hours: float, hour: int) -> None:
    assert hour_of(T0 + hours * HOUR, T0) == hour


def test_every_signal_is_one_of_the_state() -> None:
    assert set(SIGNALS) <= set(BY_CODE)
    assert len(set(SIGNALS)) == len(SIGNALS) == 34
    assert LOOK_BACK + 1 <= KEPT_HOURS, "the bins reach as far as the window"


def test_an_hour_has_the_median_of_its_values_whatever_their_order() -> None:
    sets = [at(1.2, hr=80.0), at(1.4, hr=200.0), at(1.6, hr=84.0), at(1.9, temp=37.5)]
    grid = hourly(sets, T0, 1, 3)
    assert grid.shape == (3, 34)
    assert grid[1, HR] == 84.0
    assert grid[1, TEMP] == 37.5
    assert np.isnan(grid[0]).all()
    assert np.isnan(grid[2]).all()
    assert np.array_equal(grid, hourly(sets[::-1], T0, 1, 3), equal_nan=True)
    assert hourly([at(0.5, hr=80.0), at(0.6, hr=90.0)], T0, 1, 1)[0, HR] == 85.0


def test_values_are_carried_on_with_their_age() -> None:
    made = prepared([at(1, **SIGNS), at(3, hr=90.0), at(4, lactate=2.5)], 5)
    values, measured, since, about = (one[0] for one in stacked([made]))
    assert made.place == 4
    assert values[:5, HR].tolist() == [80, 80, 90, 90, 90]
    assert measured[:5, HR].tolist() == [1, 0, 1, 0, 0]
    assert since[:5, HR].tolist() == [0, 1, 0, 1, 2]
    assert since[:5, LACTATE].tolist() == [LOOK_BACK, LOOK_BACK, LOOK_BACK, 0, 1]
    assert values[:3, LACTATE].tolist() == [0, 0, 0]
    assert about[:5, CLOCK].tolist() == [1, 2, 3, 4, 5]
    assert about[4, :CLOCK].tolist() == [61.5, 1, 0, 1]
    assert not values[5:].any(), "padding"
    assert not about[5:].any()
    assert (since[5:] == LOOK_BACK).all()
    assert "lactate" not in made.missing
    assert "creat" in made.missing
    assert (made.input_from, made.input_until) == (T0 + HOUR, T0 + 4 * HOUR)


def test_the_window_forgets_what_is_older_than_the_look_back() -> None:
    sets = [at(1, lactate=4.0), *(at(hour, **SIGNS) for hour in range(1, 61))]
    inside, outside = prepared(sets, LOOK_BACK), prepared(sets, LOOK_BACK + 1)
    assert stacked([inside]).since[0, inside.place, LACTATE] == LOOK_BACK - 1
    assert "lactate" not in inside.missing
    assert "lactate" in outside.missing
    assert outside.place == LOOK_BACK - 1
    assert stacked([outside]).about[0, :, CLOCK].tolist() == list(range(2, LOOK_BACK + 2))
    newer = [one for one in sets if one.at > T0 + (60 - KEPT_HOURS + 1) * HOUR]
    for whole, part in zip(stacked([prepared(sets, 60)]), stacked([prepared(newer, 60)]), strict=True):
        assert np.array_equal(whole, part), "what the bins keep is enough"


def test_an_hour_that_is_corrected_is_made_anew() -> None:
    bins = kept([at(1, **SIGNS), at(2, "wrong", hr=180.0), at(3, **SIGNS)])
    before = prepare(bins, ADULT, T0 + 4 * HOUR)
    assert isinstance(before, Prepared)
    assert before.medians[1, HR] == 180.0
    bins.take_out({event_id("wrong")}, near=T0 + 2 * HOUR)
    bins.add(at(2, "right", hr=81.0))
    after = prepare(bins, ADULT, T0 + 4 * HOUR)
    assert isinstance(after, Prepared)
    assert after.medians[1, HR] == 81.0


def test_the_present_hour_holds_what_is_known_so_far() -> None:
    sets = [at(0.5, **SIGNS), at(1.2, hr=100.0), at(1.8, hr=140.0)]
    for hours, rate in ((1.3, 100.0), (1.9, 120.0), (2.0, 120.0)):
        assert prepared(sets, hours).medians[1, HR] == rate


@pytest.mark.parametrize(
    ("who", "sets", "hours", "why"),
    [
        (Who(None, 60, "male"), [at(1, **SIGNS)], 2, "no_admission"),
        (ADULT, [at(-1, **SIGNS)], -0.5, "before_admission"),
        (Who(T0, 17.9, "male"), [at(1, **SIGNS)], 2, "child"),
        (ADULT, [], 2, "too_little_known"),
        (ADULT, [at(1, hr=80.0, temp=37.0)], 2, "too_little_known"),
        (ADULT, [at(1, hr=80.0, sbp=120.0, map=80.0)], 2, "too_little_known"),
        (ADULT, [at(1, **SIGNS)], 13, "too_little_known"),
        (ADULT, [at(-0.5, **SIGNS)], 2, "too_little_known"),
    ],
)
def test_no_answer_is_given(who: Who, sets: list[MeasurementSet], hours: float, why: str) -> None:
    said = prepare(kept(sets), who, T0 + hours * HOUR)
    assert isinstance(said, Abstained)
    assert said.why == why


def test_three_vital_signs_of_the_last_twelve_hours_are_enough() -> None:
    signs = {"hr": 80.0, "rr": 16.0, "map": 80.0}
    assert isinstance(prepare(kept([at(1, **signs)]), ADULT, T0 + 12 * HOUR), Prepared)
    assert isinstance(prepare(kept([at(1, **signs)]), Who(T0, None, None), T0 + 12 * HOUR), Prepared), "age unknown"


def test_shuffling_what_comes_after_changes_nothing_before() -> None:
    """The leakage canary: all sets after t get each other's values, and no input at or before t moves."""
    rng = np.random.default_rng(7)
    sets = [
        at(
            hour + float(part),
            f"{hour}/{part}",
            **SIGNS | {code: float(rng.normal(50, 9)) for code in rng.choice(LABS, 9)},
        )
        for hour in range(70)
        for part in rng.random(2)
    ]
    for t in (1, 10, 47, 48, 49, 69):
        moment = T0 + t * HOUR
        after = [one for one in sets if one.at > moment]
        order = rng.permutation(len(after))
        shuffled = [one for one in sets if one.at <= moment] + [
            MeasurementSet(one.at, one.received, one.event_id, one.device, after[i].values)
            for one, i in zip(after, order, strict=True)
        ]
        now, again = prepared(sets, t), prepared(shuffled, t)
        assert all(np.array_equal(a, b) for a, b in zip(stacked([now]), stacked([again]), strict=True))
        assert now[1:] == again[1:]
        first = max(1, t - LOOK_BACK + 1)
        past, other = hourly(sets, T0, first, 70), hourly(shuffled, T0, first, 70)
        assert np.array_equal(past[: t - first + 1], other[: t - first + 1], equal_nan=True)
        if len(after) > 4:
            assert not np.array_equal(past, other, equal_nan=True), "the shuffle did shuffle"


def test_calibration_is_plain_numbers() -> None:
    line = Calibration(method="platt", slope=2.0, intercept=-1.0)
    assert line.apply(0.5) == pytest.approx(0.5)
    assert line.apply([-50.0, 50.0]).tolist() == pytest.approx([0.0, 1.0], abs=1e-9)
    steps = Calibration(method="isotonic", logits=(-2.0, 0.0), probabilities=(0.1, 0.3))
    assert steps.apply([-9.0, -1.0, 5.0]).tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert sigmoid([0.0, 800.0, -800.0]).tolist() == [0.5, 1.0, 0.0]


def test_calibration_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    path.write_text('{"method":"platt","slope":1.5,"intercept":-0.5,"thresholds":{"alert":0.2}}')
    found = load_calibration(path)
    assert (found.slope, found.thresholds["alert"]) == (1.5, 0.2)
    path.write_text('{"method":"guess"}')
    with pytest.raises(ValueError, match="guess"):
        load_calibration(path)
