"""What must be true of alerts, told from what went in and came out: the referee of the property test.

It keeps no timers and decides nothing. Of each condition it keeps since when it has held, and of the open alert what
its transitions said; each new transition must be one that the rules allow then (`Referee.see`), and after each step
nothing may be missing that the rules demand (`Referee.ask`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tests.models.alerts.terms import Terms
from wardstream.models.alerts.states import OpenAlert, pinned
from wardstream.schemas.acknowledgements import Acknowledgement
from wardstream.schemas.alerts import ENDED, Priority

GRAVITY: dict[Priority | None, int] = {None: 0, "low": 1, "medium": 2, "high": 3}
RESTING = ("acknowledged", "snoozed")


@dataclass
class Step:
    """What is done: `judge`, `tick`, `answer`, `suppress` or `close`, at a time, and with what.

    `until`: when the comfort care ends that holds; None: none does.
    """

    kind: str
    at: float
    condition: str | None = None
    verdict: Any = None
    evidence: UUID | None = None
    given: Acknowledgement | None = None
    until: float | None = None

    @property
    def suppressed(self) -> bool:
        return self.until is not None


@dataclass
class Open:
    """An alert as its transitions have told it."""

    alert_id: UUID
    priority: Priority
    silent: bool
    raised_at: float
    stepped_at: float
    told_at: float
    confirmed: float
    evidence: UUID
    number: int = 1
    stepped: int = 1
    state: str = "raised"
    stale: bool = False
    tier: int = 0
    until: float | None = None
    useful: bool | None = None
    assigned: str | None = None
    answered: float = 0.0
    handed: float = 0.0
    rated: float = 0.0


@dataclass
class Known:
    """A condition: since when it has held, and as what; whether it holds by the last that was known."""

    since: float | None = None
    holds: bool = False
    priority: Priority | None = None
    silent: bool = False
    evidence: UUID | None = None
    open: Open | None = None
    quieted: tuple[float, Priority] | None = None


class Referee:
    def __init__(self, conditions: tuple[str, ...]) -> None:
        self.known = {condition: Known() for condition in conditions}
        self.terms: dict[str, Terms | None] = {}
        self.ids: set[UUID] = set()
        self.ended: dict[UUID, Open] = {}
        self.clock = 0.0

    def hear(self, step: Step) -> None:
        """Take in what a step says of its condition, before its transitions are seen."""
        self.clock = max(self.clock, step.at)
        if step.suppressed:
            for known in self.known.values():
                if known.open is not None and not known.open.silent:
                    self._waits(known, known.open)
        verdict = step.verdict
        if verdict is None or step.condition is None:
            return
        known = self.known[step.condition]
        alert = None if step.suppressed and known.open is not None and not known.open.silent else known.open
        holds = verdict.priority is not None
        if alert is not None and verdict.retracts is None and alert.silent and not verdict.silent and holds:
            self._waits(known, alert)
            alert = None
        if alert is not None and verdict.retracts is None:
            if not (verdict.stale and not holds):
                alert.confirmed = max(alert.confirmed, step.at)
            return
        if verdict.retracts is not None or (verdict.over and not holds):
            known.since, known.holds = None, False
        if holds:
            known.since = step.at if known.since is None else known.since
            known.holds, known.priority, known.silent = True, verdict.priority, verdict.silent
            known.evidence = step.evidence
        elif not verdict.stale:
            known.holds = False

    @staticmethod
    def _waits(known: Known, alert: Open) -> None:
        known.since, known.holds, known.priority = 0.0, True, alert.priority  # it has held for long enough
        known.silent, known.evidence = alert.silent, alert.evidence

    def see(self, step: Step, change: Any) -> None:
        """One transition: the rules must allow it, here and now."""
        known, told = self.known[change.condition], change.alert
        if change.transition == "raised":
            self._may_raise(step, known, change.condition, told)
            return
        if change.transition == "rated" and told.alert_id in self.ended:
            before = self.ended[told.alert_id]
        else:
            assert known.open is not None, "a transition of an alert that is not open"
            before = known.open
        assert told.alert_id == before.alert_id
        assert told.number == before.number + 1, "numbers have no gap"
        assert told.raised_at == before.raised_at
        before.number += 1
        getattr(self, f"_{change.transition}")(step, known, self.terms[change.condition], before, told)
        assert told.state == before.state
        assert told.tier == before.tier
        assert told.stale == before.stale
        assert told.priority == before.priority
        assert told.useful == before.useful
        assert told.assigned_to == before.assigned
        assert told.until == before.until
        assert pinned(told).caused_by == before.evidence, "what it stands on"
        if change.transition in ENDED:
            self.ended[told.alert_id] = before
            known.open = None

    def _may_raise(self, step: Step, known: Known, condition: str, told: OpenAlert) -> None:
        terms = self.terms[condition]
        assert step.kind in ("judge", "tick")
        assert terms is not None
        assert known.open is None, "one at a time"
        assert told.alert_id not in self.ids, "an id for each"
        assert known.holds, "it holds"
        assert known.since is not None
        assert self._allowed(known, terms, step.at, max(step.at, self.clock))
        assert not step.suppressed
        assert (told.priority, told.silent, told.number, told.state) == (known.priority, known.silent, 1, "raised")
        assert told.raised_at == step.at
        assert told.until is None
        assert not told.stale
        assert told.tier == 0
        evidence = pinned(told).caused_by
        assert evidence == known.evidence
        self.ids.add(told.alert_id)
        at = step.at
        known.open = Open(told.alert_id, told.priority, told.silent, at, at, at, at, evidence)
        known.since, known.quieted = None, None

    @staticmethod
    def _allowed(known: Known, terms: Terms, at: float, latest: float) -> bool:
        """Whether what holds may be raised now. `latest`: silence may have ended by it (clocks differ)."""
        assert known.since is not None
        quieted = known.quieted is not None and GRAVITY[known.priority] <= GRAVITY[known.quieted[1]]
        if quieted and known.quieted is not None and latest < known.quieted[0]:
            return False
        return at >= known.since + terms.hold and terms.quiet_end(at, known.priority) is None

    def _raised_again(self, step: Step, known: Known, terms: Terms, alert: Open, told: OpenAlert) -> None:
        assert step.kind == "tick"
        assert alert.state in RESTING
        assert alert.until is not None
        assert step.at >= alert.until, "a rest is honoured"
        assert terms.quiet_end(step.at, alert.priority) is None
        self._steps_up(step, alert)

    def _worsened(self, step: Step, known: Known, terms: Terms, alert: Open, told: OpenAlert) -> None:
        assert step.kind == "judge"
        assert GRAVITY[step.verdict.priority] > GRAVITY[alert.priority]
        alert.priority, alert.evidence = step.verdict.priority, step.evidence  # type: ignore[assignment]
        known.quieted = None
        self._steps_up(step, alert)

    @staticmethod
    def _steps_up(step: Step, alert: Open) -> None:
        alert.state, alert.tier, alert.until, alert.stepped, alert.answered = "raised", 0, None, alert.number, 0.0
        alert.stepped_at = alert.told_at = max(alert.stepped_at, step.at)

    def _escalated(self, step: Step, known: Known, terms: Terms, alert: Open, told: OpenAlert) -> None:
        assert step.kind == "tick"
        assert alert.state in ("raised", "escalated")
        assert not alert.silent
        assert terms.quiet_end(step.at, alert.priority) is None
        assert self._overdue(terms, alert, step.at), "never early"
        alert.tier = max(alert.tier, self._reached(terms, alert, step.at))
        alert.state, alert.told_at = "escalated", step.at

    @staticmethod
    def _reached(terms: Terms, alert: Open, at: float) -> int:
        times = [n for n, after in enumerate(terms.tiers.get(alert.priority, ())) if at - alert.stepped_at >= after]
        return max(times, default=0)

    def _overdue(self, terms: Terms, alert: Open, at: float) -> bool:
        """Whether somebody must be told by now."""
        if self._reached(terms, alert, at) > alert.tier:
            return True
        last = alert.tier >= len(terms.tiers.get(alert.priority, ())) - 1
        every = terms.repeat.get(alert.priority)
        return last and every is not None and at - alert.told_at >= every

    def _went_stale(self, step: Step, known: Known, terms: Terms, alert: Open, told: OpenAlert) -> None:
        assert step.verdict.priority is None
        assert step.verdict.stale
        assert not alert.stale
        alert.stale = True

    def _current_again(self, step: Step, known: Known, terms: Terms, alert: Open, told: OpenAlert) -> None:
        assert alert.stale
        assert not (step.verdict.priority is None and step.verdict.stale)
        alert.stale = False

    def _resolved(self, step: Step, known: Known, terms: Terms, alert: Open, told: OpenAlert) -> None:
        if step.kind == "answer":
            self._answered(step, known, terms, alert, "resolve")
        else:
            assert step.verdict.over
            assert step.verdict.priority is None
            assert step.verdict.retracts is None
        alert.state, alert.until = "resolved", None
        known.since = None

    def _retracted(self, step: Step, known: Known, terms: Terms, alert: Open, told: OpenAlert) -> None:
        assert step.kind == "judge"
        assert step.verdict.retracts is not None
        alert.state, alert.until = "retracted", None

    def _expired(self, step: Step, known: Known, terms: Terms, alert: Open, told: OpenAlert) -> None:
        if step.kind == "judge":
            assert alert.silent
            assert not step.verdict.silent
            assert step.verdict.priority is not None
        else:
            assert step.kind == "tick"
            assert self._ran_out(terms, alert, step.at)
            known.since = None
        alert.state, alert.until = "expired", None

    @staticmethod
    def _ran_out(terms: Terms, alert: Open, at: float) -> bool:
        if at < alert.confirmed + terms.expire:
            return False
        unanswered = alert.state not in RESTING or (alert.until is not None and alert.until <= at)
        if alert.silent:
            return True
        return not (alert.priority == "high" and unanswered)

    def _closed(self, step: Step, known: Known, terms: Terms | None, alert: Open, told: OpenAlert) -> None:
        by_order = step.suppressed and not alert.silent
        assert step.kind == "close" or by_order or (step.kind == "tick" and terms is None)
        if not by_order:
            known.since = None
        alert.state, alert.until = "closed", step.until if by_order else None

    def _acknowledged(self, step: Step, known: Known, terms: Terms, alert: Open, told: OpenAlert) -> None:
        assert alert.state != "acknowledged"
        self._answered(step, known, terms, alert, "acknowledge")
        alert.state, alert.until = "acknowledged", step.at + terms.reassess
        alert.assigned = alert.assigned or step.given.actor  # type: ignore[union-attr]

    def _snoozed(self, step: Step, known: Known, terms: Terms, alert: Open, told: OpenAlert) -> None:
        self._answered(step, known, terms, alert, "snooze")
        until = self.snooze_end(step.given, terms)
        assert until > step.at
        assert (alert.state, alert.until) != ("snoozed", until)
        alert.state, alert.until = "snoozed", until

    def _answered(self, step: Step, known: Known, terms: Terms, alert: Open, action: str) -> None:
        given = step.given
        assert step.kind == "answer"
        assert given is not None
        assert given.action == action
        assert given.alert_id == alert.alert_id
        assert self.counts(alert, given, terms, step.at)
        until = self.snooze_end(given, terms) if action == "snooze" else step.at + terms.silence
        known.quieted = until, alert.priority
        alert.answered, alert.confirmed = given.observed_at.timestamp(), max(alert.confirmed, step.at)
        self.rates(alert, given)

    @staticmethod
    def snooze_end(given: Any, terms: Terms) -> float:
        return float(min(given.snooze_until.timestamp(), given.observed_at.timestamp() + terms.max_snooze))

    def counts(self, alert: Open, given: Acknowledgement, terms: Terms, at: float) -> bool:
        """Whether an answer is to the alert as it is, and comes in time."""
        when = given.observed_at.timestamp()
        if given.action == "hand_over":
            return when >= alert.handed
        if given.action == "rate":
            return when >= alert.rated
        if given.action == "snooze" and (terms.max_snooze <= 0 or self.snooze_end(given, terms) <= at):
            return False
        to_this = when >= alert.stepped_at if given.seen is None else given.seen >= alert.stepped
        return to_this and when >= alert.answered

    @staticmethod
    def rates(alert: Open, given: Acknowledgement) -> None:
        if given.useful is not None and given.observed_at.timestamp() >= alert.rated:
            alert.useful, alert.rated = given.useful, given.observed_at.timestamp()

    def _handed_over(self, step: Step, known: Known, terms: Terms, alert: Open, told: OpenAlert) -> None:
        assert step.given is not None
        assert step.given.handed_to != alert.assigned
        assert self.counts(alert, step.given, terms, step.at)
        alert.assigned, alert.handed = step.given.handed_to, step.given.observed_at.timestamp()
        self.rates(alert, step.given)

    def heard(self, given: Acknowledgement) -> None:
        """A rating that says once more what is known changes nothing; one that was given before it comes too late."""
        at = given.observed_at.timestamp()
        known = {name: one.open for name, one in self.known.items() if self.terms[name] is not None}
        for alert in known.values():
            if alert is not None and alert.alert_id == given.alert_id and given.useful is not None:
                alert.rated = max(alert.rated, at)

    def _rated(self, step: Step, known: Known, terms: Terms, alert: Open, told: OpenAlert) -> None:
        before = alert.useful
        assert step.given is not None
        self.rates(alert, step.given)
        assert alert.useful != before, "it was rated otherwise"

    def ask(self, step: Step) -> None:
        """After a step: what the rules demand of it has happened."""
        for condition, known in self.known.items():
            terms, alert = self.terms[condition], known.open
            if step.suppressed or step.kind in ("suppress", "close"):
                assert alert is None or (alert.silent and step.kind != "close"), "nobody is told now"
            if step.kind == "tick":
                self._ask_time(step, known, terms, alert)
        if step.kind == "judge" and step.condition is not None:
            self._ask_verdict(step, self.known[step.condition])

    def _ask_time(self, step: Step, known: Known, terms: Terms | None, alert: Open | None) -> None:
        if terms is None:
            assert alert is None, "the policy has it no more"
            known.since = None
            return
        if alert is None:
            self._ask_raised(step, known, terms)
            return
        assert not self._ran_out(terms, alert, step.at), "it has expired"
        quiet = terms.quiet_end(step.at, alert.priority)
        if alert.state in RESTING:
            assert alert.until is not None
            assert step.at < alert.until or quiet is not None, "a rest ends in time"
            if step.at >= alert.until:
                alert.until = quiet  # it goes on until then
        elif quiet is None and not alert.silent:
            assert not self._overdue(terms, alert, step.at), "somebody is told in time"

    def _ask_raised(self, step: Step, known: Known, terms: Terms) -> None:
        if known.since is not None and known.holds and not step.suppressed:
            assert not self._allowed(known, terms, step.at, step.at), "no alert is lost"

    def _ask_verdict(self, step: Step, known: Known) -> None:
        verdict, alert, terms = step.verdict, known.open, self.terms[step.condition or ""]
        assert terms is not None
        if alert is None:
            if verdict.priority is not None:
                self._ask_raised(step, known, terms)
            return
        assert not (verdict.over and verdict.priority is None), "it is over"
        assert verdict.retracts is None or alert.evidence == step.evidence, "what never was is retracted"
        assert GRAVITY[alert.priority] >= GRAVITY[verdict.priority], "worse is told"
        assert alert.stale == (verdict.priority is None and verdict.stale)
        assert not (alert.silent and verdict.priority is not None and not verdict.silent), "people are told"
