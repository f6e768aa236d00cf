"""The life of an alert, rule by rule: a row each, its steps in seconds and what each of them brings about.

A row is `NAME (TERMS): STEPS`, a step `AT WHAT [how=...]: EXPECTED`. WHAT is something said of the condition
(`machine.SAID`), `tick`, an answer, an order, a policy, or something that is looked at (`due`, `state`, ...). Expected
are transitions, with the tier after a slash where it is not 0; nothing: none.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest

from tests.models.alerts.machine import SAID, START, TIERS, Book, Verdict
from tests.models.alerts.terms import Terms
from wardstream.models.alerts import answers, life
from wardstream.models.alerts.states import KEPT_ENDED, OpenAlert, due, pinned
from wardstream.schemas.acknowledgements import Acknowledgement
from wardstream.schemas.alerts import Evidence

ANSWERS = {"ack": "acknowledge", "snooze": "snooze", "resolve": "resolve", "hand": "hand_over", "rate": "rate"}
PLAIN = Terms(tiers=TIERS, repeat={"high": 1800.0})
HELD = replace(PLAIN, hold=300.0)
QUIET = replace(PLAIN, quiet=(600.0, 4800.0, ("low", "medium")))
BRIEF = replace(PLAIN, expire=1200.0)
TERMS = {
    "plain": PLAIN,
    "held": HELD,
    "quiet": QUIET,
    "brief": BRIEF,
    "restless": replace(PLAIN, max_snooze=0.0),
}

TABLE = """\
at once (plain): 0 medium: raised | 0 medium: | 1 low: | 2 unknown: went_stale | 3 medium: current_again
not between (plain): 0 between: | 0 unknown: | 0 over: | 9 tick: | 9 due: inf
hold (held): 0 medium: | 299 tick: | 299 due: 300 | 300 tick: raised
hold, by a verdict (held): 0 medium: | 299 medium: | 300 medium: raised
hold ends (held): 0 medium: | 200 over: | 300 tick: | 300 medium: | 599 tick: | 600 tick: raised
hold between (held): 0 medium: | 200 between: | 200 due: inf | 300 tick: | 400 low: raised
hold unknown (held): 0 medium: | 200 unknown: | 300 tick: raised
hold unknown after between (held): 0 medium: | 200 between: | 201 unknown: | 300 tick: | 301 low: raised
hold corrected away (held): 0 medium: | 200 corrected-to-over: | 300 tick: | 300 due: inf
hold corrected between (held): 0 medium: | 200 corrected-to-between: | 300 medium: | 599 tick: | 600 tick: raised
hold corrected (held): 0 high: | 200 corrected-to-medium: | 300 tick: | 499 tick: | 500 tick: raised
hold as it is now (held): 0 high: | 200 low: | 300 tick: raised | 300 priority: low
hold made longer (held): 0 medium: | 9 policy hold=600: | 300 tick: | 300 due: 600 | 600 tick: raised
hold made shorter (held): 0 medium: | 9 policy hold=60: | 60 tick: raised
quiet (quiet): 600 low: | 600 due: 4800 | 4799 medium: | 4800 tick: raised
quiet before (quiet): 599 low: raised
quiet is not for high (quiet): 600 medium: | 700 high: raised
quiet taken away (quiet): 600 medium: | 700 policy quiet=None: | 700 tick: raised
evidence (plain): 0 medium: raised | 5 medium: | 5 evidence: 0 | 6 high: worsened | 6 evidence: 6
worse (plain): 0 low: raised | 1 medium: worsened | 2 high: worsened | 2 due: 302 | 3 high: | 302 tick: escalated/1
worse breaks a rest (plain): 0 medium: raised | 1 ack: acknowledged | 2 high: worsened | 2 state: raised |
    2 until: None
worse breaks a snooze (plain): 0 medium: raised | 1 snooze for=900: snoozed | 2 high: worsened | 900 tick: escalated/1
worse goes back to the first (plain): 0 medium: raised | 900 tick: escalated/1 | 950 high: worsened
falls and rises (plain): 0 high: raised | 1 ack: acknowledged | 2 low: | 3 high: | 3 priority: high |
    3 state: acknowledged
