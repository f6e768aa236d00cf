"""Two patients become one: as if all had come under one id from the beginning, in whatever parts and order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.agents.bedside import MemoryRows
from tests.events import event_id
from wardstream.models.alerts.states import OpenAlert, pin
from wardstream.models.bins import MeasurementSet
from wardstream.models.joining import join_patients, join_results, join_sets
from wardstream.models.labs.history import LabBins, Past
from wardstream.models.patient import Death, Film, Patient, Written
from wardstream.schemas.alerts import Evidence

CODES = ("hr", "rr", "temp", "wbc")


class Side:
    """What a lane keeps of one id."""

    def __init__(self) -> None:
        self.patient = Patient()
        self.bins = LabBins(MemoryRows({}), MemoryRows({}))

    def measure(self, measured: MeasurementSet, supersedes: UUID | None) -> None:
        self.patient.measure(self.bins, measured, supersedes)

    def take(self, other: Side, parts: Sequence[int] = (0, 1, 2, 3)) -> None:
        """Join what the other one gives, in parts that come in some order: half of the sets, results, the rest."""
        sets = list(other.bins.sets())
        past = {code: results for code in CODES if (results := other.bins.past(code))}
        steps: list[Callable[[], object]] = [
            lambda: join_sets(self.patient, self.bins, sets[::2]),
            lambda: join_sets(self.patient, self.bins, sets[1::2]),
            lambda: join_results(self.patient, self.bins, past),
            lambda: join_patients(
                self.patient, msgspec.convert(msgspec.to_builtins(other.patient), Patient), "other", self.bins
            ),
        ]
        for part in parts:
            steps[part]()

    def known(self) -> tuple[object, ...]:
        held = {one.event_id: (one.at, one.values) for one in self.bins.sets()}
        results = {code: [(one.event_id, one.value) for one in self.bins.past(code)] for code in CODES}
        return held, {code: (one.value, one.at) for code, one in self.patient.signals.items()}, results


@st.composite
def streams(draw: st.DrawFn) -> list[tuple[MeasurementSet, UUID | None]]:
    """Measurements and corrections of them, of two days."""
    events: list[tuple[MeasurementSet, UUID | None]] = []
    for number in range(draw(st.integers(1, 10))):
        code = draw(st.sampled_from(CODES))
        at, named, values = 1e9 + draw(st.integers(0, 48)) * 3600.0 + number, None, {code: float(number)}
        if events and draw(st.booleans()):
            original, _ = draw(st.sampled_from(events))
            at, named = original.at, original.event_id
            values = dict.fromkeys(original.values, float(number)) if draw(st.booleans()) else {}
        events.append((MeasurementSet(at, 1e9 + 2e5 + number, event_id(f"m{number}"), False, values), named))
    return events


@settings(max_examples=200)
@given(streams(), st.data())
def test_joined_is_as_if_it_had_been_one_patient_all_the_time(
    events: list[tuple[MeasurementSet, UUID | None]], data: st.DataObject
) -> None:
    one, mine, theirs = Side(), Side(), Side()
    for event in events:
        one.measure(*event)
    late = data.draw(st.integers(0, len(events)))  # what comes after the merge
    for event in events[:late]:
        data.draw(st.sampled_from((mine, theirs))).measure(*event)
    mine.take(theirs, data.draw(st.permutations(range(4))))
    for event in events[late:]:
        mine.measure(*event)
    assert mine.known() == one.known()
    before = mine.known()
    if late == len(events):
        mine.take(theirs)
        assert mine.known() == before, "joined twice is joined once"


def test_what_came_on_both_ways_is_there_once() -> None:
    mine, theirs = Side(), Side()
    measured = MeasurementSet(1e9, 1e9, event_id("m"), True, {"hr": 80.0})
    mine.measure(measured, None)
    theirs.measure(measured, None)
    mine.take(theirs)
    assert list(mine.bins.sets()) == [measured]


def test_a_correction_under_one_id_takes_away_a_result_under_the_other() -> None:
    for corrected_first in (False, True):
        mine, theirs = Side(), Side()
        result = MeasurementSet(1e9, 1e9, event_id("r"), False, {"wbc": 9.0})
        cancelled = MeasurementSet(1e9, 1e9 + 60, event_id("c"), False, {})
        theirs.measure(result, None)
        if corrected_first:
            mine.measure(cancelled, event_id("r"))
            mine.take(theirs)
        else:
            mine.take(theirs)
            mine.measure(cancelled, event_id("r"))
        assert mine.bins.past("wbc") == []
        assert "wbc" not in mine.patient.signals


def test_a_preliminary_result_stays_one() -> None:
    mine, theirs = Side(), Side()
    past = Past(1e9, 1e9, event_id("r"), 9.0, preliminary=True)
    join_results(mine.patient, mine.bins, {"wbc": [past]})
    assert mine.bins.past("wbc") == [past]
    assert theirs.bins.past("wbc") == []


def test_a_result_with_a_comparator_stays_one() -> None:
    mine = Side()
    mine.measure(MeasurementSet(1e9, 1e9, event_id("r"), False, {">wbc": 100.0}), None)
    (past,) = mine.bins.results("wbc")
    join_results(mine.patient, mine.bins, {"wbc": [past]})
    assert mine.bins.results("wbc") == [past]
    assert (past.comparator, mine.bins.past("wbc")) == (">", [])


def test_what_is_older_than_the_bins_is_taken_as_it_is() -> None:
    mine, theirs = Side(), Side()
    theirs.measure(MeasurementSet(1e9, 1e9, event_id("w"), False, {"kg": 70.0}), None)
    mine.measure(MeasurementSet(1e9 + 5 * 86400, 1e9 + 5 * 86400, event_id("m"), True, {"hr": 80.0}), None)
    mine.take(theirs)
    assert mine.patient.signals["kg"].value == 70.0


def open_alert(name: str, priority: str, raised_at: float) -> OpenAlert:
    evidence = pin(Evidence(caused_by=event_id(name)))
    return OpenAlert(event_id(name), "score", priority, raised_at, raised_at, name, evidence)  # type: ignore[arg-type]


def test_of_two_alerts_on_one_condition_the_higher_lives_and_then_the_older() -> None:
    for mine, theirs, lives in (
        (("mine", "high", 2.0), ("theirs", "medium", 1.0), "mine"),
        (("mine", "medium", 1.0), ("theirs", "high", 2.0), "theirs"),
        (("mine", "high", 2.0), ("theirs", "high", 1.0), "theirs"),
    ):
        side, other = Side(), Side()
        side.patient.alerts["news2"] = open_alert(*mine)
        other.patient.alerts["news2"] = open_alert(*theirs)
        other.patient.alerts["stale"] = open_alert("stale", "low", 0.0)
        (change,) = join_patients(side.patient, other.patient, "P2", side.bins)
        assert side.patient.alerts["news2"].alert_id == event_id(lives)
        assert side.patient.alerts["stale"].raised_by == "P2"
        assert (change.condition, change.transition) == ("news2", "closed")
        assert {change.alert.alert_id, event_id(lives)} == {event_id("mine"), event_id("theirs")}
        assert (change.alert.raised_by == "P2") == (lives == "mine")


def test_a_death_reported_under_either_id_is_one() -> None:
    side, other = Side(), Side()
    other.patient.deaths = (Death(event_id("d"), None, 5.0, 4.0),)
    side.patient.deaths = (Death(event_id("undone"), event_id("d"), 6.0, None),)
    join_patients(side.patient, other.patient, "P2", side.bins)
    assert side.patient.died_at is None
    assert len(side.patient.deaths) == 2


def test_a_film_taken_back_under_either_id_counts_no_more() -> None:
    side, other = Side(), Side()
    other.patient.films = (Film(event_id("f"), None, 5.0, 4.0, 1.5),)
    side.patient.films = (Film(event_id("back"), event_id("f"), 6.0, 4.0, None),)
    join_patients(side.patient, other.patient, "P2", side.bins)
    assert side.patient.film(10.0) is None
    assert len(side.patient.films) == 2


def test_notes_of_both_ids_count_once_each_and_not_if_taken_back() -> None:
    side, other = Side(), Side()
    one, two = (Written(event_id(name), None, 5.0, at, "progress") for name, at in (("n", 3.0), ("m", 4.0)))
    other.patient.notes = (one, two)
    side.patient.notes = (two, Written(event_id("back"), event_id("n"), 6.0, 3.0, None))
    join_patients(side.patient, other.patient, "P2", side.bins)
    assert side.patient.written(0.0, 10.0) == {"progress": [4.0]}
