"""The life of an alert: by which rules it begins, changes and ends. Pure; the state is a `Book`.

    (condition holds) ── hold, silence, quiet hours, comfort care: wait as `pending` ──► raised
                                                                                            │
          ┌──── worsened, raised_again ────────────────────────────────────┐                │
          ▼                                                                │                │
       raised ── nobody answers: next tier ──► escalated ── answer ──► acknowledged, snoozed
          │                                        │                       │
          └────────────────────────────────────────┴───────────────────────┴──► resolved, retracted, expired, closed

| transition | when |
| --- | --- |
| raised | the condition has held for `hold`, and nothing below forbids it |
| raised_again | a snooze has ended, or the reassessment interval after an acknowledgement, and it is not over |
| worsened | the priority has risen; it breaks a snooze, an acknowledgement and silence |
| escalated | nobody has answered within the next tier's time; the last tier is repeated if the policy says so |
| acknowledged, snoozed, handed_over, rated | a person says so |
| went_stale, current_again | what decides it is missing, and is there again; neither ends anything |
| resolved | the condition is certainly over, or a person says so |
| retracted | after a correction: it would not have been raised |
| expired | nothing has confirmed it for the policy's time; never one of high priority that is unanswered |
| closed | the patient left, died or was forgotten; comfort care; merged into another; the policy knows it no more |

One alert at a time for one condition of one subject. A condition that is between its thresholds, or of which too little
is known, raises and ends nothing. After an answer the same condition is not raised anew within `silence`, unless it is
worse; what holds still when silence, quiet hours or a comfort-care order end is raised then: nothing is lost, it waits.
Timers are struck by `pass_time`, so they need the stream's clock alone and no event of the patient.

Sources: IEC 60601-1-8 (priorities; escalation and inactivation of alarms); the intervals are the policy's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple
from uuid import UUID

from msgspec.structs import replace

from wardstream.models.alerts.policy import Rule
from wardstream.models.alerts.states import (
    KEPT_ENDED,
    RANK,
    UNANSWERED,
    Book,
    EndedAlert,
    OpenAlert,
    Pending,
    Silenced,
    pin,
)
from wardstream.schemas.acknowledgements import Acknowledgement
from wardstream.schemas.alerts import Evidence, Kind, Priority, State, Transition
from wardstream.schemas.output_id import output_id

Outcome = Literal["taken", "repeated", "outdated", "unknown", "not_allowed"]
RuleOf = Callable[[str], Rule | None]
"""The rule of a condition where the subject is now; None: the policy has none (any more)."""


class Verdict(NamedTuple):
    """What is known of a condition now.

    `priority`: it holds, as this; None: it does not, or that is not known. `over`: it is certainly over. Neither:
    between the thresholds, or too little is known, which `stale` says. `retracts` says why, after a correction, an
    alert of it should never have been. `evidence` is asked for only when something is told.
    """

    condition: str
    kind: Kind
    priority: Priority | None
    over: bool
    reason: str
    evidence: Callable[[], Evidence]
    stale: bool = False
    retracts: str | None = None
    silent: bool = False
    signals: tuple[str, ...] = ()


class Change(NamedTuple):
    """One transition: of which condition, the alert as it is after it, why (a sentence for a person), and by whom.

    `evidence`: what decided; None: nothing was decided anew, and what the alert stands on holds.
    """

    condition: str
    alert: OpenAlert
    transition: Transition
    reason: str
    evidence: Evidence | None = None
    answer: Acknowledgement | None = None


class Now(NamedTuple):
    """When something is judged, of whom, and what brought it about (ids of alerts derive from both).

    `suppressed_until`: a comfort-care order that is in force ends then; None: there is none.
    """

    at: float
    key: str
    caused_by: UUID
    suppressed_until: float | None = None


def judge(book: Book, verdict: Verdict, rule: Rule, now: Now) -> list[Change]:
    """What follows from a verdict; the book changes accordingly."""
    condition, priority = verdict.condition, verdict.priority
    alert = book.alerts.get(condition)
    if alert is None:
        return _consider(book, verdict, rule, now) if priority is not None or condition in book.pending else []
    changes: list[Change] = []
    if alert.silent and not verdict.silent:  # people are to be told of what still holds
        changes.append(_end(book, condition, "expired", "it is silent no more"))
    elif verdict.retracts is not None:
        changes.append(_end(book, condition, "retracted", verdict.retracts, verdict.evidence()))
    if changes:
        return changes + _consider(book, verdict, rule, now)
    if priority is None and verdict.over:
        return [_end(book, condition, "resolved", verdict.reason, verdict.evidence())]
    if alert.stale != (priority is None and verdict.stale):
        alert.stale = not alert.stale
        changes.append(_step(book, condition, "went_stale" if alert.stale else "current_again", verdict.reason))
    if not alert.stale:
        _confirm(alert, rule, now.at)
    if priority is not None:
        alert.signals = verdict.signals
        if RANK[priority] > RANK[alert.priority]:
            changes.append(_worsen(book, verdict, rule, now))
    return changes


def answer(book: Book, given: Acknowledgement, rule_of: RuleOf, now: Now) -> tuple[Outcome, list[Change]]:
    """What follows from a person's answer. One that comes twice, or too late, changes nothing."""
    for condition, alert in book.alerts.items():
        if alert.alert_id == given.alert_id:
            rule = rule_of(condition)
            if rule is None:  # the next tick closes it
                return "outdated", []
            return _answer_open(book, condition, given, rule, now)
    for place, (condition, alert) in enumerate((one.condition, one.alert) for one in book.ended):
        if alert.alert_id == given.alert_id:
            if given.useful is None:
                return "outdated", []
            if given.useful == alert.useful:
                return "repeated", []
            alert = replace(alert, useful=given.useful, number=alert.number + 1)
            ended = list(book.ended)
            ended[place] = EndedAlert(condition, alert)
            book.ended = tuple(ended)
            return "taken", [Change(condition, alert, "rated", alert.reason, answer=given)]
    return "unknown", []