back in time (plain): 100 medium: raised | 98 high: worsened | 398 tick: | 399 tick: | 400 tick: escalated/1
tiers (plain): 0 high: raised | 299 tick: | 300 tick: escalated/1 | 300 due: 900 | 899 tick: | 900 tick: escalated/2
repeats (plain): 0 high: raised | 1000 tick: escalated/2 | 2799 tick: | 2800 tick: escalated/2 |
    4600 tick: escalated/2
no repeats (plain): 0 medium: raised | 900 tick: escalated/1 | 900 due: 7200
one tier (plain): 0 low: raised | 0 due: 7200 | 5000 tick:
jump (plain): 0 high: raised | 5000 tick: escalated/2 | 5000 number: 2
quiet tiers (quiet): 0 medium: raised | 900 tick: | 900 due: 4800 | 950 medium: | 950 due: 4800 |
    4800 tick: escalated/1
fewer tiers (plain): 0 high: raised | 300 tick: escalated/1 | 301 policy tiers=0;60: | 900 tick: |
    2100 tick: escalated/1
later tiers (plain): 0 high: raised | 1 policy tiers=0;600: | 300 tick: | 600 tick: escalated/1
more tiers (plain): 0 high: raised | 900 tick: escalated/2 | 901 policy tiers=0;1;2;950: | 949 tick: |
    950 tick: escalated/3
silent (plain): 0 high silent=1: raised | 0 due: 7200 | 900 tick: | 7200 tick: expired
ack (plain): 0 high: raised | 5 ack: acknowledged | 5 due: 3605 | 5 assigned: A | 900 tick: | 3604 tick: |
    3605 tick: raised_again
ack escalated (plain): 0 high: raised | 300 tick: escalated/1 | 301 ack: acknowledged/1 | 900 tick: |
    3901 tick: raised_again | 4201 tick: escalated/1
again and again (plain): 0 high: raised | 1 ack: acknowledged | 3601 tick: raised_again | 3602 ack: acknowledged |
    3602 ack: | 7202 tick: raised_again
ack twice (plain): 0 high: raised | 5 ack: acknowledged | 9 ack: | 9 outcome: repeated | 9 due: 3605 | 9 number: 2
ack of before (plain): 0 low: raised | 9 high: worsened | 10 ack given=8: | 10 outcome: outdated | 10 ack seen=1: |
    10 ack given=8 seen=2: acknowledged
ack of a tier before (plain): 0 high: raised | 300 tick: escalated/1 | 301 ack seen=1: acknowledged/1
ack by one whose clock is late (plain): 0 low: raised | 1 ack given=60: acknowledged | 9 high: worsened |
    10 ack: acknowledged
snooze (plain): 0 high: raised | 5 snooze for=600: snoozed | 5 until: 605 | 604 tick: | 605 tick: raised_again |
    905 tick: escalated/1
snooze for long (plain): 0 high: raised | 5 snooze for=9000: snoozed | 5 until: 1805
snooze twice (plain): 0 high: raised | 5 snooze for=9000: snoozed | 60 snooze for=9000 given=5: |
    60 outcome: repeated | 60 until: 1805
snooze longer (plain): 0 high: raised | 5 snooze for=600: snoozed | 60 snooze for=600: snoozed | 60 until: 660
snooze too late (plain): 0 high: raised | 700 snooze for=600 given=5: | 700 outcome: outdated | 700 state: raised
no snooze (restless): 0 high: raised | 5 snooze for=60: | 5 outcome: not_allowed
snooze into quiet (quiet): 0 low: raised | 5 snooze for=900: snoozed | 905 tick: | 905 due: 4800 |
    4800 tick: raised_again
rest into quiet, worse (quiet): 0 low: raised | 5 snooze for=900: snoozed | 905 tick: | 950 high: worsened
the last that was given (plain): 0 high: raised | 60 snooze for=600: snoozed | 61 ack given=5: |
    61 outcome: outdated | 61 state: snoozed
