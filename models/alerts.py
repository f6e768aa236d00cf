"""When the first alerts begin and end: NEWS2 too high, and data too old. Pure functions of a patient and a score.

Condition `news2`: raised as medium at 5 points or any single 3 (urgent review), as high at 7 (emergency assessment),
the triggers of the Royal College of Physicians (2017); it worsens from medium to high. It resolves at 3 points or
fewer without a single 3: two points below the trigger, so that a patient on the threshold makes one alert and not ten
(the gap is this project's choice). A partial score is a lower bound: it may raise and worsen, but it resolves nothing,
unless all that is missing are parts which the feed is declared never to carry.

Condition `stale`: raised, low, when a NEWS2 signal that has been measured is overdue in a patient who is there, or of
whom nobody says where they are; resolved when none is. An alert on `news2` stays as it is meanwhile.

Conditions `sepsis` and `risk`: a model's calibrated probability, see `judge_probability`.

A `news2` alert is retracted, not resolved, when NEWS2 turns out not to apply, or when, after a correction, a recount
shows that it would not have come so far; what the corrected values still call for is then raised anew. Both expire,
for nothing got better, when the patient leaves, dies or is forgotten. One alert at a time for one condition of one
patient.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from wardstream.models.latest import Signals
from wardstream.models.patient import OpenAlert, Patient
from wardstream.models.signals import BEDSIDE, BY_CODE, NEWS2_GROUPS
from wardstream.schemas.alerts import Priority, Transition
from wardstream.schemas.envelope import Event
from wardstream.schemas.output_id import output_id
from wardstream.schemas.scores import Score
from wardstream.schemas.ticks import Tick

RAISE_MEDIUM = 5
RAISE_HIGH = 7
RESOLVE_AT = 3
RESOLVE_SHARE = 0.5  # of the threshold: this project's choice, so that one on the threshold is one alert

RANK = {None: -1, "low": 0, "medium": 1, "high": 2}

Recount = Callable[[float], Score | None]


@dataclass(frozen=True)
class Change:
    """One transition: of which condition, to what, and why (a sentence for a person)."""

    condition: str
    transition: Transition
    alert: OpenAlert
    reason: str


def judge(
    key: str,
    patient: Patient,
    news2: Score,
    current: Signals,
    at: float,
    caused_by: UUID,
    never_carried: frozenset[str],
    recount: Recount | None,
) -> list[Change]:
    """Transitions that follow from a NEWS2 score; the patient's open alerts are changed accordingly.

    Parameters
    ----------
    key : the patient's id. Ids of alerts derive from it and from `caused_by`, for one tick may raise many.
    current : the signals that are current at `at`.
    at : the time of the score, in seconds since 1970.
    caused_by : id of the event after which the score was computed.
    never_carried : parts that the feeds are declared never to carry.
    recount : NEWS2 as of an earlier time by what is known now, None where that cannot be told; given when
        `caused_by` has corrected something.
    """
    if patient.gone:
        died = patient.died_at is not None or patient.stay.disposition == "died"
        return close(patient, "the patient has died" if died else "the patient has left")
    return [
        *_judge_news2(key, patient, news2, at, caused_by, never_carried, recount),
        *_judge_stale(key, patient, current, at, caused_by),
    ]


class Said(NamedTuple):
    """What a model says: of which condition, what that is in words, its calibrated probability, the alert's threshold.

    `silent`: nobody is to be told.
    """

    condition: str
    words: str
    probability: float
    threshold: float
    silent: bool = False


def judge_probability(key: str, patient: Patient, model: Said, at: float, cause: Event | Tick) -> list[Change]:
    """Transitions that follow from a calibrated probability; the patient's open alerts change accordingly.

    Raised, medium, from the threshold on; ended below half of it. It is retracted, not resolved, when what brought it
    below is a correction. An answer that is degraded changes nothing: do not ask for one. One that was raised in
    silence expires when the model is silent no more, so that people are told of what still holds; one that people know
    goes on until it ends, whatever the model is now.
    """
    condition, probability = model.condition, model.probability
    alert = patient.alerts.get(condition)
    said = f"probability of {model.words}: {probability:.0%} (alert from {model.threshold:.0%})"
    changes: list[Change] = []
    if alert is not None and alert.silent and not model.silent:
        changes, alert = [end(patient, condition, "expired", "the model is silent no more")], None
    if alert is None:
        if probability >= model.threshold and not patient.gone:
            changes.append(_raise(key, patient, condition, "medium", at, cause.event_id, said))
            patient.alerts[condition].silent = model.silent
        return changes
    if probability >= model.threshold * RESOLVE_SHARE:
        return []
    corrects = isinstance(cause, Event) and cause.status in ("corrected", "cancelled")
    return [end(patient, condition, "retracted" if corrects else "resolved", said)]


def close(patient: Patient, why: str) -> list[Change]:
    """Let every open alert expire."""
    return [end(patient, condition, "expired", why) for condition in list(patient.alerts)]


def _judge_news2(
    key: str,
    patient: Patient,
    score: Score,
    at: float,
    caused_by: UUID,
    never_carried: frozenset[str],
    recount: Recount | None,
) -> list[Change]:
    alert, priority = patient.alerts.get("news2"), _news2_priority(score)
    changes: list[Change] = []
    if alert is not None and score.not_applicable is not None:
        return [end(patient, "news2", "retracted", f"NEWS2 is not for this patient: {score.not_applicable}")]
    if alert is not None and recount is not None and RANK[priority] < RANK[alert.priority]:
        then = recount(alert.stepped_at)
        if then is not None and RANK[_news2_priority(then)] < RANK[alert.priority]:
            changes = [end(patient, "news2", "retracted", f"corrected values: {_news2_reason(then)} at that time")]
            alert = None
    if alert is None:
        if priority is not None:
            changes.append(_raise(key, patient, "news2", priority, at, caused_by, _news2_reason(score)))
        return changes
    if priority is not None:
        if RANK[priority] <= RANK[alert.priority]:
            return []
        alert.priority, alert.stepped_at = priority, at
        alert.transitions += 1
        return [Change("news2", "worsened", alert, _news2_reason(score))]
    known = set(score.missing) <= never_carried
    if known and score.value is not None and score.value <= RESOLVE_AT:
        return [end(patient, "news2", "resolved", _news2_reason(score))]
    return []


def _news2_priority(score: Score) -> Priority | None:
    if score.value is None:
        return None
    if score.value >= RAISE_HIGH:
        return "high"
    return "medium" if score.value >= RAISE_MEDIUM or 3 in score.parts.values() else None


def _news2_reason(score: Score) -> str:
    if score.not_applicable is not None:
        return f"NEWS2 is not for this patient: {score.not_applicable}"
    worst = [name for name, points in score.parts.items() if points == 3]
    text = f"NEWS2 is {'' if score.complete else 'at least '}{score.value or 0:.0f}"
    return f"{text}; 3 points each: {', '.join(worst)}" if worst else text


def _judge_stale(key: str, patient: Patient, current: Signals, at: float, caused_by: UUID) -> list[Change]:
    signals, alert = patient.signals, patient.alerts.get("stale")
    if alert is None and (len(current) == len(signals) or BEDSIDE.isdisjoint(signals.keys() - current.keys())):
        return []  # by far the most frequent: all is current, so nothing is overdue
    if patient.stay.phase == "preadmitted":  # nobody measures at home
        return [] if alert is None else [end(patient, "stale", "expired", "the patient is not there")]
    overdue = tuple(
        group[0]
        for group in NEWS2_GROUPS
        if (known := [code for code in group if code in signals])
        and all(signals[code].overdue(code) <= at for code in known)
    )
    if alert is None:
        if not overdue:
            return []
        reason = "no current " + ", ".join(BY_CODE[code].field for code in overdue)
        change = _raise(key, patient, "stale", "low", at, caused_by, reason)
        change.alert.signals = overdue
        return [change]
    if overdue:
        alert.signals = overdue
        return []
    came = [group for group in NEWS2_GROUPS if group[0] in alert.signals and not signals.keys().isdisjoint(group)]
    if came:
        return [end(patient, "stale", "resolved", "no signal is overdue any more")]
    return [end(patient, "stale", "retracted", "what was overdue has been cancelled")]


def _raise(
    key: str, patient: Patient, condition: str, priority: Priority, at: float, caused_by: UUID, reason: str
) -> Change:
    alert = OpenAlert(output_id(caused_by, f"{condition}/{key}"), priority, at, at)
    patient.alerts[condition] = alert
    return Change(condition, "raised", alert, reason)


def end(patient: Patient, condition: str, transition: Transition, reason: str) -> Change:
    """End an open alert."""
    alert = patient.alerts.pop(condition)
    alert.transitions += 1
    return Change(condition, transition, alert, reason)
