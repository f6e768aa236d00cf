"""One patient's measurements: any order of arrival gives the same state."""

from __future__ import annotations

import random
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.measuring import (
    HOUR,
    MINUTE,
    T0,
    MemoryRows,
    Said,
    apply,
    event_id,
    histories,
    holding,
    newest,
    said,
    state,
    summaries,
)
from wardstream.models.bins import Bins, summarise
from wardstream.models.patient import KEPT_AWAITED, RECOUNTED_S, Patient, PatientCodec
from wardstream.models.signals import DAY

codec = PatientCodec()


@settings(max_examples=300)
@given(st.data())
def test_any_order_of_arrival_gives_the_same_signals_and_bins(data: st.DataObject) -> None:
    history = data.draw(histories())
    arrived = data.draw(st.permutations(history))
    patient, bins, _ = apply(arrived)
    kept = holding(history)
    assert state(patient) == newest(kept)
    assert summaries(bins) == summarise(kept)
    assert patient.awaited == {}, "everything has come"


@settings(max_examples=100)
@given(st.data())
def test_beyond_the_reach_of_the_bins_order_still_gives_the_same_latest_values(data: st.DataObject) -> None:
    history = [one for one in data.draw(histories(hours=400)) if one.supersedes is None]
    patient, bins, _ = apply(data.draw(st.permutations(history)))
    assert state(patient) == newest([one.measured for one in history])
    last = max(one.measured.at for one in history) // HOUR
    assert summaries(bins) == summarise([o.measured for o in history if o.measured.at // HOUR >= last - 72])


@settings(max_examples=100)
@given(st.data())
def test_a_restart_in_the_middle_changes_nothing(data: st.DataObject) -> None:
    arrived = data.draw(st.permutations(data.draw(histories())))
    cut = data.draw(st.integers(0, len(arrived)))
    patient, rows = Patient(), MemoryRows()
    taken = []
    for number, (measured, supersedes) in enumerate(arrived):
        if number == cut:
            patient = codec.decode(codec.encode(patient))
        taken.append(patient.measure(Bins(rows), measured, supersedes))
    straight, bins, straight_taken = apply(arrived)
    assert codec.decode(codec.encode(patient)) == straight
    assert taken == straight_taken
    assert list(Bins(rows).sets()) == list(bins.sets())


def outcomes(*history: Said) -> list[str]:
    return [taken.outcome for taken in apply(history)[2]]


def test_a_late_set_changes_no_latest_value_but_lands_in_its_bin() -> None:
    patient, bins, taken = apply([said("new", 60, hr=80.0), said("late", 10, 70, hr=120.0)])
    assert taken[1] == ("late", False)
    assert patient.signals["hr"].value == 80.0
    assert [one.values["hr"] for one in bins.sets(until=T0 + HOUR)] == [120.0]


def test_a_late_set_may_still_be_the_newest_of_a_signal() -> None:
    patient, _, taken = apply([said("new", 60, hr=80.0), said("late", 10, 70, temp=39.5)])
    assert taken[1] == ("new", True)
    assert patient.current(T0 + HOUR).keys() == {"hr", "temp"}


def test_a_correction_may_move_the_time() -> None:
    history = [said("a", 0, hr=70.0), said("x", 120, hr=150.0), said("c", 30, 130, revises="x", hr=150.0)]
    for order in permutations(history):
        patient, bins, _ = apply(order)
        assert (patient.signals["hr"].value, patient.signals["hr"].at) == (150.0, T0 + 30 * MINUTE)
        assert len(list(bins.sets())) == 2


def test_the_only_reading_is_cancelled() -> None:
    history = [said("x", 0, hr=150.0), said("k", 5, revises="x")]
    assert outcomes(*history) == ["new", "revised"]
    assert outcomes(*reversed(history)) == ["unknown_original", "already_revised"]
    for order in permutations(history):
        patient, bins, _ = apply(order)
        assert patient.signals == {}
        assert summaries(bins) == {}


def test_a_correction_replaces_all_that_the_other_measured() -> None:
    patient, _, _ = apply([said("x", 0, hr=150.0, temp=39.0), said("c", 0, 5, revises="x", hr=75.0)])
    assert patient.signals.keys() == {"hr"}


@pytest.mark.parametrize("last", [{}, {"hr": 66.0}], ids=["cancelled", "corrected again"])
def test_the_last_of_two_revisions_of_one_event_counts(last: dict[str, float]) -> None:
    history = [said("x", 0, hr=150.0), said("c", 0, 5, revises="x", hr=75.0), said("d", 0, 9, revises="x", **last)]
    for order in permutations(history):
        patient, bins, _ = apply(order)
        assert {code: one.value for code, one in patient.signals.items()} == last
        assert [one.values for one in bins.sets() if one.values] == ([last] if last else [])


def test_a_correction_of_a_correction_takes_the_original_away_in_any_order() -> None:
    history = [said("x", 0, hr=150.0), said("c", 0, 5, revises="x", hr=75.0), said("d", 0, 9, revises="c")]
    for order in permutations(history):
        patient, _, _ = apply(order)
        assert patient.signals == {}, [one.measured.event_id for one in order]


def test_what_a_revision_did_is_told() -> None:
    x, c, d = said("x", 0, hr=150.0), said("c", 0, 5, revises="x", hr=75.0), said("d", 0, 9, revises="x", hr=66.0)
    assert outcomes(x, c, d) == ["new", "revised", "revised"]
    assert outcomes(x, d, c) == ["new", "revised", "already_revised"]
    assert outcomes(d, x) == ["unknown_original", "already_revised"]
    _, _, taken = apply([said("later", 9, hr=60.0), said("k", 5, 20, revises="never came")])
    assert taken[1] == ("unknown_original", False)


def test_events_waited_for_are_bounded_and_forgotten() -> None:
    many = [said(number, number, revises=f"lost {number}") for number in range(KEPT_AWAITED + 8)]
    patient, _, _ = apply(many)
    assert patient.awaited.keys() == {event_id(f"lost {number}") for number in range(8, KEPT_AWAITED + 8)}
    bins = Bins(MemoryRows())
    later = said("later", 6 * 24 * 60, revises="lost too")
    patient.measure(bins, later.measured, later.supersedes)
    assert patient.awaited.keys() == {event_id("lost too")}


def test_ties_are_broken_by_what_was_said_not_by_who_came_first() -> None:
    history = [said("a", 0, hr=70.0), said("b", 0, hr=80.0), said("c", 0, device=True, hr=80.0)]
    states = [state(apply(order)[0]) for order in permutations(history)]
    assert states == [{"hr": (80.0, T0, T0, False)}] * 6


@settings(max_examples=100)
@given(st.data())
def test_a_recount_is_what_would_have_been_current(data: st.DataObject) -> None:
    history = data.draw(histories(hours=40))
    patient, bins, _ = apply(data.draw(st.permutations(history)))
    then = T0 + data.draw(st.integers(0, 40 * 60)) * MINUTE
    fresh, _, _ = apply([Said(one) for one in holding(history) if one.at <= then])
    assert patient.as_of(bins, then) == fresh.current(then)


def test_there_is_no_recount_where_the_bins_are_gone() -> None:
    patient, bins, _ = apply([said("x", 0, hr=70.0), said("y", 5 * 24 * 60, hr=70.0)])
    assert patient.as_of(bins, patient.heard - RECOUNTED_S - 1) is None
    assert patient.as_of(bins, patient.heard - RECOUNTED_S + 1) is not None


def test_time_wakes_for_what_scores_use_and_nothing_else() -> None:
    patient, _, _ = apply(
        [said("x", 0, device=True, hr=70.0, etco2=35.0, dbp=70.0), said("y", 0, kg=80.0, scale2=True)]
    )
    patient.scored = T0
    assert codec.due(patient) == T0 + 15 * MINUTE  # no longer current
    patient.scored = T0 + 15 * MINUTE
    assert codec.due(patient) == T0 + 16.25 * MINUTE  # overdue
    patient.scored = T0 + 17 * MINUTE
    assert codec.due(patient) == patient.forget_at()


def test_a_late_set_does_not_hide_that_a_signal_lapsed() -> None:
    patient, bins, _ = apply([said("x", 0, device=True, hr=70.0)])
    patient.scored = T0
    late = said("late", -30, 15.5, device=True, hr=71.0)
    assert patient.measure(bins, late.measured, None).outcome == "late"
    assert codec.due(patient) == T0 + 15 * MINUTE


@pytest.mark.parametrize(
    ("phase", "left_at", "kept_s"),
    [
        ("unknown", None, 2 * DAY),
        ("present", None, 30 * DAY),
        ("preadmitted", None, 30 * DAY),
        ("left", T0 + HOUR, DAY + HOUR),
    ],
)
def test_when_a_patient_is_forgotten(phase: str, left_at: float | None, kept_s: float) -> None:
    patient, _, _ = apply([said("x", 0, hr=70.0)])
    patient.stay.phase, patient.stay.left_at = phase, left_at  # type: ignore[assignment]
    patient.scored = T0 + 29 * DAY
    assert patient.forget_at() == codec.due(patient) == T0 + kept_s


def test_who_is_registered_for_a_visit_to_come_is_kept_until_then() -> None:
    patient, _, _ = apply([said("x", 0, hr=70.0)])
    patient.stay.phase, patient.stay.left_at, patient.stay.registered = "left", T0 + HOUR, ("V2",)
    assert patient.forget_at() == T0 + HOUR + 30 * DAY


def test_a_long_history_of_minutes_is_cheap_to_correct() -> None:
    """A correction reads as far back as it must: here one hour, not three days."""
    rng = random.Random(1)
    patient, bins, _ = apply(
        said(number, number, device=True, hr=float(rng.randint(60, 90)), spo2=97.0) for number in range(48 * 60)
    )
    read: list[int] = []
    hour_of = bins.hour
    bins.hour = lambda hour: (read.append(hour), hour_of(hour))[1]  # type: ignore[method-assign, func-returns-value]
    fix = said("fix", 48 * 60 - 1, revises=48 * 60 - 1, hr=150.0)
    assert patient.measure(bins, fix.measured, fix.supersedes).outcome == "revised"
    assert patient.signals["hr"].value == 150.0
    assert len(read) == 1