ack after snooze (plain): 0 high: raised | 5 snooze for=600: snoozed | 6 ack: acknowledged | 6 until: 3606
hand over (plain): 0 high: raised | 5 hand to=B: handed_over | 6 ack: acknowledged | 6 assigned: B | 7 hand to=B: |
    7 outcome: repeated
hand over late (plain): 0 high: raised | 5 hand to=B: handed_over | 9 hand to=C: handed_over | 10 hand to=B given=5: |
    10 assigned: C
hand over stops nothing (plain): 0 high: raised | 5 hand to=B: handed_over | 300 tick: escalated/1
rate (plain): 0 high: raised | 5 rate useful=1: rated | 5 rate useful=1: | 6 rate useful=0: rated |
    7 rate useful=1 given=5: | 7 useful: False | 300 tick: escalated/1
ack and rate (plain): 0 high: raised | 5 ack: acknowledged | 6 ack useful=1: rated | 6 useful: True | 6 number: 3
late, but rated (plain): 0 low: raised | 9 high: worsened | 10 ack given=8 useful=0: rated | 10 state: raised
rate what has ended (plain): 0 high: raised | 5 over: resolved | 6 rate useful=1: rated | 6 rate useful=1: | 7 ack: |
    7 outcome: outdated | 8 rate useful=0 given=5:
resolve (plain): 0 high: raised | 5 resolve: resolved | 6 resolve: | 6 outcome: outdated | 6 high: | 1805 high: raised
no policy, no answer (plain): 0 high: raised | 1 policy none: | 2 ack: | 2 outcome: outdated | 3 tick: closed
silence (plain): 0 medium: raised | 5 ack: acknowledged | 9 over: resolved | 10 medium: | 10 due: 1805 | 1804 low: |
    1805 tick: raised
silence, worse (plain): 0 medium: raised | 5 ack: acknowledged | 9 over: resolved | 10 medium: | 11 high: raised
silence, over (plain): 0 medium: raised | 5 resolve: resolved | 9 medium: | 10 over: | 1805 tick:
silence of a snooze (plain): 0 medium: raised | 5 snooze for=600: snoozed | 9 over: resolved | 10 medium: |
    604 tick: | 605 tick: raised
silence is broken once (plain): 0 medium: raised | 5 ack: acknowledged | 6 high: worsened | 7 over: resolved |
    8 medium: raised
no silence unanswered (plain): 0 medium: raised | 9 over: resolved | 10 medium: raised
stale (plain): 0 high: raised | 1 unknown: went_stale | 2 unknown: | 300 tick: escalated/1 | 301 over: resolved/1
stale, then between (plain): 0 high: raised | 1 unknown: went_stale | 2 between: current_again | 3 high-at-least:
stale, then worse (plain): 0 low: raised | 1 unknown: went_stale | 2 high-at-least: current_again,worsened
between (plain): 0 high: raised | 1 between: | 2 over: resolved | 2 due: inf
over while it rests (plain): 0 high: raised | 1 ack: acknowledged | 2 over: resolved
retracted (plain): 0 high: raised | 1 ack: acknowledged | 2 corrected-to-over: retracted | 2 due: inf
retracted, between (plain): 0 high: raised | 1 corrected-to-between: retracted
retracted, and raised (plain): 0 high: raised | 1 corrected-to-medium: retracted,raised | 1 priority: medium
retracted, held, and raised (held): 0 high: | 300 tick: raised | 310 corrected-to-medium: retracted | 610 tick: raised
retracted after an answer (plain): 0 high: raised | 1 ack: acknowledged | 2 corrected-to-medium: retracted |
    1801 tick: raised
expires (brief): 0 low: raised | 1199 tick: | 1200 tick: expired | 1200 due: inf
expires later (brief): 0 low: raised | 500 between: | 1200 tick: | 1699 tick: | 1700 tick: expired
expires stale (brief): 0 low: raised | 500 unknown: went_stale | 1200 tick: expired
high does not (brief): 0 high: raised | 99999 tick: escalated/2 | 99999 state: escalated
high does when answered (brief): 0 high: raised | 5 ack: acknowledged | 1204 tick: | 1205 tick: expired
an answer keeps it (brief): 0 low: raised | 900 ack: acknowledged | 1200 tick: | 2100 tick: expired
high is told again first (brief): 0 high: raised | 5 ack: acknowledged | 9000 tick: raised_again
low is not (brief): 0 low: raised | 5 ack: acknowledged | 9000 tick: expired
again confirms nothing (brief): 0 low: raised | 5 snooze for=900: snoozed | 905 tick: raised_again |
    1205 tick: expired
