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
| worsened | the priority has risen above all it was; it breaks a snooze, an acknowledgement and silence |
| escalated | nobody has answered within the next tier's time; the last tier is repeated if the policy says so |
| acknowledged, snoozed, handed_over, rated | a person says so |
| moved | the patient is in another unit or bed, or has become another's: told to both units |
| went_stale, current_again | what decides it is missing, and is there again; neither ends anything |
| resolved | the condition is certainly over, or a person says so |
| retracted | after a correction: it would not have been raised; if it holds by what is true now, another is raised |
| expired | nothing and nobody has confirmed it for the policy's time; never one of high priority that is unanswered |
| closed | the patient left, died or was forgotten; comfort care; merged into another; the policy knows it no more |

One alert at a time for one condition of one subject. A condition between its thresholds raises and ends nothing: a hold
goes on through it, and what waited is raised when it holds again. One of which too little is known stays as it was last
known. After an answer the same condition is not raised anew within `silence` (after a snooze: before its end), unless
it is worse; what holds still when silence, quiet hours or a comfort-care order end is raised then: it waits, it is not
lost. Timers are struck by `pass_time`, so they need the stream's clock alone and no event of the patient; they follow
the policy that is in force then. Of an event, judge first: what it ends is not to be told by its clock.

Of answers that differ the one that was given last counts, in whichever order they come. A silent alert is told to
nobody: it is not escalated, expires at any priority, and ends where the silence does.

Sources: IEC 60601-1-8 (priorities; escalation and inactivation of alarms); the intervals are the policy's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

from msgspec.structs import replace

from wardstream.models.alerts.policy import AnyKind, Rule
from wardstream.models.alerts.states import (
    KEPT_ENDED,
    RANK,
    UNANSWERED,
    Book,
    EndedAlert,
    OpenAlert,
    Pending,
    pin,
)
from wardstream.schemas.acknowledgements import Given
from wardstream.schemas.alerts import Evidence, Priority, State, Transition
from wardstream.schemas.output_id import output_id

RuleOf = Callable[[str], Rule | None]
"""The rule of a condition where the subject is now; None: the policy has none (any more)."""