def pass_time(book: Book, rule_of: RuleOf, now: Now) -> list[Change]:
    """What follows from time alone: what waited is raised, timers run out."""
    changes: list[Change] = []
    for condition, pending in list(book.pending.items()):
        if pending.ready <= now.at:
            rule = rule_of(condition)
            if rule is None:
                del book.pending[condition]
            else:
                changes += _raise_or_wait(book, condition, pending, rule, now)
    for condition, alert in list(book.alerts.items()):
        rule = rule_of(condition)
        if rule is None:
            changes.append(_end(book, condition, "closed", "the policy has no such condition any more"))
        elif alert.expires_at is not None and alert.expires_at <= now.at:
            changes.append(_end(book, condition, "expired", f"nothing has confirmed it: {alert.reason}"[:1000]))
        elif alert.until is not None and alert.until <= now.at:
            changes += _again(book, condition, rule, now)
        elif alert.next_at is not None and alert.next_at <= now.at:
            changes += _escalate(book, condition, rule, now)
    for condition, silenced in list(book.silenced.items()):
        if silenced.until <= now.at:
            del book.silenced[condition]
    return changes


def close(book: Book, why: str) -> list[Change]:
    """End all that is open, and let nothing wait: nobody is to be told any more."""
    book.pending.clear()
    book.silenced.clear()
    return [_end(book, condition, "closed", why) for condition in list(book.alerts)]


def suppress(book: Book, until: float, why: str) -> list[Change]:
    """End all that people know, and have it wait (until s since 1970): what holds still then is raised anew."""
    changes = []
    for condition, alert in list(book.alerts.items()):
        if not alert.silent:
            book.pending[condition] = Pending(
                alert.raised_at, until, alert.kind, alert.priority, alert.reason, alert.evidence, signals=alert.signals
            )
            changes.append(_end(book, condition, "closed", why))
    return changes


def release(book: Book, at: float) -> None:
    """What waits need wait no longer for an order: the next tick looks at it again."""
    for pending in book.pending.values():
        pending.ready = min(pending.ready, at)


def end(book: Book, condition: str, transition: State, reason: str) -> Change:
    """End an open alert for a reason of its own."""
    return _end(book, condition, transition, reason)