expires sooner (plain): 0 low: raised | 9 policy expire=60: | 60 tick: expired
loud (held): 0 high silent=1: | 300 tick: raised | 310 high: expired,raised | 310 silent: False
loud, not holding (plain): 0 high silent=1: raised | 1 between: | 1 silent: True | 2 over: resolved
silent after loud (plain): 0 high: raised | 1 high silent=1: | 1 silent: False
closed (held): 0 high: | 300 tick: raised | 301 close: closed | 302 high: | 303 close: | 602 tick:
closed, silence too (plain): 0 high: raised | 1 ack: acknowledged | 2 close: closed | 3 high: raised
gone from the policy (plain): 0 high: raised | 1 policy none: | 2 tick: closed | 3 policy hold=0: | 4 high: raised
gone while it waits (held): 0 high: | 1 policy none: | 300 tick: | 300 due: inf
comfort care (plain): 0 high: raised | 0 order until=900: closed | 5 high: | 5 due: 900 | 900 tick: raised
comfort care, over (plain): 0 high: raised | 5 order until=900: closed | 6 over: | 900 tick:
comfort care, between (plain): 0 high: raised | 5 order until=900: closed | 6 between: | 900 tick: | 901 low: raised
comfort care taken back (plain): 0 high: raised | 5 order until=900: closed | 60 release: | 60 due: 60 |
    61 tick: raised
comfort care, renewed (plain): 0 high: raised | 5 order until=900: closed | 60 order until=2000: | 900 tick: |
    2000 tick: raised
