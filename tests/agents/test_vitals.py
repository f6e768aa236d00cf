"""vitals.v1 → scores and alerts."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.agents.bedside import Bedside, Said
from tests.events import WELL, admission, at, event_id, tick, vitals
from wardstream.models.scores import Observations, rule_scores
from wardstream.schemas.alerts import ENDED, Alert
from wardstream.schemas.envelope import Event
from wardstream.schemas.ticks import Tick

MAN = admission("admit", 0, "admit", age_years=70.0, sex="male", unit="A", bed="3", encounter_id="E1")


@pytest.fixture
def bedside() -> Bedside:
    return Bedside()


async def test_a_set_makes_one_record_of_all_scores(bedside: Bedside) -> None:
    said = await bedside.give(MAN, vitals("v", 5, **WELL))
    assert [record.scores for record in said.scores] == [
        rule_scores(Observations(**WELL, age_years=70.0, pregnant=False))
    ]
    assert said.news2().value == 0
    assert said.news2().complete
    assert said.alerts == []


async def test_the_envelope_says_whose_and_from_what(bedside: Bedside) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    said = await bedside.give(MAN, vitals("v", 5, 6, heart_rate_bpm=140.0, facility="North", trace=trace))
    for message in (*said.scores, *said.alerts):
        assert (message.source, message.provenance, message.status) == ("wardstream", "derived", "final")
        assert (message.patient_id, message.facility, message.trace) == ("P1", "North", trace)
        assert message.encounter_id == "E1", "the stay's, where the event names none"
        assert message.observed_at == message.received_at == at(6), "when it was known, not when it was measured"
        assert message.supersedes is None
    assert said.scores[0].caused_by == event_id("v")
    assert said.alerts[0].evidence.caused_by == event_id("v")


async def test_an_alert_carries_its_evidence_and_place(bedside: Bedside) -> None:
    said = await bedside.give(MAN, vitals("a", 5, **WELL), vitals("b", 10, heart_rate_bpm=140.0))
    (alert,) = said.alerts
    assert (alert.condition, alert.transition, alert.priority) == ("news2", "raised", "medium")
    assert (alert.unit, alert.bed, alert.raised_at) == ("A", "3", at(10))
    assert alert.evidence.score == said.news2()
    values = {name: (reading.value, reading.observed_at) for name, reading in alert.evidence.values.items()}
    assert values == {name: (value, at(5)) for name, value in WELL.items()} | {"heart_rate_bpm": (140.0, at(10))}
    assert "heart_rate_bpm" in alert.reason


async def test_what_is_missing_is_named(bedside: Bedside) -> None:
    said = await bedside.give(vitals("v", 0, heart_rate_bpm=72.0))
    assert not said.news2().complete
    assert set(said.news2().missing) == set(WELL) - {"heart_rate_bpm"} | {"age_years", "pregnant"}


async def test_values_stay_until_their_window_ends(bedside: Bedside) -> None:
    monitor = dict.fromkeys(("heart_rate_bpm", "respiratory_rate_per_min"), 20.0) | {"provenance": "device"}
    await bedside.give(MAN, vitals("chart", 0, **WELL), vitals("monitor", 1, **monitor))
    assert (await bedside.give(vitals("bp", 15.9, systolic_mmhg=120.0))).news2().complete
    said = await bedside.give(vitals("bp again", 16, systolic_mmhg=120.0))
    assert set(said.news2().missing) == {"heart_rate_bpm", "respiratory_rate_per_min"}


async def test_a_late_set_says_nothing_but_is_kept(bedside: Bedside) -> None:
    await bedside.give(vitals("a", 60, heart_rate_bpm=80.0))
    said = await bedside.give(vitals("late", 10, 70, heart_rate_bpm=140.0))
    assert (said.scores, said.alerts) == ([], [])
    assert [one.event_id for one in bedside.sets()] == [event_id("late"), event_id("a")]


async def test_a_late_set_that_knows_something_new_is_scored_as_of_now(bedside: Bedside) -> None:
    await bedside.give(MAN, vitals("a", 60, heart_rate_bpm=80.0))
    said = await bedside.give(vitals("late", 10, 70, temperature_celsius=39.5, heart_rate_bpm=140.0))
    assert said.scores[0].observed_at == at(70)
    assert said.news2().parts == {"heart_rate_bpm": 0.0, "temperature_celsius": 2.0}


async def test_a_set_from_long_ago_raises_no_alert_today(bedside: Bedside) -> None:
    said = await bedside.give(MAN, vitals("old", 10, 10 + 24 * 60, heart_rate_bpm=140.0))
    assert said.news2().parts == {}
    assert said.transitions() == [("stale", "raised")]


async def test_a_resend_says_nothing_also_after_a_restart(bedside: Bedside) -> None:
    event = vitals("a", 0, heart_rate_bpm=140.0)
    await bedside.give(event)
    assert (await bedside.give(event, event)).scores == []
    bedside.restart()
    assert (await bedside.give(event)).scores == []
    assert len(bedside.sets()) == 1


async def test_a_correction_rescores_and_retracts(bedside: Bedside) -> None:
    raised = await bedside.give(MAN, vitals("a", 0, **WELL), vitals("x", 5, heart_rate_bpm=140.0))
    said = await bedside.give(vitals("c", 5, 9, heart_rate_bpm=104.0, status="corrected", supersedes="x"))
    assert said.transitions() == [("news2", "retracted")]
    assert said.alerts[0].alert_id == raised.alerts[0].alert_id
    assert said.alerts[0].reason == "corrected values: NEWS2 is 1 at that time"
    assert said.news2().value == 1
    assert said.counts["revisions_total", ("revised",)] == 1


async def test_the_alert_goes_with_any_value_it_rested_on(bedside: Bedside) -> None:
    """The event that raised it stands; one of those before it was wrong."""
    await bedside.give(
        MAN,
        vitals("a", 0, **WELL),
        vitals("x", 5, temperature_celsius=39.5),
        vitals("y", 6, heart_rate_bpm=115.0),
    )
    assert (await bedside.give(vitals("z", 7, respiratory_rate_per_min=22.0))).transitions() == [("news2", "raised")]
    said = await bedside.give(vitals("c", 5, 9, temperature_celsius=37.5, status="corrected", supersedes="x"))
    assert (said.news2().value, said.transitions()) == (4, [("news2", "retracted")])


async def test_a_correction_elsewhere_leaves_the_alert_alone(bedside: Bedside) -> None:
    await bedside.give(
        MAN, vitals("a", 0, **WELL), vitals("x", 5, heart_rate_bpm=140.0), vitals("y", 9, weight_kg=80.0)
    )
    better = {"heart_rate_bpm": 104.0, "supplemental_oxygen": True, "temperature_celsius": 38.5}
    await bedside.give(vitals("better", 20, **better))
    said = await bedside.give(vitals("c", 9, 25, weight_kg=88.0, status="corrected", supersedes="y"))
    assert (said.news2().value, said.alerts) == (4, [])


async def test_a_wrong_step_up_is_taken_back_to_the_right_priority(bedside: Bedside) -> None:
    await bedside.give(MAN, vitals("a", 0, **WELL | {"heart_rate_bpm": 115.0, "temperature_celsius": 39.5}))
    await bedside.give(vitals("b", 1, respiratory_rate_per_min=22.0))
    said = await bedside.give(vitals("x", 5, systolic_mmhg=80.0))
    assert (said.transitions(), said.alerts[0].priority) == ([("news2", "worsened")], "high")
    said = await bedside.give(vitals("c", 5, 6, systolic_mmhg=130.0, status="corrected", supersedes="x"))
    assert said.transitions() == [("news2", "retracted"), ("news2", "raised")]
    assert [alert.priority for alert in said.alerts] == ["high", "medium"]
    assert len({alert.event_id for alert in said.alerts}) == len({alert.alert_id for alert in said.alerts}) == 2


async def test_a_correction_before_its_original(bedside: Bedside) -> None:
    fix = vitals("c", 5, 9, heart_rate_bpm=104.0, status="corrected", supersedes="x")
    said = await bedside.give(MAN, vitals("a", 0, **WELL), fix)
    assert said.news2().value == 1
    bedside.restart()
    said = await bedside.give(vitals("x", 5, 6, heart_rate_bpm=140.0))
    assert (said.scores, said.alerts) == ([], [])
    assert said.counts["revisions_total", ("already_revised",)] == 1


async def test_the_only_reading_is_cancelled(bedside: Bedside) -> None:
    await bedside.give(MAN, vitals("x", 5, heart_rate_bpm=140.0))
    said = await bedside.give(vitals("k", 5, 6, status="cancelled", supersedes="x", heart_rate_bpm=140.0))
    assert "heart_rate_bpm" in said.news2().missing
    assert said.transitions() == [("news2", "retracted")]
    assert bedside.patient().signals == {}


async def test_a_cancelled_order_for_scale_2(bedside: Bedside) -> None:
    low = WELL | {"spo2_percent": 90.0}
    said = await bedside.give(MAN, vitals("order", 0, spo2_scale_2=True), vitals("v", 1, **low))
    assert said.news2().parts["spo2_percent"] == 0
    said = await bedside.give(vitals("k", 0, 5, status="cancelled", supersedes="order"))
    assert said.news2().parts["spo2_percent"] == 3
    assert said.transitions() == [("news2", "raised")]


async def test_only_what_no_feed_carries_may_be_missing_when_an_alert_resolves() -> None:
    partial = {name: value for name, value in WELL.items() if name != "consciousness"}
    for never_carried, transitions in ((frozenset[str](), []), (frozenset({"consciousness"}), [("news2", "resolved")])):
        bedside = Bedside(never_carried)
        await bedside.give(MAN, vitals("a", 0, **partial | {"heart_rate_bpm": 140.0}))
        assert (await bedside.give(vitals("b", 5, heart_rate_bpm=72.0))).transitions() == transitions


def test_a_part_that_no_score_has_is_refused() -> None:
    with pytest.raises(ValueError, match="conciousness"):
        Bedside(frozenset({"conciousness", "pregnant"}))


async def test_extreme_values_are_counted_and_kept(bedside: Bedside) -> None:
    said = await bedside.give(vitals("v", 0, heart_rate_bpm=230.0))
    assert said.counts["extreme_values_total", ("heart_rate_bpm",)] == 1
    assert bedside.patient().signals["hr"].value == 230.0


async def test_patients_do_not_mix(bedside: Bedside) -> None:
    said = await bedside.give(
        vitals("a", 0, heart_rate_bpm=140.0), vitals("b", 0, patient_id="P2", temperature_celsius=37.0)
    )
    assert [(record.patient_id, record.scores[0].parts) for record in said.scores] == [
        ("P1", {"heart_rate_bpm": 3.0}),
        ("P2", {"temperature_celsius": 0.0}),
    ]


async def test_a_device_clock_that_is_ahead_makes_no_output_of_the_future(bedside: Bedside) -> None:
    """Every output is decoded as consumers decode it: one observed after it was received would be refused."""
    said = await bedside.give(vitals("fast", 4.9, 0, heart_rate_bpm=80.0), vitals("b", 0, 0, temperature_celsius=37.0))
    assert [record.observed_at for record in said.scores] == [at(4.9), at(4.9)]
    await bedside.give(tick(60))
    said = await bedside.give(vitals("held up on the way", 20, 21, respiratory_rate_per_min=14.0))
    assert said.scores[0].observed_at == at(21)


def stream(seed: int) -> list[Event | Tick]:
    """A few hours of three patients: late, corrected, cancelled, with results missing and monitors falling silent."""
    rng, events = random.Random(seed), list[tuple[float, Event | Tick]]()
    for name in "xyz":
        common: dict[str, Any] = {"patient_id": name}
        events.append((0, admission(f"{name} admit", 0, "admit", age_years=60.0, sex="male", unit="A", **common)))
        for number in range(25):
            minutes = rng.uniform(0, 300)
            received = minutes + rng.choice([0, 0, 0, rng.uniform(1, 60)])
            signs = {
                "heart_rate_bpm": float(rng.choice([70, 95, 115, 140])),
                "respiratory_rate_per_min": float(rng.choice([14, 22, 28])),
                "spo2_percent": float(rng.choice([90, 94, 97])),
                "systolic_mmhg": float(rng.choice([85, 105, 120])),
                "temperature_celsius": rng.choice([36.5, 39.5]),
                "consciousness": rng.choice("AAC"),
                "supplemental_oxygen": rng.random() < 0.3,
            }
            some = {sign: value for sign, value in signs.items() if rng.random() < 0.6} or {"heart_rate_bpm": 70.0}
            device = rng.choice(["device", "charted"])
            one = vitals(f"{name}{number}", minutes, received, **some, provenance=device, **common)
            events.append((received, one))
            if rng.random() < 0.3:
                later = received + rng.uniform(1, 60)
                fate = rng.choice([{"status": "cancelled"}, {"status": "corrected", "heart_rate_bpm": 80.0}])
                fix = vitals(f"{name}{number} fix", minutes, later, supersedes=f"{name}{number}", **fate, **common)
                events.append((rng.choice([later, received - 1]), fix))  # some overtake what they correct
    events.append((600, admission("x leaves", 600, "discharge", patient_id="x")))
    events += [(minute, tick(minute)) for minute in range(0, 900, 7)]
    return [event for _, event in sorted(events, key=lambda entry: entry[0])]


async def run(events: list[Event | Tick], restart_every: int | None = None, batches: bool = False) -> tuple[Said, Any]:
    bedside, said = Bedside(), Said()
    if batches:
        said += await bedside.give(*events)
    for number, event in enumerate([] if batches else events):
        if restart_every is not None and number % restart_every == 0:
            bedside.restart()
        said += await bedside.give(event)
    return said, {key: row for key, row in bedside.rows.items() if not key.startswith(b"i")}


def by_patient(said: Said) -> list[Any]:
    """Each patient's messages in their order; between patients there is none."""
    return sorted((*said.scores, *said.alerts), key=lambda message: message.patient_id)


