"""What alerts cost and are worth, counted by the lanes: once, whatever happens to workers and patients' ids."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.agents.bedside import Bedside, Said
from tests.agents.lanes import Killed, Lanes
from tests.events import WELL, admission, at, event_id, outcome, tick, vitals
from wardstream.agents import alert_value
from wardstream.agents import metrics as m
from wardstream.agents.meters import Names
from wardstream.agents.patients import Rules
from wardstream.models.alerts.policy_file import DEFAULT, parse_policy
from wardstream.models.risk.target import Target
from wardstream.schemas.acknowledgements import Acknowledgement

H = 60.0  # an hour, in the minutes of `at`
ILL = WELL | {"heart_rate_bpm": 140.0}
MEDIUM = ("news2", "medium", "no")
TARGET = Target(horizon_h=6, grace_h=2)
OWN = frozenset(
    {"alert_episodes_total", "alert_verdicts_total", "alert_outcomes_total", "alert_outcomes_caught_total"}
    | {"alert_verdicts_overtaken_total", "unit_alerts_total"}
)


@pytest.fixture
def bedside() -> Bedside:
    return Bedside(judging=TARGET)


def admitted(**fields: Any) -> Any:
    return admission("in", 0, "admit", **{"age_years": 60.0, "sex": "female", "unit": "4B"} | fields)


def answer(alert_id: Any, minutes: float, **fields: Any) -> Acknowledgement:
    about = {"action": "acknowledge", "actor": "A1"} | fields
    return Acknowledgement(
        event_id=event_id(f"answer {minutes}"),
        source="test",
        patient_id="P1",
        observed_at=at(minutes),
        received_at=at(minutes),
        alert_id=alert_id,
        **about,
    )


def counted(said: Said) -> dict[tuple[str, tuple[str, ...]], float]:
    return {place: number for place, number in said.counts.items() if place[0] in OWN}


def ticks(first: float, last: float) -> list[Any]:
    return [tick(minute) for minute in range(int(first), int(last) + 1)]


async def test_from_raised_to_its_verdict(bedside: Bedside) -> None:
    said = await bedside.give(admitted(), vitals("v", 5, **ILL))
    assert counted(said) == {
        ("alert_episodes_total", (*MEDIUM, "raised")): 1,
        ("alert_episodes_total", (*MEDIUM, "in_stay")): 1,
        ("unit_alerts_total", ("4B",)): 1,
    }
    said = await bedside.give(answer(said.alerts[0].alert_id, 9, useful=True))
    assert counted(said) == {
        ("alert_episodes_total", (*MEDIUM, "answered")): 1,
        ("alert_episodes_total", (*MEDIUM, "useful")): 1,
    }
    assert said.observed == [("alert_answer_seconds", MEDIUM[:2], 240.0)]
    said = await bedside.give(vitals("w", 20, **WELL), outcome("o", 2 * H, "icu_transfer", 3 * H))
    assert counted(said) == {}
    bedside.restart()
    assert counted(await bedside.give(tick(4 * H - 1))) == {}
    said = await bedside.give(tick(4 * H))
    groups = [(one, other, "no") for one in ("news2", "*") for other in ("medium", "*")]
    assert counted(said) == {("alert_outcomes_total", ("icu_transfer",)): 1} | {
        ("alert_outcomes_caught_total", (*group, "icu_transfer")): 1 for group in groups
    }
    assert said.observed == [("alert_lead_seconds", group, 115 * 60.0) for group in groups]
    assert counted(await bedside.give(tick(5 + 8 * H - 1))) == {}
    assert counted(await bedside.give(tick(5 + 8 * H))) == {("alert_verdicts_total", (*MEDIUM, "true")): 1}
    assert bedside.patient().judged is None


async def test_an_alert_that_nothing_came_of(bedside: Bedside) -> None:
    await bedside.give(admitted(), vitals("v", 5, **ILL))
    said = await bedside.give(*ticks(6, 9 * H))
    assert counted(said)["alert_verdicts_total", (*MEDIUM, "false")] == 1
    assert counted(said)["alert_episodes_total", (*MEDIUM, "escalated")] == 1, "once, however often it is"
    assert ("alert_verdicts_total", ("stale", "low", "no", "false")) not in said.counts


async def test_a_correction_retracts(bedside: Bedside) -> None:
    await bedside.give(admitted(), vitals("v", 5, **ILL))
    said = await bedside.give(vitals("c", 5, 7, **WELL, status="corrected", supersedes="v"))
    assert counted(said) == {("alert_episodes_total", (*MEDIUM, "retracted")): 1}


async def test_what_is_silent_is_judged_as_well() -> None:
    text = DEFAULT.text.replace('of = "news2"\n', 'of = "news2"\nsilent = true\n')
    silent = parse_policy(text)
    bedside = Bedside(judging=TARGET, policy=lambda: silent)
    said = await bedside.give(admitted(), vitals("v", 5, **ILL), vitals("w", 6, **WELL))
    assert counted(said) == {
        ("alert_episodes_total", ("news2", "medium", "yes", "raised")): 1,
        ("alert_episodes_total", ("news2", "medium", "yes", "in_stay")): 1,
    }, "it is no burden to the unit"
    said = await bedside.give(outcome("o", 2 * H, "death"), tick(9 * H))
    assert said.counts["alert_verdicts_total", ("news2", "medium", "yes", "true")] == 1
    assert said.counts["alert_outcomes_caught_total", ("news2", "*", "yes", "death")] == 1
    assert ("alert_outcomes_caught_total", ("*", "*", "no", "death")) not in said.counts


async def test_who_was_never_admitted(bedside: Bedside) -> None:
    said = await bedside.give(vitals("v", 5, **ILL))
    assert counted(said) == {("alert_episodes_total", (*MEDIUM, "raised")): 1}
    said = await bedside.give(outcome("o", 2 * H, "icu_transfer"), tick(9 * H))
    assert said.counts["alert_verdicts_total", (*MEDIUM, "censored")] == 1
    assert not any(name == "alert_outcomes_total" for name, _ in said.counts)


async def test_a_discharge_may_say_that_the_patient_died(bedside: Bedside) -> None:
    await bedside.give(admitted(), vitals("v", 5, **ILL))
    await bedside.give(admission("out", 2 * H, "discharge", disposition="died"))
    said = await bedside.give(*ticks(3 * H, 9 * H))
    assert said.counts["alert_outcomes_total", ("death",)] == 1
    assert said.counts["alert_outcomes_caught_total", ("*", "*", "no", "death")] == 1
    assert said.counts["alert_verdicts_total", (*MEDIUM, "true")] == 1


async def test_what_comes_after_the_verdict_is_counted_and_changes_none(bedside: Bedside) -> None:
    await bedside.give(admitted(), vitals("v", 5, **ILL), outcome("o", H, "icu_transfer"))
    said = await bedside.give(*ticks(H, 9 * H))
    late = outcome("c", 8 * H, "icu_transfer", 9 * H, status="corrected", supersedes="o")
    assert counted(await bedside.give(late)) == {("alert_verdicts_overtaken_total", ("corrected",)): 1}
    said += await bedside.give(*ticks(9 * H, 20 * H))
    assert said.counts["alert_outcomes_total", ("icu_transfer",)] == 1
    assert said.counts["alert_verdicts_total", (*MEDIUM, "true")] == 1


async def test_the_patient_is_kept_until_the_verdict() -> None:
    bedside = Bedside()
    await bedside.give(admitted(), vitals("v", 5, **ILL), admission("out", 10, "discharge", disposition="home"))
    said = await bedside.give(tick(5 + 60 * H - 1))
    assert counted(said) == {}
    said = await bedside.give(tick(5 + 60 * H))
    assert said.counts["alert_verdicts_total", (*MEDIUM, "false")] == 1
    await bedside.give(tick(6 + 60 * H))
    assert bedside.rows == {}, "and then nothing is kept"


async def test_without_alerts_nothing_is_kept(bedside: Bedside) -> None:
    said = await bedside.give(admitted(), vitals("v", 5, **WELL), tick(6), vitals("w", 7, **WELL))
    assert b"c\0P1\0value" not in said.changelog
    assert counted(said) == {}


async def test_hours_of_patients_and_of_the_clock(bedside: Bedside) -> None:
    said = await bedside.give(admitted(), vitals("v", 5, **WELL), *ticks(6, 3 * H + 30))
    assert said.counts["patient_hours_total", ("4B",)] == 3
    assert said.counts["clock_hours_total", ()] == 3
    said = await bedside.give(admission("move", 3.6 * H, "transfer", unit="ICU"), tick(7 * H + 1))
    assert said.counts["patient_hours_total", ("ICU",)] == 4, "as many as have ended since"
    said = await bedside.give(admission("out", 8 * H, "discharge", disposition="home"), *ticks(8 * H, 10 * H))
    assert said.counts["patient_hours_total", ("ICU",)] == 0
    assert (await bedside.give(tick(100 * H))).counts["clock_hours_total", ()] == 0, "nobody knows what was in between"


async def test_of_a_stay_that_was_not_heard_of_the_last_hour_counts(bedside: Bedside) -> None:
    said = await bedside.give(admitted(), tick(50 * H + 1), tick(51 * H + 1))
    assert said.counts["patient_hours_total", ("4B",)] == 2


def total(lanes: Lanes, metric: m.Metric) -> Counter[tuple[str, ...]]:
    values = lanes.settings.meters.values
    return Counter({labels: int(value) for (known, labels), value in values.items() if known is metric})


async def test_each_lane_counts_its_share_of_the_clock() -> None:
    lanes = Lanes()
    await lanes.give(*ticks(0, 24 * H))
    assert lanes.settings.meters.total(m.CLOCK_HOURS) == pytest.approx(24)


@pytest.mark.parametrize("merged_at", [30, 3 * H, 5 * H, 9 * H], ids=["before", "after", "caught", "judged"])
async def test_an_id_that_ceases_takes_its_alerts_along(merged_at: float) -> None:
    lanes = Lanes(rules=Rules(judging=TARGET))
    a, b = (next(f"P{n}" for n in range(60) if lanes.lane_of(f"P{n}") == lane) for lane in (0, 1))
    await lanes.give(admitted(patient_id=a, encounter_id="E1"), vitals("v", 5, patient_id=a, **ILL))
    merge = admission("merge", merged_at, "merge", patient_id=b, merged_patient_id=a)
    others = [outcome("o", 2 * H, "icu_transfer", patient_id=a), vitals("w", 20, patient_id=a, **WELL)]
    minute = 6
    for event in sorted([merge, *others], key=lambda one: one.received_at):
        until = round((event.received_at - at(0)).total_seconds() / 60)
        await lanes.give(*ticks(minute, until), event)
        lanes.restart()
        minute = until + 1
    await lanes.give(*ticks(minute, 11 * H))
    assert total(lanes, m.ALERT_EPISODES)[*MEDIUM, "raised"] == 1
    assert total(lanes, m.OUTCOMES_JUDGED) == {("icu_transfer",): 1}
    assert total(lanes, m.OUTCOMES_CAUGHT)["*", "*", "no", "icu_transfer"] == 1
    assert total(lanes, m.ALERT_VERDICTS)[*MEDIUM, "true"] == 1


async def test_a_worker_that_dies_counts_nothing_that_is_done_again() -> None:
    lanes, deaths = Lanes(1, Rules(judging=TARGET)), 0

    def die() -> None:
        nonlocal deaths
        deaths += 1
        if deaths % 3 == 1:  # before each transaction, the first time
            raise Killed

    lanes.kill = die
    await lanes.give(
        admitted(), vitals("v", 5, **ILL), outcome("o", 2 * H, "icu_transfer"), vitals("w", 7, 125, **WELL)
    )
    await lanes.give(tick(70 * H))
    assert deaths > 3
    assert total(lanes, m.ALERT_EPISODES)[*MEDIUM, "raised"] == 1
    assert total(lanes, m.OUTCOMES_JUDGED) == {("icu_transfer",): 1}
    assert total(lanes, m.ALERT_VERDICTS)[*MEDIUM, "true"] == 1
    seen = lanes.settings.meters.histograms[m.ALERT_LEAD, ("*", "*", "no")]
    assert (seen.count, seen.sum) == (1, 115 * 60.0)


async def test_what_fails_on_a_patient_is_not_counted(bedside: Bedside, monkeypatch: pytest.MonkeyPatch) -> None:
    await bedside.give(admitted(), vitals("v", 5, **ILL), outcome("o", 2 * H, "icu_transfer"))
    judge = alert_value.judge

    def fail(*about: Any) -> None:
        judge(*about)
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr(alert_value, "judge", fail)
        said = await bedside.give(tick(9 * H))
    assert (counted(said), said.observed) == ({}, [])
    assert said.counts["handler_errors_total", ("ticks.v1", "RuntimeError")] == 1
    said = await bedside.give(tick(9 * H + 1))
    assert said.counts["alert_verdicts_total", (*MEDIUM, "true")] == 1
    assert len(said.observed) == 4


def test_names_from_outside_are_bounded() -> None:
    names = Names()
    assert (names(None), names("4B"), names('a"{b}')) == ("", "4B", "a__b_")
    found = {names(f"U{number}") for number in range(10_000)}
    assert len(found) <= Names.MOST
    assert Names.OTHER in found
    assert names("4B") == "4B"