def _consider(book: Book, verdict: Verdict, rule: Rule, now: Now) -> list[Change]:
    """Raise a condition that has no alert, have it wait, or forget that it waited."""
    condition, before = verdict.condition, book.pending.get(verdict.condition)
    if verdict.priority is None:
        if before is not None and (verdict.over or verdict.retracts is not None):
            del book.pending[condition]
        return []
    since = now.at if before is None else before.since
    evidence = pin(verdict.evidence())
    pending = Pending(
        since, 0.0, verdict.kind, verdict.priority, verdict.reason, evidence, verdict.silent, verdict.signals
    )
    return _raise_or_wait(book, condition, pending, rule, now)


def _raise_or_wait(book: Book, condition: str, pending: Pending, rule: Rule, now: Now) -> list[Change]:
    priority, silenced = pending.priority, book.silenced.get(condition)
    pending.ready = pending.since + rule.hold_s
    if silenced is not None and RANK[priority] <= RANK[silenced.priority]:
        pending.ready = max(pending.ready, silenced.until)
    for until in (rule.quiet_until(now.at, priority), now.suppressed_until):
        if until is not None:
            pending.ready = max(pending.ready, until)
    if pending.ready > now.at:
        book.pending[condition] = pending
        return []
    book.pending.pop(condition, None)
    book.silenced.pop(condition, None)
    alert = OpenAlert(
        alert_id=output_id(now.caused_by, f"{condition}/{now.key}"),
        kind=pending.kind,
        priority=priority,
        raised_at=now.at,
        stepped_at=now.at,
        reason=pending.reason,
        evidence=pending.evidence,
        silent=pending.silent,
        signals=pending.signals,
    )
    book.alerts[condition] = alert
    _start_timers(alert, rule, now.at)
    return [Change(condition, replace(alert), "raised", alert.reason)]


def _worsen(book: Book, verdict: Verdict, rule: Rule, now: Now) -> Change:
    alert = book.alerts[verdict.condition]
    assert verdict.priority is not None, "it has risen"
    alert.priority, alert.reason, alert.evidence = verdict.priority, verdict.reason, pin(verdict.evidence())
    book.silenced.pop(verdict.condition, None)
    return _step_up(book, verdict.condition, "worsened", rule, now)


def _again(book: Book, condition: str, rule: Rule, now: Now) -> list[Change]:
    """A snooze or the reassessment interval is over; in quiet hours, and under comfort care, it goes on."""
    alert = book.alerts[condition]
    for until in (rule.quiet_until(now.at, alert.priority), now.suppressed_until):
        if until is not None and until > now.at:
            alert.until = until
            return []
    return [_step_up(book, condition, "raised_again", rule, now)]


def _step_up(book: Book, condition: str, transition: Transition, rule: Rule, now: Now) -> Change:
    """Have people be told as if it had just been raised."""
    alert = book.alerts[condition]
    alert.state, alert.stepped_at, alert.stepped, alert.tier, alert.until = "raised", now.at, alert.number + 1, 0, None
    _start_timers(alert, rule, now.at)
    return _step(book, condition, transition, alert.reason)


def _escalate(book: Book, condition: str, rule: Rule, now: Now) -> list[Change]:
    """The furthest tier whose time has come: where the clock has jumped, those between are told with it."""
    alert = book.alerts[condition]
    quiet = rule.quiet_until(now.at, alert.priority)
    if quiet is not None:
        alert.next_at = quiet
        return []
    tiers = rule.tiers(alert.priority)
    passed = [tier for tier, (_, after_s) in enumerate(tiers) if alert.stepped_at + after_s <= now.at]
    last = max(passed, default=0)
    repeated = alert.tier >= last
    alert.tier, alert.state = max(alert.tier, last), "escalated"
    alert.next_at = _next_tier(alert, rule, now.at)
    said = (
        "nobody has answered yet" if repeated else f"nobody has answered within {_minutes(now.at - alert.stepped_at)}"
    )
    return [_step(book, condition, "escalated", f"{said}: {alert.reason}"[:1000])]


