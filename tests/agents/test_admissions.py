"""admissions.v1 → the stay, and what it means for scores and alerts."""

from __future__ import annotations

import pytest

from tests.agents.bedside import Bedside
from tests.events import WELL, admission, at, event_id, tick, vitals
from wardstream.models.stay import KEPT_EVENTS

ILL = WELL | {"heart_rate_bpm": 140.0, "respiratory_rate_per_min": 28.0, "systolic_mmhg": 95.0}  # NEWS2 8


@pytest.fixture
def bedside() -> Bedside:
    return Bedside()


async def test_an_admission_alone_says_nothing(bedside: Bedside) -> None:
    said = await bedside.give(admission("a", 0, "admit", age_years=50.0, unit="A"))
    assert (said.scores, said.alerts) == ([], [])
    assert bedside.patient().stay.unit == "A"


async def test_a_move_says_nothing_and_later_alerts_know_it(bedside: Bedside) -> None:
    await bedside.give(admission("a", 0, "admit", unit="A", bed="1"), vitals("v", 1, **WELL))
    said = await bedside.give(admission("t", 5, "transfer", unit="B", bed="2"))
    assert (said.scores, said.alerts) == ([], [])
    said = await bedside.give(vitals("w", 6, **ILL))
    assert (said.alerts[0].unit, said.alerts[0].bed) == ("B", "2")


async def test_age_and_pregnancy_decide_whether_news2_applies(bedside: Bedside) -> None:
    said = await bedside.give(vitals("v", 0, **ILL))
    assert said.transitions() == [("news2", "raised")]
    assert set(said.news2().missing) == {"age_years", "pregnant"}
    said = await bedside.give(admission("a", 5, "admit", age_years=15.0))
    assert said.transitions() == [("news2", "retracted")]
    assert said.scores[0].caused_by == said.alerts[0].evidence.caused_by == event_id("a")
    said = await bedside.give(admission("u", 9, "update", age_years=16.0))
    assert (said.transitions(), said.news2().value) == ([("news2", "raised")], 8)
    said = await bedside.give(admission("p", 12, "update", pregnant=True))
    assert (said.transitions(), said.news2().not_applicable) == ([("news2", "retracted")], "pregnant")
    said = await bedside.give(admission("born", 15, "update", pregnant=False))
    assert said.transitions() == [("news2", "raised")]
    assert said.news2().complete


async def test_a_man_is_not_pregnant(bedside: Bedside) -> None:
    said = await bedside.give(admission("a", 0, "admit", age_years=50.0, sex="male"), vitals("v", 1, **WELL))
    assert said.news2().complete


async def test_leaving_ends_alerts_and_cancelling_it_reopens(bedside: Bedside) -> None:
    said = await bedside.give(admission("a", 0, "admit", unit="A", bed="1"), vitals("v", 1, **ILL))
    first = said.alerts[0].alert_id
    said = await bedside.give(admission("d", 60, "discharge", disposition="home"))
    assert said.transitions() == [("news2", "closed")]
    assert (said.alerts[0].alert_id, said.alerts[0].reason) == (first, "the patient has left")
    assert said.alerts[0].caused_by == event_id("d"), "the evidence stays that of the alert"
    assert (await bedside.give(vitals("after", 61, **ILL))).alerts == []
    said = await bedside.give(admission("k", 70, "cancel_discharge"))
    assert said.transitions() == [("news2", "raised")]
    assert said.alerts[0].alert_id != first
    assert (said.alerts[0].unit, said.alerts[0].bed) == ("A", "1")


async def test_a_cancelled_admission_is_nobody_to_wait_for(bedside: Bedside) -> None:
    await bedside.give(admission("a", 0, "admit"), vitals("v", 1, **ILL, provenance="device"))
    assert (await bedside.give(admission("k", 5, "cancel_admit"))).transitions() == [("news2", "closed")]
    assert (await bedside.give(tick(60))).alerts == []


async def test_a_late_discharge_of_the_emergency_visit_ends_nothing(bedside: Bedside) -> None:
    await bedside.give(
        admission("ed", 0, "admit", encounter_id="E1", unit="ED", patient_class="emergency"),
        admission("up", 60, "admit", encounter_id="E2", unit="A", patient_class="inpatient"),
        vitals("v", 61, **ILL),
    )
    said = await bedside.give(admission("closed", 65, "discharge", encounter_id="E1"))
    assert (said.scores, said.alerts) == ([], [])
    assert bedside.patient().alerts.keys() == {"news2"}


async def test_a_readmission_begins_anew(bedside: Bedside) -> None:
    await bedside.give(
        admission("a", 0, "admit", age_years=30.0, pregnant=True, unit="A"),
        vitals("v", 1, **ILL),
        admission("d", 60, "discharge"),
    )
    said = await bedside.give(admission("again", 120, "admit", unit="B"))
    assert said.transitions() == [("news2", "raised")], "whether still pregnant is not known"
    assert said.news2().missing == ("pregnant",)
    assert said.alerts[0].unit == "B"


async def test_an_admission_does_not_hide_that_a_signal_lapsed(bedside: Bedside) -> None:
    """A change of bed just after a monitor's window ended, just before the tick that tells."""
    await bedside.give(admission("a", 0, "admit"), vitals("v", 0, heart_rate_bpm=80.0, provenance="device"))
    await bedside.give(admission("t", 15.5, "transfer", unit="B"))
    assert "heart_rate_bpm" in (await bedside.give(tick(16))).news2().missing
    await bedside.give(admission("u", 16.5, "transfer", unit="C"))
    assert (await bedside.give(tick(17))).transitions() == [("stale", "raised")]


async def test_the_stay_survives_a_restart(bedside: Bedside) -> None:
    await bedside.give(admission("a", 0, "admit", unit="A"), admission("t", 5, "transfer", unit="B"))
    bedside.restart()
    await bedside.give(admission("k", 9, "cancel_transfer"))
    assert bedside.patient().stay.unit == "A"


async def test_what_comes_too_late_is_counted_and_moves_nobody(bedside: Bedside) -> None:
    moves = [admission(f"m{n}", n, "transfer" if n else "admit", unit=f"U{n}") for n in range(2 * KEPT_EVENTS)]
    said = await bedside.give(*moves)
    assert not any(name == "late_admissions_total" for name, _ in said.counts)
    said = await bedside.give(admission("late", 5.5, "transfer", 200, unit="X"))
    assert said.counts["late_admissions_total", ("transfer",)] == 1
    assert said.occupancy == {}
    assert bedside.patient().stay.unit == f"U{2 * KEPT_EVENTS - 1}"


async def test_updates_by_the_dozen_hide_no_late_move(bedside: Bedside) -> None:
    bills = [admission(f"u{n}", 60 + n, "update", acuity=3) for n in range(45)]
    await bedside.give(
        admission("in", 0, "admit", unit="A"), admission("t", 50, "transfer", unit="B"), vitals("v", 55, **ILL), *bills
    )
    await bedside.give(admission("late", 30, "transfer", 120, unit="C"))
    assert bedside.patient().stay.unit == "B"
    assert bedside.patient().alerts.keys() == {"news2"}


async def test_a_patient_heard_of_only_at_admission_is_forgotten_in_the_end(bedside: Bedside) -> None:
    await bedside.give(admission("a", 0, "admit", 30))
    assert None not in (await bedside.give(tick(30 * 24 * 60))).changelog.values()
    said = await bedside.give(tick(30 * 24 * 60 + 30))
    assert set(said.changelog.values()) == {None}
    assert bedside.rows == {}
    assert at(30) > at(0)
