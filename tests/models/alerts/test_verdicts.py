"""Which alerts are true ones, and which outcomes one came before."""

from __future__ import annotations

from collections import Counter
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.events import admission, at, outcome
from wardstream.models.alerts.value import HOUR, Ledger, Watched
from wardstream.models.alerts.verdicts import ANY, Came, Group, Verdicts, judge, overtakes
from wardstream.models.risk.labels import Report, report_of, together
from wardstream.models.risk.target import Target
from wardstream.models.stay import StayLog
from wardstream.schemas.admissions import Admission
from wardstream.schemas.outcomes import Outcome

H = 60.0  # an hour, in the minutes of `at`
TARGET = Target(horizon_h=24)  # and 36 h of grace
ADMIT = admission("admit", 0, "admit", unit="4B", encounter_id="E1")
LATER = 1000 * H
ALL = Group(ANY, ANY, False)


def alert(hours: float, horizon_h: float = 24, **fields: Any) -> Watched:
    about = {"condition": "news2", "priority": "medium"} | fields
    return Watched(at=at(hours * H).timestamp(), horizon_s=horizon_h * HOUR, **about)  # type: ignore[arg-type]


def reports(*events: Any) -> tuple[Report, ...]:
    return together(report_of(event) for event in events if isinstance(event, Outcome))


def stay(*events: Any) -> StayLog:
    log = StayLog()
    for event in events:
        if isinstance(event, Admission):
            log.add(event)
    return log


def ledger_of(alerts: list[Watched], events: tuple[Any, ...]) -> Ledger:
    ledger = Ledger({UUID(int=number): one for number, one in enumerate(alerts)})
    for one in reports(*events):
        if one.kind in TARGET.kinds and one.occurred and one.received_at < one.at + TARGET.grace_h * HOUR:
            ledger.expect(one.at)
    return ledger


def judged(alerts: list[Watched], *events: Any, now: float = LATER) -> Verdicts:
    return judge(ledger_of(alerts, events), at(now).timestamp(), reports(*events), stay(*events), TARGET)


def said(verdicts: Verdicts) -> list[str]:
    return [verdict for _, verdict in verdicts.alerts]


@pytest.mark.parametrize(
    ("hours", "verdict"), [(10.01, "true"), (34, "true"), (34.1, "false"), (10, "excluded"), (9, "excluded")]
)
def test_an_outcome_within_the_horizon_makes_it_true(hours: float, verdict: str) -> None:
    assert said(judged([alert(10)], ADMIT, outcome("o", hours * H, "icu_transfer"))) == [verdict]


def test_each_alert_has_its_own_horizon() -> None:
    found = judged([alert(10), alert(10, 6), alert(15, 6)], ADMIT, outcome("o", 18 * H, "death"))
    assert said(found) == ["true", "false", "true"]


@pytest.mark.parametrize(
    ("events", "verdict"),
    [
        ((), "censored"),
        ((ADMIT,), "false"),
        ((ADMIT, admission("l", 11 * H, "discharge", disposition="home")), "false"),
        ((ADMIT, admission("l", 11 * H, "discharge", disposition="transfer")), "censored"),
        ((ADMIT, admission("l", 11 * H, "discharge", disposition="died")), "true"),
        ((ADMIT, outcome("o", 11 * H, "rapid_response")), "false"),
        (
            (ADMIT, outcome("o", 11 * H, "death"), outcome("c", 11 * H, "death", status="cancelled", supersedes="o")),
            "false",
        ),
    ],
)
def test_what_else_may_come_of_the_patient(events: tuple[Any, ...], verdict: str) -> None:
    assert said(judged([alert(10)], *events)) == [verdict]


def test_nothing_is_judged_before_its_time() -> None:
    events = ADMIT, outcome("o", 12 * H, "sepsis_onset")
    ledger = ledger_of([alert(10)], events)

    def verdicts(hours: float) -> Verdicts:
        return judge(ledger, at(hours * H).timestamp(), reports(*events), stay(*events), TARGET)

    assert verdicts(47.9) == Verdicts([], [])
    assert [came.kind for came in verdicts(48).outcomes] == ["sepsis_onset"]
    assert verdicts(69.9) == Verdicts([], [])
    assert said(verdicts(70)) == ["true"]
    assert verdicts(LATER) == Verdicts([], [])
    assert ledger.due(0) is None