class Verdict(NamedTuple):
    """What is known of a condition now.

    `priority`: it holds, as this; None: it does not, or that is not known. `over`: it is certainly over. Neither:
    between the thresholds, or too little is known, which `stale` says. `retracts` says why, after a correction, an
    alert of it should never have been. `evidence` is asked for only when something is told.
    """

    condition: str
    kind: AnyKind
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

    `evidence`: what decided; None: nothing was decided anew, and what the alert stands on holds. `answer` is a
    person's, `ordered_by` who gave the order that is obeyed; None: nobody.
    """

    condition: str
    alert: OpenAlert
    transition: Transition
    reason: str
    evidence: Evidence | None = None
    answer: Given | None = None
    ordered_by: str | None = None


class Now(NamedTuple):
    """When something is judged, of whom, and what brought it about (ids of alerts derive from both).

    `suppressed_until`: a comfort-care order that is in force ends then; None: there is none.
    """

    at: float
    key: str
    caused_by: UUID
    suppressed_until: float | None = None

    @property
    def suppressed(self) -> bool:
        return self.suppressed_until is not None and self.suppressed_until > self.at


def judge(book: Book, verdict: Verdict, rule: Rule, now: Now) -> list[Change]:
    """What follows from a verdict; the book changes accordingly."""
    condition, priority = verdict.condition, verdict.priority
    changes = _obey(book, now)
    alert = book.alerts.get(condition)
    if alert is None:
        return changes + _consider(book, verdict, rule, now)
    if verdict.retracts is not None:
        changes.append(end(book, condition, "retracted", verdict.retracts, verdict.evidence()))
        return changes + _consider(book, verdict, rule, now)
    if alert.silent and not verdict.silent and priority is not None:  # people are to be told of what holds
        changes.append(_end_to_wait(book, condition, "expired", "it is silent no more", now.at))
        return changes + _consider(book, verdict, rule, now)
    if priority is None and verdict.over:
        return [*changes, end(book, condition, "resolved", verdict.reason, verdict.evidence())]
    if alert.stale != (priority is None and verdict.stale):
        alert.stale = not alert.stale
        changes.append(step(book, condition, "went_stale" if alert.stale else "current_again", verdict.reason))
    if not alert.stale:
        alert.confirmed_at = max(alert.confirmed_at, now.at)
        _set_expiry(alert, rule)
    if priority is not None:
        alert.signals = verdict.signals
        if RANK[priority] > RANK[alert.priority]:
            changes.append(_worsen(book, verdict, rule, now))
    return changes


def pass_time(book: Book, rule_of: RuleOf, now: Now) -> list[Change]:
    """What follows from time alone: what waited is raised, timers run out. Then `due` is later than now."""
    changes = _obey(book, now)
    for condition, alert in list(book.alerts.items()):
        rule = rule_of(condition)
        if rule is None:
            changes.append(end(book, condition, "closed", "the policy has no such condition any more"))
            continue
        set_timers(alert, rule)  # the policy may have changed
        rested = alert.until is not None and alert.until <= now.at
        # Where the clock has jumped past both, one of high priority is told again: nobody has answered since.
        stays = rested and alert.priority == "high" and not alert.silent
        if alert.expires_at is not None and alert.expires_at <= now.at and not stays:
            changes.append(end(book, condition, "expired", f"nothing has confirmed it: {alert.reason}"[:1000]))
        elif rested:
            changes += _again(book, condition, rule, now)
        elif alert.next_at is not None and alert.next_at <= now.at:
            changes += _escalate(book, condition, rule, now)
    for condition, pending in list(book.pending.items()):
        rule = rule_of(condition)
        if rule is None:
            del book.pending[condition]
        elif pending.ready is not None:  # even before: policy and orders may have changed
            changes += _raise_or_wait(book, condition, pending, rule, now)
    for condition, silenced in list(book.silenced.items()):
        if silenced.until <= now.at:
            del book.silenced[condition]
    return changes


def close(book: Book, why: str) -> list[Change]:
    """End all that is open, and let nothing wait: nobody is to be told any more."""
    book.pending.clear()
    book.silenced.clear()
    return [end(book, condition, "closed", why) for condition in list(book.alerts)]


def suppress(book: Book, until: float, why: str, ordered_by: str | None = None) -> list[Change]:
    """End all that people know, and have it wait (until s since 1970): what holds still then is raised anew."""
    release(book, until)  # an order before it may have ended later
    loud = [condition for condition, alert in book.alerts.items() if not alert.silent]
    changes = [_end_to_wait(book, condition, "closed", why, until) for condition in loud]
    for change in changes:
        change.alert.until = until
    return [change._replace(ordered_by=ordered_by) for change in changes]


def release(book: Book, at: float) -> None:
    """What waits need wait no longer for an order: the next tick looks at it again."""
    for pending in book.pending.values():
        if pending.ready is not None:
            pending.ready = min(pending.ready, at)


def move(book: Book, unit: str | None, bed: str | None) -> list[Change]:
    """Tell of each open alert that was told elsewhere."""
    elsewhere = [name for name, alert in book.alerts.items() if (alert.unit, alert.bed) != (unit, bed)]
    return [step(book, condition, "moved", book.alerts[condition].reason) for condition in elsewhere]


def end(
    book: Book,
    condition: str,
    transition: State,
    reason: str,
    evidence: Evidence | None = None,
    answer: Given | None = None,
) -> Change:
    """End an open alert."""
    alert = book.alerts.pop(condition)
    alert.state, alert.number = transition, alert.number + 1
    alert.next_at = alert.until = alert.expires_at = None
    book.ended = (*book.ended, EndedAlert(condition, alert))[-KEPT_ENDED:]
    return Change(condition, alert, transition, reason, evidence, answer)


def step(book: Book, condition: str, transition: Transition, reason: str, answer: Given | None = None) -> Change:
    """The next transition of an open alert, as it is now."""
    alert = book.alerts[condition]
    alert.number += 1
    return Change(condition, replace(alert), transition, reason, answer=answer)


def set_timers(alert: OpenAlert, rule: Rule) -> None:
    """When it is escalated next, and when it expires."""
    alert.next_at = None if alert.silent or alert.state not in UNANSWERED else _next_tier(alert, rule)
    _set_expiry(alert, rule)


def _consider(book: Book, verdict: Verdict, rule: Rule, now: Now) -> list[Change]:
    """Raise a condition that has no alert, have it wait, or forget that it waited."""
    condition, before = verdict.condition, book.pending.get(verdict.condition)
    if verdict.priority is None:
        if before is not None and (verdict.over or verdict.retracts is not None):
            del book.pending[condition]
        elif before is not None and not verdict.stale:
            before.ready = None
        return []
    since = now.at if before is None or verdict.retracts is not None else before.since
    evidence = pin(verdict.evidence())
    pending = Pending(
        since, 0.0, verdict.kind, verdict.priority, verdict.reason, evidence, verdict.silent, verdict.signals
    )
    return _raise_or_wait(book, condition, pending, rule, now)


def _raise_or_wait(book: Book, condition: str, pending: Pending, rule: Rule, now: Now) -> list[Change]:
    priority, silenced = pending.priority, book.silenced.get(condition)
    ready = pending.since + rule.hold_s
    if silenced is not None and RANK[priority] <= RANK[silenced.priority]:
        ready = max(ready, silenced.until)
    for until in (rule.quiet_until(now.at, priority), now.suppressed_until):
        ready = max(ready, until or ready)
    if ready > now.at:
        pending.ready = ready
        book.pending[condition] = pending
        return []
    book.pending.pop(condition, None)
    book.silenced.pop(condition, None)
    alert = OpenAlert(
        alert_id=_new_id(book, condition, now),
        kind=pending.kind,
        priority=priority,
        raised_at=now.at,
        stepped_at=now.at,
        told_at=now.at,
        confirmed_at=now.at,
        reason=pending.reason,
        evidence=pending.evidence,
        silent=pending.silent,
        signals=pending.signals,
    )
    book.alerts[condition] = alert
    set_timers(alert, rule)
    return [Change(condition, replace(alert), "raised", alert.reason)]


def _new_id(book: Book, condition: str, now: Now) -> UUID:
    """Of the cause; another where the same event has ended one that it had raised (its clock first, then itself)."""
    name, taken = f"{condition}/{now.key}", {one.alert.alert_id for one in book.ended}
    while (alert_id := output_id(now.caused_by, name)) in taken:
        name += "/again"
    return alert_id


def _worsen(book: Book, verdict: Verdict, rule: Rule, now: Now) -> Change:
    alert = book.alerts[verdict.condition]
    assert verdict.priority is not None, "it has risen"
    alert.priority, alert.reason, alert.evidence = verdict.priority, verdict.reason, pin(verdict.evidence())
    book.silenced.pop(verdict.condition, None)
    return _step_up(book, verdict.condition, "worsened", rule, now)


def _again(book: Book, condition: str, rule: Rule, now: Now) -> list[Change]:
    """A snooze or the reassessment interval is over; in quiet hours it goes on."""
    alert = book.alerts[condition]
    quiet = rule.quiet_until(now.at, alert.priority)
    if quiet is not None:
        alert.until = quiet
        return []
    return [_step_up(book, condition, "raised_again", rule, now)]


def _step_up(book: Book, condition: str, transition: Transition, rule: Rule, now: Now) -> Change:
    """Have people be told as if it had just been raised."""
    alert = book.alerts[condition]
    alert.state, alert.stepped, alert.tier, alert.until = "raised", alert.number + 1, 0, None
    alert.stepped_at = alert.told_at = max(alert.stepped_at, now.at)
    alert.answered_at = 0.0
    set_timers(alert, rule)
    return step(book, condition, transition, alert.reason)


def _escalate(book: Book, condition: str, rule: Rule, now: Now) -> list[Change]:
    """The furthest tier whose time has come: where the clock has jumped, those between are told with it."""
    alert = book.alerts[condition]
    quiet = rule.quiet_until(now.at, alert.priority)
    if quiet is not None:
        alert.next_at = quiet
        return []
    reached = sum(alert.stepped_at + after_s <= now.at for _, after_s in rule.tiers(alert.priority)) - 1
    said = "nobody has answered yet"
    if reached > alert.tier:
        alert.tier, said = reached, f"nobody has answered within {(now.at - alert.stepped_at) / 60:.0f} min"
    alert.state, alert.told_at = "escalated", now.at
    set_timers(alert, rule)
    return [step(book, condition, "escalated", f"{said}: {alert.reason}"[:1000])]


def _set_expiry(alert: OpenAlert, rule: Rule) -> None:
    """One of high priority that people have been told of, and nobody has answered, does not expire."""
    stays = alert.priority == "high" and alert.state in UNANSWERED and not alert.silent
    alert.expires_at = None if stays or rule.expire_s is None else alert.confirmed_at + rule.expire_s


def _next_tier(alert: OpenAlert, rule: Rule) -> float | None:
    """When the next tier is told; beyond the last one, when that is told once more."""
    tiers = rule.tiers(alert.priority)
    if alert.tier + 1 < len(tiers):
        return alert.stepped_at + tiers[alert.tier + 1].after_s
    repeat_s = rule.repeat_s(alert.priority)
    return None if repeat_s is None else alert.told_at + repeat_s


def _end_to_wait(book: Book, condition: str, transition: State, why: str, ready: float) -> Change:
    """End an alert whose condition is to be told later, if it holds still."""
    change = end(book, condition, transition, why)
    was = change.alert
    book.pending[condition] = Pending(  # since 0: it has held for long enough
        0.0, ready, was.kind, was.priority, was.reason, was.evidence, was.silent, was.signals
    )
    return change


def _obey(book: Book, now: Now) -> list[Change]:
    """Under comfort care nothing is open that people know."""
    return suppress(book, now.suppressed_until or now.at, "a comfort-care order holds") if now.suppressed else []