@pytest.mark.parametrize("seed", range(3))
async def test_neither_restarts_nor_batches_change_what_is_said(seed: int) -> None:
    events = stream(seed)
    straight, rows = await run(events)
    assert straight.scores
    assert {alert.transition for alert in straight.alerts} >= {"raised", "worsened", "closed"}
    for other, other_rows in (await run(events, restart_every=3), await run(events, batches=True)):
        assert by_patient(other) == by_patient(straight)
        assert other_rows == rows


@pytest.mark.parametrize("seed", range(3, 6))
async def test_ids_are_unique_and_each_alert_is_raised_once_and_ended_once(seed: int) -> None:
    said, _ = await run(stream(seed), batches=True)
    ids = [message.event_id for message in (*said.scores, *said.alerts)]
    assert len(ids) == len(set(ids))
    lives: dict[Any, list[Alert]] = {}
    open_ones: dict[tuple[str, str], Any] = {}
    for alert in said.alerts:
        lives.setdefault(alert.alert_id, []).append(alert)
        place = alert.patient_id, alert.condition
        if alert.transition == "raised":
            assert place not in open_ones, "one open alert for one condition of one patient"
            open_ones[place] = alert.alert_id
        else:
            assert open_ones[place] == alert.alert_id
            if alert.state in ENDED:
                del open_ones[place]
    for life in lives.values():
        assert life[0].transition == "raised"
        assert [step.number for step in life] == list(range(1, len(life) + 1))
        assert not any(step.state in ENDED for step in life[:-1])