def test_what_goes_on_is_kept_and_not_judged_again() -> None:
    ledger = ledger_of([alert(10), alert(10, ended=True)], ())
    assert len(judge(ledger, at(LATER).timestamp(), (), stay(ADMIT), TARGET).alerts) == 2
    assert list(ledger.alerts) == [UUID(int=0)]
    assert judge(ledger, at(LATER).timestamp(), (), stay(ADMIT), TARGET).alerts == []


def test_who_caught_an_outcome_and_how_early() -> None:
    alerts = [
        alert(1),  # too early
        alert(20, priority="high"),
        alert(10),
        alert(26),
        alert(28, condition="sepsis"),
        alert(22, condition="trial", silent=True),
        alert(30),  # too late
    ]
    (came,) = judged(alerts, ADMIT, outcome("o", 30 * H, "icu_transfer")).outcomes
    assert came.kind == "icu_transfer"
    assert came.lead_s == {
        Group("news2", "medium", False): 20 * HOUR,
        Group("news2", "high", False): 10 * HOUR,
        Group("news2", ANY, False): 20 * HOUR,
        Group("sepsis", "medium", False): 2 * HOUR,
        Group("sepsis", ANY, False): 2 * HOUR,
        Group(ANY, "medium", False): 20 * HOUR,
        Group(ANY, "high", False): 10 * HOUR,
        ALL: 20 * HOUR,
        Group("trial", "medium", True): 8 * HOUR,
        Group("trial", ANY, True): 8 * HOUR,
        Group(ANY, "medium", True): 8 * HOUR,
        Group(ANY, ANY, True): 8 * HOUR,
    }


@pytest.mark.parametrize(
    ("events", "kinds"),
    [
        ((ADMIT, outcome("o", 10 * H, "death")), ["death"]),
        ((ADMIT, outcome("o", 10 * H, "icu_transfer"), outcome("p", 12 * H, "death")), ["icu_transfer"]),
        ((ADMIT, outcome("o", 10 * H, "icu_transfer"), outcome("p", 10 * H, "septic_shock")), ["icu_transfer"]),
        ((ADMIT, outcome("o", 10 * H, "rapid_response")), []),
        ((ADMIT, outcome("o", 10 * H, "death", occurred=False)), []),
        ((outcome("o", 10 * H, "death"),), []),
        ((ADMIT, admission("l", 5 * H, "discharge", disposition="home"), outcome("o", 10 * H, "death")), ["death"]),
        ((ADMIT, admission("l", 5 * H, "discharge", disposition="home"), outcome("o", 30 * H, "death")), []),
        ((ADMIT, admission("l", 5 * H, "discharge", disposition="hospice"), outcome("o", 10 * H, "death")), []),
        ((ADMIT, admission("l", 10 * H, "discharge", disposition="died"), outcome("o", 10 * H, "death")), ["death"]),
        (
            (
                ADMIT,
                outcome("o", 10 * H, "death"),
                outcome("p", 10 * H, "death", 12 * H, status="cancelled", supersedes="o"),
            ),
            [],
        ),
    ],
)
def test_the_first_outcome_of_a_stay_counts(events: tuple[Any, ...], kinds: list[str]) -> None:
    assert [came.kind for came in judged([], *events).outcomes] == kinds


def test_each_stay_has_its_own() -> None:
    again = admission("again", 50 * H, "admit", unit="4B", encounter_id="E2")
    left = admission("l", 20 * H, "discharge", disposition="home", encounter_id="E1")
    events = ADMIT, outcome("o", 10 * H, "icu_transfer"), left, again, outcome("p", 60 * H, "icu_transfer")
    assert judged([alert(9), alert(51)], *events).outcomes == [
        Came("icu_transfer", dict.fromkeys(_groups("news2", "medium"), HOUR)),
        Came("icu_transfer", dict.fromkeys(_groups("news2", "medium"), 9 * HOUR)),
    ]


