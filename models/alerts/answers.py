"""What people say to alerts: acknowledge, snooze, resolve, hand over, useful or not. Pure, as `life` is.

An answer that comes twice, or too late, changes nothing: one to what was before the alert was raised (again) or
worsened, and one that was given before the last of its kind. Its rating counts all the same, and that of an alert that
has ended too.
"""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from wardstream.models.alerts.life import Change, Now, RuleOf, end, set_timers, step
from wardstream.models.alerts.policy import Rule
from wardstream.models.alerts.states import Book, EndedAlert, OpenAlert, Silenced
from wardstream.schemas.acknowledgements import Given
from wardstream.schemas.alerts import Transition

Outcome = Literal["taken", "repeated", "outdated", "unknown", "not_allowed"]


def answer(book: Book, given: Given, rule_of: RuleOf, now: Now) -> tuple[Outcome, list[Change]]:
    """What follows from a person's answer. One that comes twice, or too late, changes nothing."""
    for condition, alert in book.alerts.items():
        if alert.alert_id == given.alert_id:
            rule = rule_of(condition)
            if rule is None:  # the next tick closes it
                return "outdated", []
            return _answer_open(book, condition, given, rule, now)
    for place, (condition, alert) in enumerate((one.condition, one.alert) for one in book.ended):
        if alert.alert_id == given.alert_id:
            alert = replace(alert)
            if not _rate(alert, given):
                return "repeated" if given.useful is not None and given.useful == alert.useful else "outdated", []
            alert.number += 1
            book.ended = (*book.ended[:place], EndedAlert(condition, alert), *book.ended[place + 1 :])
            return "taken", [Change(condition, replace(alert), "rated", alert.reason, answer=given)]
    return "unknown", []


def _answer_open(book: Book, condition: str, given: Given, rule: Rule, now: Now) -> tuple[Outcome, list[Change]]:
    alert = book.alerts[condition]
    rated = _rate(alert, given)  # that holds even where the rest comes too late
    outcome = _take(book, condition, given, rule, now)
    if outcome != "taken" and not rated:
        return outcome, []
    if outcome == "taken" and given.action == "resolve":
        return "taken", [end(book, condition, "resolved", "a person has resolved it", answer=given)]
    transition = _TRANSITIONS[given.action] if outcome == "taken" else "rated"
    return "taken", [step(book, condition, transition, alert.reason, given)]


def _rate(alert: OpenAlert, given: Given) -> bool:
    """Whether it is rated otherwise than before."""
    at = given.observed_at.timestamp()
    if given.useful is None or at < alert.rated_at:
        return False
    changed, alert.useful, alert.rated_at = given.useful != alert.useful, given.useful, at
    return changed


def _take(book: Book, condition: str, given: Given, rule: Rule, now: Now) -> Outcome:
    """Apply an answer, but for its rating."""
    alert, action, at = book.alerts[condition], given.action, given.observed_at.timestamp()
    if action == "rate":
        return "outdated" if at < alert.rated_at else "repeated"
    if action == "hand_over":
        if at < alert.handed_at:
            return "outdated"
        before, alert.assigned_to, alert.handed_at = alert.assigned_to, given.handed_to, at
        return "repeated" if before == given.handed_to else "taken"
    if at < alert.answered_at or (given.seen < alert.stepped if given.seen is not None else at < alert.stepped_at):
        return "outdated"  # what the person answered was before it was raised again or worsened, or answered later
    if action == "snooze":
        if rule.max_snooze_s <= 0:
            return "not_allowed"
        assert given.snooze_until is not None, "checked when it was decoded"
        until = min(given.snooze_until.timestamp(), at + rule.max_snooze_s)
        if until <= now.at:
            return "outdated"
        alert.answered_at = at
        if alert.state == "snoozed" and alert.until == until:
            return "repeated"
        alert.state, alert.until, silent_until = "snoozed", until, until
    else:
        alert.answered_at, silent_until = at, now.at + rule.silence_s
        if action == "acknowledge":
            if alert.state == "acknowledged":
                return "repeated"
            alert.state, alert.until = "acknowledged", now.at + rule.reassess_s
            alert.assigned_to = alert.assigned_to or given.actor
    book.silenced[condition] = Silenced(silent_until, alert.priority)
    alert.confirmed_at = max(alert.confirmed_at, now.at)  # a person has it in hand
    set_timers(alert, rule)
    return "taken"


_TRANSITIONS: dict[str, Transition] = {
    "acknowledge": "acknowledged",
    "snooze": "snoozed",
    "resolve": "resolved",
    "hand_over": "handed_over",
    "rate": "rated",
}
