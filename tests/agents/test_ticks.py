"""ticks.v1: what time alone brings about."""

from __future__ import annotations

from typing import Any

import pytest

from tests.agents.bedside import Bedside
from tests.agents.lanes import Killed, Lanes
from tests.events import START, WELL, admission, at, event_id, tick, vitals
from wardstream.agents import ticks
from wardstream.agents.patients import PatientBatch, Rules
from wardstream.agents.streams.batch import Received
from wardstream.models.latest import Signals
from wardstream.models.patient import Patient
from wardstream.models.scores import Observations
from wardstream.schemas.occupancy import PARTITIONS, Over, tombstone

DAY = 24 * 60
MONITORED = {name: WELL[name] for name in ("heart_rate_bpm", "respiratory_rate_per_min", "spo2_percent")} | {
    "provenance": "device"
}


@pytest.fixture
def bedside() -> Bedside:
    return Bedside()


async def test_a_tick_before_anything_says_nothing(bedside: Bedside) -> None:
    said = await bedside.give(tick(0), tick(1))
    assert (said.scores, said.alerts, said.changelog) == ([], [], {})


async def test_a_tick_while_all_is_current_says_nothing(bedside: Bedside) -> None:
    await bedside.give(admission("a", 0, "admit"), vitals("v", 0, **WELL))
    assert (await bedside.give(*(tick(minute) for minute in range(1, 12 * 60, 30)))).scores == []


async def test_scores_become_partial_and_then_the_data_stale(bedside: Bedside) -> None:
    await bedside.give(admission("a", 0, "admit", unit="A", bed="4"), vitals("chart", 0, **WELL, facility="North"))
    await bedside.give(vitals("monitor", 1, **MONITORED))
    said = await bedside.give(*(tick(minute) for minute in range(2, 16)))
    assert (said.scores, said.alerts) == ([], [])
    said = await bedside.give(tick(16), tick(17))
    assert [record.observed_at for record in said.scores] == [at(16)]
    assert set(said.news2().missing) >= {"heart_rate_bpm", "respiratory_rate_per_min", "spo2_percent"}
    assert said.scores[0].caused_by == event_id("tick 16")
    assert said.alerts == []
    said = await bedside.give(tick(18), tick(19), tick(60))
    assert said.transitions() == [("stale", "raised")], "one alert, once"
    (alert,) = said.alerts
    assert (alert.priority, alert.unit, alert.bed, alert.facility) == ("low", "A", "4", "North")
    assert alert.reason == "no current respiratory_rate_per_min, spo2_percent, heart_rate_bpm"
    assert alert.evidence.score is None
    assert alert.evidence.values["heart_rate_bpm"].observed_at == at(1)
    said = await bedside.give(vitals("back", 61, **MONITORED))
    assert said.transitions() == [("stale", "resolved")]
    assert said.alerts[0].alert_id == alert.alert_id


async def test_a_round_that_is_a_little_late_is_not_stale(bedside: Bedside) -> None:
    await bedside.give(admission("a", 0, "admit"), vitals("v", 0, **WELL))
    said = await bedside.give(tick(12 * 60))
    assert said.news2().parts == {}
    said = await bedside.give(tick(12 * 60 + 50), vitals("w", 12 * 60 + 50, **WELL), tick(13 * 60))
    assert said.alerts == []


async def test_missing_data_resolves_nothing(bedside: Bedside) -> None:
    await bedside.give(admission("a", 0, "admit", age_years=70.0, sex="male"), vitals("chart", 0, **WELL))
    await bedside.give(vitals("monitor", 1, **MONITORED | {"heart_rate_bpm": 140.0}))
    said = await bedside.give(tick(16), tick(18), tick(30))
    assert said.news2().value == 0
    assert said.transitions() == [("news2", "went_stale"), ("stale", "raised")]
    assert bedside.patient().alerts.keys() == {"news2", "stale"}


async def test_one_tick_raises_an_alert_of_its_own_for_each_patient(bedside: Bedside) -> None:
    for number in range(5):
        await bedside.give(vitals(f"v{number}", 0, patient_id=f"P{number}", **MONITORED))
    said = await bedside.give(tick(20))
    assert [alert.transition for alert in said.alerts] == ["raised"] * 5
    assert len({alert.alert_id for alert in said.alerts}) == len({alert.event_id for alert in said.alerts}) == 5
    assert len({record.event_id for record in said.scores}) == 5


async def test_what_no_score_uses_wakes_nobody(bedside: Bedside) -> None:
    await bedside.give(vitals("v", 0, provenance="device", etco2_mmhg=35.0, weight_kg=80.0, diastolic_mmhg=70.0))
    assert (await bedside.give(tick(60), tick(DAY))).scores == []


async def test_time_stands_still_for_who_has_left(bedside: Bedside) -> None:
    await bedside.give(admission("a", 0, "admit"), vitals("v", 0, **MONITORED), admission("d", 5, "discharge"))
    assert (await bedside.give(tick(20), tick(60))).scores == []


async def test_who_has_left_is_forgotten_after_a_day(bedside: Bedside) -> None:
    await bedside.give(admission("a", 0, "admit"), vitals("v", 0, **WELL), admission("d", 5, "discharge"))
    bedside.restart()
    assert (await bedside.give(tick(DAY + 4))).changelog == {}
    written = set(bedside.rows)
    said = await bedside.give(tick(DAY + 5))
    assert said.changelog == dict.fromkeys(written)
    assert {key[:1] for key in written} == {b"p", b"c", b"i"}
    assert said.counts["evictions_total", ()] == 1
    assert "P1" not in bedside.state


