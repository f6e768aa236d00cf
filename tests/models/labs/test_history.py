"""Histories of results: any order of arrival gives the same, corrections are settled, and nothing grows without end."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.models.measuring import HOUR, T0, MemoryRows, Said, event_id, said
from wardstream.models.labs.analytes import BY_CODE
from wardstream.models.labs.flags import judge_newest, news_of
from wardstream.models.labs.history import KEPT_RESULTS, LabBins, Past, changes
from wardstream.models.patient import Patient

DAY = 24 * 60.0  # in minutes, as `said` counts


def after(history: list[Said]) -> tuple[Patient, LabBins]:
    """A patient to whom all that happened, in this order of arrival."""
    patient, rows, past = Patient(), MemoryRows(), MemoryRows()
    for measured, supersedes in history:
        patient.measure(LabBins(rows, past), measured, supersedes)
    return patient, LabBins(rows, past)


def values(bins: LabBins, code: str) -> list[float]:
    return [one.value for one in bins.past(code)]


def test_results_are_kept_in_the_order_of_their_specimens() -> None:
    _, bins = after([said("b", 60, k=4.5), said("a", 0, 90, k=4.0), said("c", 30, na=140.0)])
    assert values(bins, "k") == [4.0, 4.5]
    assert values(bins, "na") == [140.0]
    assert values(bins, "cl") == []


def test_what_is_no_result_has_no_row() -> None:
    patient, rows, past = Patient(), MemoryRows(), MemoryRows()
    for measured, _ in (said("a", 0, hr=80.0, rr=14.0), said("b", 1, hr=81.0), said("c", 2, acvpu="A")):
        patient.measure(LabBins(rows, past), measured, None)
    assert past.rows == {}
    assert rows.rows != {}


def test_urine_is_kept_with_its_period() -> None:
    _, bins = after([said("a", 0, urine=40.0, urineh=1.0, hr=80.0), said("b", 60, urine=30.0)])
    assert [(one.value, one.period_h) for one in bins.past("urine")] == [(40.0, 1.0), (30.0, None)]


FAMILY = [
    said("a", 0, creat=1.0),
    said("b", 60, creat=9.0),
    said("c", 60, 90, revises="b", creat=1.2),
    said("d", 60, 120, revises="c", creat=1.3),
    said("e", 120, creat=1.1),
    said("x", 30, 200, revises="e"),
]


@pytest.mark.parametrize("order", list(permutations(range(len(FAMILY))))[::7])
def test_corrections_are_settled_in_any_order(order: tuple[int, ...]) -> None:
    _, bins = after([FAMILY[index] for index in order])
    assert values(bins, "creat") == [1.0, 1.3]


@given(
    st.lists(
        st.tuples(st.floats(0, 5 * DAY), st.sampled_from(["k", "creat", "urine"]), st.floats(0.5, 9)),
        max_size=12,
        unique_by=lambda one: one[0],
    ),
    st.randoms(use_true_random=False),
)
def test_any_order_of_arrival_gives_the_same(made: list[tuple[float, str, float]], random: object) -> None:
    history = [said(number, at, at, **{code: value}) for number, (at, code, value) in enumerate(made)]
    shuffled = list(history)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    _, one = after(history)
    _, other = after(shuffled)
    for code in ("k", "creat"):
        assert one.past(code) == other.past(code)


def test_seven_days_are_kept_and_64_results() -> None:
    _, bins = after([said(day, day * DAY, creat=1.0 + day) for day in range(10)])
    assert values(bins, "creat") == [4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]
    _, bins = after([said(number, number, k=number / 10) for number in range(1, 101)])
    assert len(bins.past("k")) == KEPT_RESULTS
    assert values(bins, "k")[-1] == 10.0


def test_a_correction_reaches_further_back_than_the_bins() -> None:
    """Four days: the hourly bins have forgotten the original, its history has not."""
    old = [said("a", 0, creat=5.0), said("b", 4 * DAY, creat=1.0)]
    _, bins = after([*old, said("c", 0, 4 * DAY + 1, revises="a", creat=0.9)])
    assert values(bins, "creat") == [0.9, 1.0]
    _, bins = after([*old, said("c", 0, 4 * DAY + 1, revises="a")])
    assert values(bins, "creat") == [1.0]


def test_changes_say_what_was_and_what_is() -> None:
    rows, past, patient = MemoryRows(), MemoryRows(), Patient()
    patient.measure(LabBins(rows, past), said("a", 0, k=4.0).measured, None)
    bins = LabBins(rows, past)
    patient.measure(bins, said("b", 60, k=7.0).measured, None)
    ((code, (before, now)),) = changes(bins).items()
    assert (code, [one.value for one in before], [one.value for one in now]) == ("k", [4.0], [4.0, 7.0])


def past(value: float, hours: float, name: str = "r", preliminary: bool = False) -> Past:
    return Past(T0 + hours * HOUR, T0 + hours * HOUR, event_id(name), value, preliminary=preliminary)


def test_news_are_flags_and_their_end() -> None:
    well, worse, same = past(4.0, 0, "a"), past(7.0, 1, "b"), past(4.1, 2, "c")
    assert news_of("k", [], [well], None) is None
    raised = news_of("k", [well], [well, worse], None)
    assert raised is not None
    assert [flag.kind for flag in raised.flags] == ["critical_high", "delta_up"]
    ended = news_of("k", [worse], [worse, same], None)
    assert ended is not None
    assert [flag.kind for flag in ended.flags] == ["delta_down"]  # back again: which of them was the right specimen?
    gone = news_of("k", [worse], [], None)
    assert gone is not None
    assert (gone.value, gone.flags) == (None, ())
    assert news_of("k", [well, worse], [well, worse], None) is None


def test_every_analyte_can_be_judged() -> None:
    for code, analyte in BY_CODE.items():
        result = judge_newest(code, [past(analyte.low, 0, "a"), past(analyte.high, 1, "b")], None)
        assert result.name == analyte.field
        assert result.value == analyte.high
