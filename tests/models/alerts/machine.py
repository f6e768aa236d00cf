"""A subject's alerts under verdicts, ticks, answers, orders, policies and restarts in any order; judged by the referee.

Times are steered to where something happens: to the next due, and a second before and after it.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.models.alerts.oracle import RESTING, Referee, Step
from tests.models.alerts.terms import Terms
from wardstream.models.alerts import answers, life
from wardstream.models.alerts.policy import Rule
from wardstream.models.alerts.states import EndedAlert, OpenAlert, Pending, Silenced, due
from wardstream.schemas.acknowledgements import Acknowledgement
from wardstream.schemas.alerts import Evidence, Priority

CONDITIONS = ("news2", "tried")
START = 1_772_323_200.0  # midnight
TIERS: dict[Priority, tuple[float, ...]] = {"high": (0, 300, 900), "medium": (0, 900), "low": (0,)}
FEWER: dict[Priority, tuple[float, ...]] = {"high": (0, 600), "medium": (0,)}
LATER: dict[Priority, tuple[float, ...]] = {"high": (0, 300, 1200, 2400), "medium": (0, 1800, 3600), "low": (0, 600)}
TERMS = st.builds(
    Terms,
    hold=st.sampled_from((0.0, 0.0, 300.0, 900.0)),
    silence=st.sampled_from((0.0, 1800.0)),
    reassess=st.sampled_from((900.0, 3600.0)),
    max_snooze=st.sampled_from((0.0, 1800.0, 1800.0)),
    expire=st.sampled_from((1200.0, 4800.0)),
    tiers=st.sampled_from((TIERS, FEWER, LATER)),
    repeat=st.sampled_from(({}, {"high": 1800.0}, {"high": 600.0, "medium": 1200.0})),
    quiet=st.sampled_from((None, None, (1200.0, 4800.0, ("low",)), (0.0, 2400.0, ("low", "medium")))),
)
# What is known, as (priority, over, stale, retracts)
SAID: dict[str, tuple[Priority | None, bool, bool, bool]] = {
    "low": ("low", False, False, False),
    "medium": ("medium", False, False, False),
    "high": ("high", False, False, False),
    "high at least": ("high", False, True, False),
    "between": (None, False, False, False),
    "unknown": (None, False, True, False),
    "over": (None, True, False, False),
    "corrected to over": (None, True, False, True),
    "corrected to between": (None, False, False, True),
    "corrected to medium": ("medium", False, False, True),
}
MOSTLY = ("low", "medium", "medium", "high", "high", *SAID)


class Verdict(NamedTuple):
    """As `life.Verdict`, which a mutant has of its own."""

    condition: str
    kind: str
    priority: Priority | None
    over: bool
    reason: str
    evidence: Any
    stale: bool
    retracts: str | None
    silent: bool
    signals: tuple[str, ...] = ()


class Book(msgspec.Struct):
    alerts: dict[str, OpenAlert] = {}
    pending: dict[str, Pending] = {}
    silenced: dict[str, Silenced] = {}
    ended: tuple[EndedAlert, ...] = ()


class Alerts(RuleBasedStateMachine):
    """One subject with two conditions; of the second one alerts are mostly silent."""

    life: ClassVar[ModuleType] = life
    answers: ClassVar[ModuleType] = answers

    def __init__(self) -> None:
        super().__init__()
        self.book = Book()
        self.referee = Referee(CONDITIONS)
        self.now = START
        self.events = 0
        self.cause = UUID(int=0)
        self.suppressed_until: float | None = None
        self.policy_is_new = False
        self.given: list[Acknowledgement] = []
        self.ids: list[UUID] = []

    @initialize(one=TERMS, other=TERMS)
    def begin(self, one: Terms, other: Terms) -> None:
        self.referee.terms = {"news2": one, "tried": other}

    @rule(
        condition=st.sampled_from((*CONDITIONS, "news2", "news2")),
        said=st.sampled_from(MOSTLY),
        otherwise=st.sampled_from((False, False, False, True)),
        later=st.sampled_from((0, 0, 1, 60, 299, 300, 900, -2)),
        same_cause=st.booleans(),
    )
    def judge(self, condition: str, said: str, otherwise: bool, later: int, same_cause: bool) -> None:
        """A verdict; its event may have been received a little before the last tick, or bring the clock's tick too."""
        terms = self.referee.terms[condition]
        if terms is None:
            return
        at = max(self.now + later, START)
        self.now = max(self.now, at)
        if not same_cause:
            self._event()
        evidence = UUID(int=10**9 + self.events * 100 + len(self.ids))
        self.events += 1
        priority, over, stale, retracts = SAID[said]
        verdict = Verdict(
            condition,
            "score",
            priority,
            over,
            said,
            lambda: Evidence(caused_by=evidence),
            stale,
            said if retracts else None,
            (condition == "tried") != otherwise,
        )
        step = Step("judge", at, condition, verdict, evidence, until=self._order(at))
        self._check(step, self.life.judge(self.book, verdict, terms.rule(condition), self._when(at)))

    @rule(jump=st.sampled_from(("before", "at", "at", "after", "after", 60, 900, 7200)))
    def tick(self, jump: str | int) -> None:
        """Time goes on, mostly to where something is due."""
        at = due(self.book)
        if isinstance(jump, int) or math.isinf(at):
            at = self.now + (jump if isinstance(jump, int) else 60)
        else:
            at += {"before": -1, "at": 0, "after": 1}[jump]
        self._pass(max(at, self.now))

    @rule(far=st.sampled_from((1800, 14400, "quiet", "quiet")))
    def sleep(self, far: int | str) -> None:
        """The clock jumps past many timers, or to the next quiet hours."""
        self._pass(self.now + far if isinstance(far, int) else self.now - self.now % 86400 + 86400 + 1300)

    def _pass(self, at: float) -> None:
        self.now = at
        self._event()
        changes = []
        if self.suppressed_until is not None and self.suppressed_until <= at:
            self.suppressed_until = None
        if self.policy_is_new or due(self.book) <= at:
            self.policy_is_new = False
            changes = self.life.pass_time(self.book, self._rule_of, self._when(at))
            assert due(self.book) > at, "no busy waking"
        self._check(Step("tick", at, until=self._order(at)), changes)

    @precondition(lambda self: self.ids)
    @rule(
        which=st.integers(0, 3),
        action=st.sampled_from(("acknowledge", "acknowledge", "snooze", "snooze", "resolve", "hand_over", "rate")),
        ago=st.sampled_from((0, 0, 0, 1, 60, 900, -60)),
        seen=st.sampled_from((None, None, 0, 0, -1, 1)),
        rest=st.sampled_from((60, 600, 7200)),
        to=st.sampled_from(("B", "C")),
        useful=st.sampled_from((None, None, True, False)),
    )
    def answer(
        self, which: int, action: Any, ago: int, seen: int | None, rest: int, to: str, useful: bool | None
    ) -> None:
        """A person answers: mostly to what is open, sometimes to what has ended, and sometimes late."""
        alerts = list(self.book.alerts.values())
        alert = alerts[which % len(alerts)] if alerts and which < 3 else None
        at = datetime.fromtimestamp(self.now - ago, UTC)
        self._event()
        given = Acknowledgement(
            event_id=self.cause,
            source="test",
            patient_id="P1",
            observed_at=at,
            received_at=at,
            alert_id=self.ids[which % len(self.ids)] if alert is None else alert.alert_id,
            action=action,
            actor="A",
            seen=None if seen is None else max(1, (1 if alert is None else alert.number) + seen),
            snooze_until=at + timedelta(seconds=rest) if action == "snooze" else None,
            handed_to=to if action == "hand_over" else None,
            useful=True if action == "rate" and useful is None else useful,
        )
        self.given.append(given)
        self._answer(given)

    @precondition(lambda self: self.given)
    @rule(which=st.integers(1, 4))
    def repeat(self, which: int) -> None:
        """An answer comes once more, at any time after."""
        self._answer(self.given[-min(which, len(self.given))])

    def _answer(self, given: Acknowledgement) -> None:
        outcome, changes = self.answers.answer(self.book, given, self._rule_of, self._when(self.now))
        before = self._expected(given)
        assert (outcome == "taken") == bool(changes) == (before == "taken"), (outcome, before)
        assert outcome == before or before != "unknown"
        self._check(Step("answer", self.now, given=given), changes)
        self.referee.heard(given)
        again, changes = self.answers.answer(self.book, given, self._rule_of, self._when(self.now))
        assert (again == "taken", changes) == (False, []), "an answer that comes twice changes nothing"

    def _expected(self, given: Acknowledgement) -> str:
        """Whether an answer is taken."""
        for condition, known in self.referee.known.items():
            alert, terms = known.open, self.referee.terms[condition]
            if alert is None or alert.alert_id != given.alert_id:
                continue
            if terms is None:
                return "outdated"
            rated = self._rates(alert, given)
            if given.action == "rate" or not self.referee.counts(alert, given, terms, self.now):
                return "taken" if rated else "not taken"
            same = {
                "acknowledge": alert.state == "acknowledged",
                "snooze": given.action == "snooze"
                and (alert.state, alert.until) == ("snoozed", self.referee.snooze_end(given, terms)),
                "hand_over": alert.assigned == given.handed_to,
                "resolve": False,
            }[given.action]
            if same and given.action == "hand_over":
                alert.handed = given.observed_at.timestamp()
            elif same:
                alert.answered = given.observed_at.timestamp()
            if same and rated:
                return "taken"
            if same:
                self.referee.rates(alert, given)
            return "not taken" if same else "taken"
        ended = {one.alert.alert_id for one in self.book.ended}
        if given.alert_id not in ended:
            return "unknown"
        return "taken" if self._rates(self.referee.ended[given.alert_id], given) else "not taken"

    @staticmethod
    def _rates(alert: Any, given: Acknowledgement) -> bool:
        late = given.observed_at.timestamp() < alert.rated
        return given.useful is not None and given.useful != alert.useful and not late

    @precondition(lambda self: self.events % 5 == 0)
    @rule(seconds=st.sampled_from((0, 0, 600, 3600)))
    def order(self, seconds: int) -> None:
        """A clinician orders comfort care, or takes the order back."""
        self._event()
        if seconds:
            self.suppressed_until = self.now + seconds
            step = Step("suppress", self.now, until=self.suppressed_until)
            self._check(step, self.life.suppress(self.book, self.suppressed_until, "comfort care"))
        else:
            self.suppressed_until = None
            self.life.release(self.book, self.now)

    @precondition(lambda self: self.events % 4 == 0)
    @rule(condition=st.sampled_from(CONDITIONS), terms=st.one_of(TERMS, TERMS, TERMS, st.none()))
    def apply(self, condition: str, terms: Terms | None) -> None:
        """Another policy comes into force; the next tick applies it."""
        self.referee.terms = self.referee.terms | {condition: terms}
        self.policy_is_new = True

    @precondition(lambda self: self.events % 11 == 0)
    @rule()
    def leave(self) -> None:
        """The patient leaves."""
        self._event()
        self._check(Step("close", self.now), self.life.close(self.book, "left"))
        for known in self.referee.known.values():
            known.since = known.quieted = None

    @precondition(lambda self: self.events % 3 == 0)
    @rule()
    def restart(self) -> None:
        """The state is written, and read by another worker."""
        written = msgspec.json.encode(self.book)
        self.book = msgspec.json.decode(written, type=Book)
        assert msgspec.json.encode(self.book) == written

    def _event(self) -> None:
        self.events += 1
        self.cause = UUID(int=self.events)

    def _order(self, at: float) -> float | None:
        """When the comfort care ends that holds; None: none does."""
        return None if self.suppressed_until is None or self.suppressed_until <= at else self.suppressed_until

    def _when(self, at: float) -> Any:
        return self.life.Now(at, "P1", self.cause, self._order(at))

    def _rule_of(self, condition: str) -> Rule | None:
        terms = self.referee.terms[condition]
        return None if terms is None else terms.rule(condition)

    def _check(self, step: Step, changes: list[Any]) -> None:
        self.referee.hear(step)
        for change in changes:
            self.referee.see(step, change)
            if change.transition == "raised":
                self.ids.append(change.alert.alert_id)
        self.referee.ask(step)
        known = {condition: one.open for condition, one in self.referee.known.items() if one.open is not None}
        assert known.keys() == self.book.alerts.keys()
        for condition, alert in self.book.alerts.items():
            assert (alert.number, alert.state) == (known[condition].number, known[condition].state)
            assert (alert.until is not None) == (alert.state in RESTING)