comfort care and silent (plain): 0 high silent=1: raised | 5 order until=900: | 6 over silent=1: resolved
comfort care, found by its clock (plain): 0 high: raised | 1 merged until=900: | 2 high: closed | 900 tick: raised
comfort care, found by a tick (plain): 0 high: raised | 1 merged until=900: | 2 tick: closed | 900 tick: raised
"""
ROWS = {
    head: steps
    for row in re.split(r"\n(?! )", TABLE.strip())
    for head, _, steps in [" ".join(row.split()).partition("): ")]
}


class Case:
    """Steps one after another, by this `life` and these `answers`."""

    def __init__(self, terms: Terms, life: ModuleType, answers: ModuleType) -> None:
        self.book, self.life, self.answers = Book(), life, answers
        self.terms: Terms | None = terms
        self.suppressed_until: float | None = None
        self.outcome = ""
        self.alert: OpenAlert | None = None
        self.cause = 0

    def step(self, at: float, what: str, how: dict[str, str]) -> str:
        """Do one, and say what it brought about, or what was looked at."""
        now = self.when(at)
        changes: list[Any] = []
        if what.replace("-", " ") in SAID:
            assert self.terms is not None
            priority, over, stale, retracts = SAID[what.replace("-", " ")]
            evidence = Evidence(caused_by=UUID(int=int(at)))
            why, silent = what if retracts else None, "silent" in how
            verdict = Verdict("c", "score", priority, over, what, lambda: evidence, stale, why, silent)
            changes = self.life.judge(self.book, verdict, self.terms.rule("c"), now)
        elif what == "tick":
            changes = self.life.pass_time(self.book, self.rule_of, now)
            assert due(self.book) > START + at
        elif what in ANSWERS:
            self.outcome, changes = self.answers.answer(self.book, self.given(at, what, how), self.rule_of, now)
        elif what == "order":
            self.suppressed_until = START + float(how["until"])
            changes = self.life.suppress(self.book, self.suppressed_until, "ordered")
        elif what == "merged":
            self.suppressed_until = START + float(how["until"])
        elif what == "release":
            self.suppressed_until = None
            self.life.release(self.book, START + at)
        elif what == "close":
            changes = self.life.close(self.book, "left")
        elif what == "policy":
            self.terms = None if "none" in how else replace(self.terms or PLAIN, **_terms(how))
        else:
            return self.look(what)
        for change in changes:
            assert change.alert.number == (
                1 if change.transition == "raised" else self.alert.number + 1 if self.alert else 0
            )
            self.alert = change.alert
        return ",".join(f"{c.transition}/{c.alert.tier}" if c.alert.tier else c.transition for c in changes)

    def look(self, what: str) -> str:
        if what == "due":
            return f"{due(self.book) - START:.0f}"
        if what == "outcome":
            return self.outcome
        alert = self.alert if self.alert and self.alert.state in ("resolved",) else self.book.alerts["c"]
        if what == "until":
            return str(None if alert.until is None else round(alert.until - START))
        if what == "evidence":
            return str(pinned(alert).caused_by.int)
        return str(getattr(alert, {"assigned": "assigned_to"}.get(what, what)))

    def given(self, at: float, what: str, how: dict[str, str]) -> Acknowledgement:
        assert self.alert is not None
        when = datetime.fromtimestamp(START + float(how.get("given", at)), UTC)
        return Acknowledgement(
            event_id=UUID(int=self.cause),
            source="test",
            patient_id="P1",
            observed_at=when,
            received_at=when,
            alert_id=self.alert.alert_id,
            action=ANSWERS[what],  # type: ignore[arg-type]
            actor="A",
            seen=int(how["seen"]) if "seen" in how else None,
            snooze_until=when + timedelta(seconds=float(how["for"])) if "for" in how else None,
            handed_to=how.get("to"),
            useful=how["useful"] == "1" if "useful" in how else None,
        )

    def rule_of(self, _: str) -> Any:
        return None if self.terms is None else self.terms.rule("c")

    def when(self, at: float) -> Any:
        self.cause += 1
        until = self.suppressed_until
        return self.life.Now(START + at, "P1", UUID(int=self.cause), until if until and until > START + at else None)


def _terms(how: dict[str, str]) -> dict[str, Any]:
    (name, value), *_ = how.items()
    if name == "tiers":
        return {"tiers": {"high": tuple(float(each) for each in value.split(";"))}}
    return {name: None if value == "None" else float(value)}


def play(name: str, life: ModuleType = life, answers: ModuleType = answers) -> None:
    """One row."""
    case = Case(TERMS[name.partition(" (")[2]], life, answers)
    for step in ROWS[name].split("|"):
        does, _, expected = step.strip().partition(":")
        at, what, *rest = does.split()
        how = dict(one.partition("=")[::2] for one in rest)
        assert case.step(float(at), what, how) == expected.strip(), step


@pytest.mark.parametrize("name", ROWS)
def test_row(name: str) -> None:
    play(name)


def two_ids_of_one_cause(life: ModuleType = life) -> None:
    """An event whose clock raises what it then corrects: two alerts, two ids."""
    case = Case(HELD, life, answers)
    case.step(0, "medium", {})
    now, terms = case.when(300), replace(PLAIN)
    first = life.pass_time(case.book, case.rule_of, now)
    verdict = Verdict("c", "score", "low", False, "x", lambda: Evidence(caused_by=UUID(int=1)), False, "x", False)
    ended, again = life.judge(case.book, verdict, terms.rule("c"), now)
    assert first[0].alert.alert_id == ended.alert.alert_id != again.alert.alert_id


def test_ids_are_unique() -> None:
    two_ids_of_one_cause()


def test_the_last_that_ended_are_kept() -> None:
    case = Case(PLAIN, life, answers)
    for at in range(2 * KEPT_ENDED + 2):
        case.step(at, "over" if at % 2 else "high", {})
    assert len(case.book.ended) == KEPT_ENDED
    assert case.book.ended[-1].alert is case.alert


def test_an_answer_to_nothing_is_unknown() -> None:
    case = Case(PLAIN, life, answers)
    case.step(0, "high", {})
    case.book.alerts.clear()
    case.step(1, "ack", {})
    assert case.outcome == "unknown"
    assert math.isinf(due(case.book))
