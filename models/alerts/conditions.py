"""What a score, a probability, a result, a finding or the age of data says of a condition: verdicts, by the policy.

Kind `score`: holds from the policy's thresholds on, or where a single part gives its most points (3); it is over at or
below `end` without such a part. A partial score is a lower bound: it may raise and worsen, but it ends nothing, unless
all that is missing gives no points, or is declared never to be carried by a feed. What is missing beyond what was when
it was raised makes it stale. It is retracted when the score turns out not to apply, or when, after a correction, a
recount shows that it would not have come so far.

Kinds `prediction` and `finding`: from a calibrated probability on; over below a share of the lowest threshold.
Retracted, where what brought it below is a correction. An answer that is degraded, or none, ends nothing: it makes an
open alert stale.

Kind `lab`: the newest result of an analyte has a flag (`models.labs.flags` names the limits' source); one condition for
each analyte.

Kind `staleness`: a NEWS2 signal that has been measured is overdue in a patient who is there, or of whom nobody says
where they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from wardstream.models.alerts.life import Verdict
from wardstream.models.alerts.policy import Rule
from wardstream.models.alerts.states import RANK, Book, pinned
from wardstream.models.latest import Signals
from wardstream.models.signals import BEDSIDE, BY_CODE, NEWS2_GROUPS
from wardstream.schemas.alerts import Evidence, Priority
from wardstream.schemas.envelope import Event
from wardstream.schemas.scores import Result, Score

MOST_POINTS: Final = 3
NO_POINTS: Final = frozenset({"pregnant"})
"""Whether NEWS2 applies, not known of most women: an alert that was raised without knowing it ends without, too."""
_CALLED: Final = {"news2": "NEWS2", "qsofa": "qSOFA", "kdigo_aki": "KDIGO stage", "shock_index": "shock index"}

Shows = Callable[[], Evidence]
Recount = Callable[[float], Score | None]


def corrects(event: object) -> bool:
    """Whether an event corrects or takes back another one; a tick does neither."""
    return isinstance(event, Event) and event.status in ("corrected", "cancelled")


def of_score(
    book: Book,
    rule: Rule,
    score: Score,
    never_carried: frozenset[str],
    shows: Shows,
    recount: Recount | None = None,
) -> Verdict | None:
    """The verdict of a score; None: nothing is told of it, and nothing could be.

    Parameters
    ----------
    never_carried : parts that the feeds are declared never to carry.
    shows : evidence for it.
    recount : the score as of an earlier time (s since 1970) by what is known now, None where that cannot be told; given
        when something has been corrected.
    """
    priority, alert = _score_priority(rule, score), book.alerts.get(rule.name)
    if priority is None and alert is None and rule.name not in book.pending:  # by far the most frequent
        return None
    reason, retracts = _score_reason(score), None
    missing = set(score.missing) - never_carried - NO_POINTS
    known = not missing
    over = priority is None and known and score.value is not None and rule.end is not None and score.value <= rule.end
    if score.not_applicable is not None:
        retracts, priority, over = reason, None, True
    elif alert is not None and recount is not None and RANK[priority] < RANK[alert.priority]:
        then = recount(alert.stepped_at)
        if then is not None and RANK[_score_priority(rule, then)] < RANK[alert.priority]:
            retracts = f"corrected values: {_score_reason(then)} at that time"
    stood_on = None if alert is None or priority is not None or known else pinned(alert).score
    # What was missing when it was raised does not make it stale, or it would be stale from the beginning.
    stale = not known and (stood_on is None or not missing <= set(stood_on.missing))
    return Verdict(
        rule.name, "score", priority, over, reason, shows, stale=stale, retracts=retracts, silent=rule.silent
    )


def of_probability(
    book: Book,
    rule: Rule,
    words: str,
    probability: float,
    shows: Shows,
    *,
    corrected: bool,
    model_threshold: float | None = None,
    silent: bool = False,
) -> Verdict | None:
    """The verdict of a calibrated probability, of a prediction or a finding; None: nothing is told of it.

    Parameters
    ----------
    words : what it is the probability of, for a person.
    corrected : whether what brought the answer about is a correction.
    model_threshold : from which the served version alerts; None: it has no threshold.
    silent : whether the model is silent where the patient is.
    """
    lowest, open_or_waits = rule.lowest(model_threshold), rule.name in book.alerts or rule.name in book.pending
    priority = rule.priority_of(probability, model_threshold)
    if lowest is None or (priority is None and not open_or_waits):
        return None
    reason = f"probability of {words}: {probability:.0%} (alert from {lowest:.0%})"
    over = probability < lowest * rule.end_share
    return Verdict(
        rule.name,
        "prediction" if rule.kind == "prediction" else "finding",
        priority,
        over,
        reason,
        shows,
        retracts=reason if over and corrected else None,
        silent=silent or rule.silent,
    )


def of_result(book: Book, rule: Rule, result: Result, cause: object, shows: Shows) -> Verdict | None:
    """The verdict of the newest result of an analyte; None: nothing is told of it."""
    condition = f"{rule.name}.{result.name}"
    flags = [flag for flag in result.flags if flag.kind in rule.flags]
    alert = book.alerts.get(condition)
    if not flags and alert is None and condition not in book.pending:
        return None
    retracts = None
    if not flags and alert is not None and isinstance(cause, Event) and corrects(cause):
        stood_on = pinned(alert).result
        if stood_on is not None and stood_on.result_id in (cause.supersedes, cause.event_id):
            retracts = f"the result has been {cause.status}"
    said = [f"{flag.kind.replace('_', ' ')} (limit {flag.limit:g}{' %' if flag.percent else ''})" for flag in flags]
    value = "no result" if result.value is None else f"{result.comparator or ''}{result.value:g}"
    reason = f"{result.name}: {value}, {', '.join(said) or 'not flagged any more'}"
    priority = rule.priority if flags else None
    return Verdict(condition, "lab", priority, not flags, reason, shows, retracts=retracts, silent=rule.silent)


def of_staleness(book: Book, rule: Rule, signals: Signals, current: Signals, at: float, shows: Shows) -> Verdict | None:
    """The verdict of the age of a patient's signals at a time (s since 1970); None: nothing is told of it."""
    alert = book.alerts.get(rule.name)
    waits = alert is not None or rule.name in book.pending
    if not waits and (len(current) == len(signals) or BEDSIDE.isdisjoint(signals.keys() - current.keys())):
        return None  # by far the most frequent: all is current, so nothing is overdue
    overdue = tuple(
        group[0]
        for group in NEWS2_GROUPS
        if (known := [code for code in group if code in signals])
        and all(signals[code].overdue(code) <= at for code in known)
    )
    if overdue:
        reason = "no current " + ", ".join(BY_CODE[code].field for code in overdue)
        return Verdict(rule.name, "staleness", rule.priority, False, reason, shows, silent=rule.silent, signals=overdue)
    if not waits:
        return None
    awaited = () if alert is None else alert.signals
    came = [group for group in NEWS2_GROUPS if group[0] in awaited and not signals.keys().isdisjoint(group)]
    retracts = None if came or alert is None else "what was overdue has been cancelled"
    reason = "no signal is overdue any more"
    return Verdict(rule.name, "staleness", None, True, reason, shows, retracts=retracts, silent=rule.silent)


def _score_priority(rule: Rule, score: Score) -> Priority | None:
    if score.value is None:
        return None
    by_value = rule.priority_of(score.value)
    if rule.single is not None and MOST_POINTS in score.parts.values():
        return max(by_value, rule.single, key=RANK.__getitem__)
    return by_value


def _score_reason(score: Score) -> str:
    called = _CALLED.get(score.name, score.name.upper())
    if score.not_applicable is not None:
        return f"{called} is not for this patient: {score.not_applicable}"
    worst = [name for name, points in score.parts.items() if points == MOST_POINTS]
    text = f"{called} is {'' if score.complete else 'at least '}{score.value or 0:.3g}"
    return f"{text}; 3 points each: {', '.join(worst)}" if worst and score.name == "news2" else text