def _start_timers(alert: OpenAlert, rule: Rule, at: float) -> None:
    alert.next_at = _next_tier(alert, rule, at)
    _confirm(alert, rule, at)


def _next_tier(alert: OpenAlert, rule: Rule, at: float) -> float | None:
    """When the next tier is told; beyond the last one, when that is told once more."""
    tiers = rule.tiers(alert.priority)
    if alert.tier + 1 < len(tiers):
        return alert.stepped_at + tiers[alert.tier + 1].after_s
    repeat_s = rule.repeat_s(alert.priority)
    return None if repeat_s is None else at + repeat_s


def _confirm(alert: OpenAlert, rule: Rule, at: float) -> None:
    """It is not over: it expires later. One of high priority that nobody has answered does not."""
    alert.confirmed_at = max(alert.confirmed_at, at)
    _may_expire(alert, rule)


def _may_expire(alert: OpenAlert, rule: Rule) -> None:
    stays = rule.expire_s is None or (alert.priority == "high" and alert.state in UNANSWERED)
    alert.expires_at = None if stays or rule.expire_s is None else alert.confirmed_at + rule.expire_s


def _answer_open(
    book: Book, condition: str, given: Acknowledgement, rule: Rule, now: Now
) -> tuple[Outcome, list[Change]]:
    alert, action = book.alerts[condition], given.action
    if action in ("acknowledge", "snooze", "resolve") and _is_outdated(alert, given):
        return "outdated", []
    if action == "snooze" and rule.max_snooze_s <= 0:
        return "not_allowed", []
    transition = _TRANSITIONS[action]
    if action == "acknowledge":
        if alert.state == "acknowledged":
            return "repeated", []
        alert.state, alert.until, alert.next_at = "acknowledged", now.at + rule.reassess_s, None
        alert.assigned_to = alert.assigned_to or given.actor
    elif action == "snooze":
        assert given.snooze_until is not None, "checked when it was decoded"
        until = min(given.snooze_until.timestamp(), now.at + rule.max_snooze_s)
        if until <= now.at:
            return "outdated", []
        if alert.state == "snoozed" and alert.until == until:
            return "repeated", []
        alert.state, alert.until, alert.next_at = "snoozed", until, None
    elif action == "hand_over":
        if alert.assigned_to == given.handed_to:
            return "repeated", []
        alert.assigned_to = given.handed_to
    elif action == "rate" and alert.useful == given.useful:
        return "repeated", []
    if given.useful is not None:
        alert.useful = given.useful
    if action in ("acknowledge", "resolve"):
        book.silenced[condition] = Silenced(now.at + rule.silence_s, alert.priority)
    if action == "resolve":
        return "taken", [_end(book, condition, "resolved", "a person has resolved it", answer=given)]
    _may_expire(alert, rule)
    return "taken", [_step(book, condition, transition, alert.reason, given)]


_TRANSITIONS: dict[str, Transition] = {
    "acknowledge": "acknowledged",
    "snooze": "snoozed",
    "resolve": "resolved",
    "hand_over": "handed_over",
    "rate": "rated",
}


def _is_outdated(alert: OpenAlert, given: Acknowledgement) -> bool:
    """Whether the person answered what was before it was raised (again) or worsened."""
    if given.seen is not None:
        return given.seen < alert.stepped
    return given.observed_at.timestamp() < alert.stepped_at


def _step(
    book: Book, condition: str, transition: Transition, reason: str, answer: Acknowledgement | None = None
) -> Change:
    alert = book.alerts[condition]
    alert.number += 1
    return Change(condition, replace(alert), transition, reason, answer=answer)


def _end(
    book: Book,
    condition: str,
    transition: State,
    reason: str,
    evidence: Evidence | None = None,
    answer: Acknowledgement | None = None,
) -> Change:
    alert = book.alerts.pop(condition)
    alert.state, alert.number = transition, alert.number + 1
    alert.next_at = alert.until = alert.expires_at = None
    book.ended = (*book.ended, EndedAlert(condition, alert))[-KEPT_ENDED:]
    return Change(condition, alert, transition, reason, evidence, answer)


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min"