async def test_a_late_result_keeps_who_has_left(bedside: Bedside) -> None:
    await bedside.give(admission("a", 0, "admit"), vitals("v", 0, **WELL), admission("d", 5, "discharge"))
    await bedside.give(vitals("late", 4, 60, weight_kg=80.0))
    assert (await bedside.give(tick(DAY + 5))).changelog == {}
    assert (await bedside.give(tick(DAY + 60))).counts["evictions_total", ()] == 1


async def test_alerts_of_who_is_forgotten_are_closed(bedside: Bedside) -> None:
    said = await bedside.give(
        admission("a", 0, "admit", unit="A", encounter_id="E1"), vitals("v", 0, **MONITORED | {"heart_rate_bpm": 140.0})
    )
    said += await bedside.give(*(tick(day * DAY) for day in range(1, 30)))
    told = [("news2", "raised"), ("news2", "went_stale"), ("stale", "raised"), ("news2", "escalated")]
    assert said.transitions() == [*told, ("news2", "expired")], "medium: nothing has confirmed it for two days"
    last = await bedside.give(tick(30 * DAY))
    assert last.transitions() == [("stale", "closed")]
    assert {alert.reason for alert in last.alerts} == {"nothing has been heard of the patient"}
    assert {alert.alert_id for alert in last.alerts} < {alert.alert_id for alert in said.alerts}
    assert {(alert.observed_at, alert.unit, alert.encounter_id) for alert in last.alerts} == {(at(30 * DAY), "A", "E1")}
    assert bedside.rows == {}


async def test_who_was_never_admitted_is_stale_but_not_for_weeks(bedside: Bedside) -> None:
    await bedside.give(vitals("v", 0, **MONITORED))
    assert (await bedside.give(tick(20))).transitions() == [("stale", "raised")]
    said = await bedside.give(tick(2 * DAY))
    assert said.transitions() == [("stale", "closed")]
    assert bedside.rows == {}


async def test_who_comes_back_after_being_forgotten_is_new(bedside: Bedside) -> None:
    event = vitals("v", 0, **MONITORED)
    await bedside.give(event, tick(2 * DAY))
    said = await bedside.give(event)
    assert len(said.scores) == 1
    assert bedside.patient().alerts == {}


async def test_one_patient_who_cannot_be_scored_takes_the_time_from_nobody_else(
    bedside: Bedside, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for key in ("P1", "P2", "P3"):
        await bedside.give(vitals(f"v {key}", 0, patient_id=key, **MONITORED))
    observations = Patient.observations

    def failing(patient: Patient, current: Signals) -> Observations:
        if failures and patient is failures[0]:
            raise RuntimeError("the name of a patient")
        return observations(patient, current)

    failures: list[Patient] = []
    rescored = ticks.rescore

    def first_of_p2(batch: PatientBatch, key: str, patient: Patient, received: Received[Any], rules: Rules) -> None:
        failures[:] = [patient] if key == "P2" and not caplog.records else []
        rescored(batch, key, patient, received, rules)

    monkeypatch.setattr(Patient, "observations", failing)
    monkeypatch.setattr(ticks, "rescore", first_of_p2)
    said = await bedside.give(tick(16))
    assert [record.patient_id for record in said.scores] == ["P1", "P3"]
    assert b"p\0P2" not in said.changelog
    (told,) = caplog.records
    assert "RuntimeError" in told.getMessage()
    assert "name" not in told.getMessage()
    said = await bedside.give(tick(17))  # it is due still
    assert "P2" in [record.patient_id for record in said.scores]


def told_over(lanes: Lanes, partition: int) -> list[tuple[int, float]]:
    """What was told in a partition: each lane, and the end of the hour that is over (hours since the beginning)."""
    told = []
    for record in lanes.logs["occupancy.v1", partition]:
        said = tombstone(record.key, record.headers, 0) if record.value is None else None
        if isinstance(said, Over):
            told.append((said.lane, (said.received_at - START).total_seconds() / 3600))
    return told


async def test_an_hour_is_told_once_by_the_first_tick_at_its_end_or_after_it() -> None:
    """The clock of a feed strikes no full hour, jumps, and stands; the worker dies in its commits and starts anew."""
    lanes, killed = Lanes(2), Lanes(2)
    kills = iter([False, True, True] * 100)

    def kill() -> None:
        if next(kills):
            raise Killed

    killed.kill = kill
    for minute in (10, 50, 70, 110, 120, 121, 121, 190, 64 * 60 + 30, 64 * 60 + 40, 65 * 60 + 18):
        for some in (lanes, killed):
            await some.give(tick(minute))
            some.restart()
    for some in (lanes, killed):
        for partition in range(PARTITIONS):
            assert sorted(told_over(some, partition)) == [
                (lane, end) for lane in range(2) for end in (0.0, 1.0, 2.0, 3.0, 64.0, 65.0)
            ]


async def test_an_hour_is_told_after_all_that_was_received_in_it() -> None:
    lanes = Lanes(1)
    for event in (tick(10), admission("in", 50, "admit", unit="A", encounter_id="E"), tick(70)):
        await lanes.give(event)
    (partition,) = [number for number in range(PARTITIONS) if any(r.value for r in lanes.logs["occupancy.v1", number])]
    first, row, last = lanes.logs["occupancy.v1", partition]
    assert row.value is not None
    assert first.key == last.key
    assert told_over(lanes, partition) == [(0, 0.0), (0, 1.0)]