def _groups(condition: str, priority: str) -> list[Group]:
    return [Group(one, other, False) for one in (condition, ANY) for other in (priority, ANY)]


def test_corrected_in_time_it_counts_at_its_corrected_time_only() -> None:
    events = (
        ADMIT,
        outcome("o", 10 * H, "icu_transfer"),
        outcome("c", 14 * H, "icu_transfer", 20 * H, status="corrected", supersedes="o"),
    )
    (came,) = judged([alert(8)], *events).outcomes
    assert came.lead_s[ALL] == 6 * HOUR


def test_corrected_too_late_it_is_not_judged_again() -> None:
    first = ADMIT, outcome("o", 10 * H, "icu_transfer")
    late = outcome("c", 40 * H, "icu_transfer", 47 * H, status="corrected", supersedes="o")
    ledger = ledger_of([], first)
    assert len(judge(ledger, at(46 * H).timestamp(), reports(*first), stay(*first), TARGET).outcomes) == 1
    assert overtakes(reports(*first), reports(*first, late), at(47 * H).timestamp(), TARGET)
    ledger.expect(at(40 * H).timestamp())
    events = *first, late
    assert judge(ledger, at(LATER).timestamp(), reports(*events), stay(*events), TARGET).outcomes == []


@pytest.mark.parametrize(
    ("late", "overtaken"),
    [
        (outcome("c", 10 * H, "icu_transfer", 50 * H, status="cancelled", supersedes="o"), True),
        (outcome("c", 10 * H, "icu_transfer", 45 * H, status="cancelled", supersedes="o"), False),
        (outcome("c", 20 * H, "icu_transfer", 50 * H, occurred=False), True),
        (outcome("n", 12 * H, "death", 50 * H), True),
        (outcome("n", 40 * H, "death", 50 * H), False),
        (outcome("n", 12 * H, "rapid_response", 50 * H), False),
    ],
)
def test_what_comes_after_the_verdict_is_seen(late: Outcome, overtaken: bool) -> None:
    before = reports(outcome("o", 10 * H, "icu_transfer"))
    after = together((*before, report_of(late)))
    assert overtakes(before, after, late.received_at.timestamp(), TARGET) is overtaken


moments = st.integers(1, 200)


@given(
    alerts=st.lists(st.tuples(moments, st.sampled_from([6, 24])), max_size=8),
    outcomes=st.lists(st.tuples(moments, st.integers(0, 35)), max_size=4),
    leaves=st.none() | moments,
    ticks=st.lists(st.integers(0, 300), max_size=12),
)
@settings(max_examples=150, deadline=None)
def test_when_the_ticks_come_does_not_matter(
    alerts: list[tuple[int, int]], outcomes: list[tuple[int, int]], leaves: int | None, ticks: list[int]
) -> None:
    """Whatever is reported within the grace: all is judged once, and the same, by many ticks or a single one; true
    alerts and caught outcomes are the same pairs."""
    events: list[Any] = [ADMIT]
    if leaves is not None:
        events.append(admission("l", leaves * H, "discharge", disposition="home"))
    events += [
        outcome(f"o{number}", hours * H, "icu_transfer", (hours + delay) * H)
        for number, (hours, delay) in enumerate(outcomes)
    ]
    once = judged([alert(*one) for one in alerts], *events)
    ledger, seen = ledger_of([alert(*one) for one in alerts], tuple(events)), Counter[Any]()
    came = list[Came]()
    for hours in [*sorted(ticks), LATER]:
        known = [one for one in events if one.received_at <= at(hours * H)]
        found = judge(ledger, at(hours * H).timestamp(), reports(*known), stay(*events), TARGET)
        seen.update((one.at, verdict) for one, verdict in found.alerts)
        came += found.outcomes
    assert seen == Counter((one.at, verdict) for one, verdict in once.alerts)
    assert came == once.outcomes
    assert len(once.alerts) == len(alerts)
    true = any(verdict == "true" for verdict in said(once))
    assert true == any(one.lead_s for one in once.outcomes)
    assert all(0 < lead <= 24 * HOUR for one in once.outcomes for lead in one.lead_s.values())
