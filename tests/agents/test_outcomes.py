"""outcomes.v1: a death ends the patient's alerts."""

from __future__ import annotations

import pytest

from tests.agents.bedside import Bedside
from tests.events import WELL, admission, outcome, tick, vitals
from wardstream.models.risk.target import Target

NEWS2_TRUE = ("news2", "medium", "no", "true")
ILL = WELL | {"heart_rate_bpm": 140.0}


@pytest.fixture
async def bedside() -> Bedside:
    bedside = Bedside()
    said = await bedside.give(admission("a", 0, "admit", unit="A"), vitals("v", 1, **ILL, provenance="device"))
    assert said.transitions() == [("news2", "raised")]
    return bedside


async def test_a_death_ends_alerts_and_none_comes_after(bedside: Bedside) -> None:
    said = await bedside.give(outcome("d", 5, "death"))
    assert said.transitions() == [("news2", "closed")]
    assert said.alerts[0].reason == "the patient has died"
    assert (await bedside.give(vitals("w", 6, **ILL), tick(120))).alerts == []


async def test_a_death_taken_back_reopens(bedside: Bedside) -> None:
    await bedside.give(outcome("d", 5, "death"))
    said = await bedside.give(outcome("k", 5, "death", 9, status="cancelled", supersedes="d"))
    assert said.transitions() == [("news2", "raised")]


async def test_a_death_that_was_an_arrest_reopens(bedside: Bedside) -> None:
    await bedside.give(outcome("d", 5, "death"))
    bedside.restart()
    said = await bedside.give(outcome("c", 5, "cardiac_arrest", 9, status="corrected", supersedes="d"))
    assert said.transitions() == [("news2", "raised")]


async def test_taken_back_before_it_was_told(bedside: Bedside) -> None:
    await bedside.give(outcome("k", 5, "death", 9, status="cancelled", supersedes="d"))
    said = await bedside.give(outcome("d", 5, "death", 6))
    assert (said.alerts, bedside.patient().died_at) == ([], None)


@pytest.mark.parametrize(
    "event",
    [
        outcome("o", 5, "icu_transfer"),
        outcome("o", 5, "death", occurred=False),
        outcome("o", 5, "cardiac_arrest", 6, status="corrected", supersedes="another"),
    ],
)
async def test_others_change_nothing(bedside: Bedside, event: object) -> None:
    before = bedside.patient()
    said = await bedside.give(event)  # type: ignore[arg-type]
    assert (said.scores, said.alerts) == ([], [])
    after = bedside.patient()
    assert (after.deaths, after.alerts, after.signals) == (before.deaths, before.alerts, before.signals)


async def test_no_death_up_to_now_does_not_take_a_death_back(bedside: Bedside) -> None:
    await bedside.give(outcome("d", 5, "death"))
    assert (await bedside.give(outcome("o", 4, "death", 9, occurred=False))).alerts == []
    assert bedside.patient().died_at is not None


async def test_labels_of_strangers_make_no_patient() -> None:
    bedside = Bedside()
    await bedside.give(outcome("o", 5, "sepsis_onset"), outcome("p", 5, "death", occurred=False))
    assert b"p\0P1" not in bedside.rows


async def test_the_dead_are_forgotten_after_a_day() -> None:
    bedside = Bedside(judging=Target(horizon_h=12, grace_h=0))
    await bedside.give(admission("a", 0, "admit", unit="A"), vitals("v", 1, **ILL, provenance="device"))
    await bedside.give(outcome("d", 5, "death", 10))
    assert (await bedside.give(tick(5 + 12 * 60))).counts["alert_verdicts_total", NEWS2_TRUE] == 1
    assert (await bedside.give(tick(24 * 60 + 9))).changelog == {}
    assert (await bedside.give(tick(24 * 60 + 10))).counts["evictions_total", ()] == 1
    assert bedside.rows == {}
