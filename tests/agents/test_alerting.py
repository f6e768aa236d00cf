"""Alerts on a lane: timers, the policy in force, results and films."""

from __future__ import annotations

from typing import Any

import pytest

from tests.agents.alerted import MAN, POTASSIUM, UNWELL, raised
from tests.agents.bedside import Bedside, Said
from tests.events import WELL, admission, at, event_id, finding, lab, tick, vitals
from wardstream.models.alerts.policy_file import DEFAULT, parse_policy
from wardstream.schemas.alerts import Place


@pytest.fixture
def bedside() -> Bedside:
    return Bedside()


def steps(said: Said) -> list[tuple[str, str, int]]:
    return [(alert.transition, alert.state, alert.number) for alert in said.alerts]


async def test_an_alert_says_all_that_is_needed(bedside: Bedside) -> None:
    alert = await raised(bedside)
    assert (alert.kind, alert.state, alert.priority, alert.number, alert.tier) == ("score", "raised", "high", 1, 0)
    assert (alert.to, alert.next_at, alert.until) == (("nurse",), at(6), None)
    assert (alert.unit, alert.bed, alert.code_status, alert.policy) == ("4B", "1", "dnr", DEFAULT.digest)
    assert alert.suggestion is not None
    assert "critical-care" in alert.suggestion.text
    assert "Royal College of Physicians" in alert.suggestion.source
    assert alert.caused_by == alert.evidence.caused_by == event_id("v")
    assert alert.evidence.cause == Place(topic="vitals.v1", partition=0, offset=2)
    assert alert.evidence.values["heart_rate_bpm"].value == 118.0


async def test_nobody_answers_in_a_silent_ward(bedside: Bedside) -> None:
    """Ticks alone escalate, with the evidence of what raised it; a restart changes nothing."""
    first = await raised(bedside)
    said = Said()
    for minute in range(2, 62):
        bedside.restart()
        said += await bedside.give(tick(minute))
    assert steps(said) == [("escalated", "escalated", n) for n in (2, 3, 4)]
    assert [one.observed_at for one in said.alerts] == [at(6), at(16), at(46)]
    assert [one.tier for one in said.alerts] == [1, 2, 2]
    assert [one.to for one in said.alerts][:2] == [("nurse", "charge_nurse"), ("nurse", "charge_nurse", "physician")]
    assert all(one.evidence == first.evidence for one in said.alerts)
    assert said.alerts[0].caused_by == event_id("tick 6")
    assert len({one.event_id for one in (first, *said.alerts)}) == 4


async def test_resuscitation_status_suppresses_nothing(bedside: Bedside) -> None:
    assert (await raised(bedside)).code_status == "dnr"


async def test_a_policy_that_is_applied_holds_from_the_next_event_on() -> None:
    now = [DEFAULT]
    bedside = Bedside(policy=lambda: now[0])
    await raised(bedside, **UNWELL)
    text = DEFAULT.text.replace("medium = 5\n", "medium = 6\n")
    now[0] = parse_policy(text + '\n[units."4B".conditions.news2]\nmedium = 5\nhold_min = 10\n')
    said = await bedside.give(vitals("w", 2, **WELL), vitals("x", 3, **UNWELL), tick(12))
    assert [one.transition for one in said.alerts] == ["resolved"], "it has not held for ten minutes"
    assert said.alerts[0].policy == now[0].digest
    said = await bedside.give(tick(13))
    assert [one.transition for one in said.alerts] == ["raised"]
    now[0] = parse_policy(text)
    assert [one.transition for one in (await bedside.give(vitals("y", 14, **WELL))).alerts] == ["resolved"]
    assert (await bedside.give(vitals("z", 15, **UNWELL))).alerts == []


async def test_a_condition_that_the_policy_knows_no_more_is_closed_by_the_next_tick_of_it() -> None:
    now = [DEFAULT]
    bedside = Bedside(policy=lambda: now[0])
    await raised(bedside)
    now[0] = parse_policy(DEFAULT.text.replace("[conditions.news2]", "[conditions.other]"))
    said = await bedside.give(tick(6))
    assert ("news2", "closed") in said.transitions()
    assert ("other", "raised") not in said.transitions(), "nothing was scored"


async def test_a_critical_result_is_one_alert_for_its_analyte(bedside: Bedside) -> None:
    await bedside.give(MAN)
    said = await bedside.give(lab("k", 1, value=6.9, **POTASSIUM))
    (alert,) = said.alerts
    assert (alert.condition, alert.kind, alert.priority) == ("critical_result.potassium_mmol_per_l", "lab", "medium")
    assert alert.reason.startswith("potassium_mmol_per_l: 6.9, critical high (limit ")
    assert alert.evidence.result is not None
    assert alert.evidence.result.result_id == event_id("k")
    assert said.counts["alert_transitions_total", ("critical_result", "raised")] == 1
    assert (await bedside.give(lab("l", 20, value=7.0, **POTASSIUM))).alerts == [], "one alert"
    said = await bedside.give(lab("m", 30, value=4.4, **POTASSIUM))
    assert [one.transition for one in said.alerts] == ["resolved"]


@pytest.mark.parametrize(
    "revision",
    [
        lab("x", 1, 9, value=4.1, status="corrected", supersedes="k", **POTASSIUM),
        lab("x", 1, 9, value=None, status="cancelled", supersedes="k", **POTASSIUM),
    ],
    ids=["corrected", "cancelled"],
)
async def test_a_result_that_is_revised_retracts_at_once(bedside: Bedside, revision: Any) -> None:
    await bedside.give(MAN, lab("k", 1, value=6.9, **POTASSIUM))
    said = await bedside.give(revision)
    assert [(one.transition, one.reason) for one in said.alerts] == [
        ("retracted", f"the result has been {revision.status}")
    ]


async def test_films_alert_where_the_policy_says_so() -> None:
    loud = parse_policy(DEFAULT.text.replace("silent = true", "silent = false"))
    bedside = Bedside(policy=lambda: loud)
    said = await bedside.give(MAN, finding("f", 10))
    assert [(one.transition, one.kind, one.reason) for one in said.alerts] == [
        ("raised", "finding", "probability of pneumonia in the film: 80% (alert from 50%)")
    ]
    older = finding("old", 5, 20, calibrated_probability=0.1)
    assert (await bedside.give(older)).alerts == [], "a film of before says nothing"
    gone = finding("x", 10, 30, status="cancelled", supersedes="f", quality="abstained", reason="no")
    assert [one.transition for one in (await bedside.give(gone)).alerts] == ["retracted"]
    silent = Bedside()
    said = await silent.give(MAN, finding("f", 10))
    assert (said.alerts, [one.transition for one in said.silent_alerts]) == ([], ["raised"])


async def test_nobody_is_awaited_who_is_not_there_yet(bedside: Bedside) -> None:
    await bedside.give(vitals("v", 0, provenance="device", heart_rate_bpm=70.0), tick(20))
    assert bedside.patient().alerts.keys() == {"stale"}
    said = await bedside.give(admission("p", 21, "admit", patient_class="preadmit"), tick(22))
    assert [(one.transition, one.reason) for one in said.alerts] == [("closed", "the patient is not there")]


async def test_who_leaves_has_no_alerts_and_gets_none(bedside: Bedside) -> None:
    await raised(bedside)
    said = await bedside.give(admission("d", 5, "discharge", disposition="home"), *(tick(m) for m in range(6, 30)))
    assert [(one.transition, one.reason) for one in said.alerts] == [("closed", "the patient has left")]


async def test_a_move_is_told_to_both_units_once(bedside: Bedside) -> None:
    first = await raised(bedside)
    said = await bedside.give(admission("t", 5, "transfer", unit="ICU", bed="7"))
    assert [(one.transition, one.state, one.number) for one in said.alerts] == [("moved", "raised", 2)]
    (moved,) = said.alerts
    assert (moved.alert_id, moved.unit, moved.bed, moved.left) == (first.alert_id, "ICU", "7", "4B")
    assert moved.told_in == ("ICU", "4B")
    bedside.restart()
    assert (await bedside.give(admission("u", 6, "update", unit="ICU", bed="7"))).alerts == []
    said = await bedside.give(admission("b", 7, "transfer", unit="ICU", bed="8"))
    assert [(one.transition, one.bed, one.left) for one in said.alerts] == [("moved", "8", None)]
    said = await bedside.give(admission("d", 9, "discharge", disposition="home"))
    assert [one.transition for one in said.alerts] == ["closed"]
