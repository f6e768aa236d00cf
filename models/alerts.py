"""When the first alerts begin and end: NEWS2 too high, and data too old. Pure functions of a patient and a score.

Condition `news2`: raised as medium at 5 points or any single 3 (urgent review), as high at 7 (emergency assessment),
the triggers of the Royal College of Physicians (2017); it worsens from medium to high. It resolves at 3 points or
fewer without a single 3: two points below the trigger, so that a patient on the threshold makes one alert and not ten
(the gap is this project's choice). A partial score is a lower bound: it may raise and worsen, but it resolves nothing,
unless all that is missing are parts which the feed is declared never to carry.

Condition `stale`: raised, low, when a NEWS2 signal that has been measured is no longer current in a patient who is
still there; resolved when all of them are. An alert on `news2` stays as it is meanwhile.

Both end when the patient leaves or dies. An alert is retracted, not resolved, when a correction or cancellation takes
away what had raised it. One alert at a time for one condition of one patient.
"""

from dataclasses import dataclass
from uuid import UUID, uuid5

from wardstream.models.patient import Latest, OpenAlert, Patient
from wardstream.models.signals import BY_CODE
from wardstream.schemas.alerts import Priority, Transition
from wardstream.schemas.scores import Score

RAISE_MEDIUM = 5
RAISE_HIGH = 7
RESOLVE_AT = 3

# What NEWS2 needs, as groups of signals of which one suffices.
_NEWS2_SIGNALS = (
    ("rr",),
    ("spo2",),
    ("sbp",),
    ("hr",),
    ("temp",),
    ("acvpu", "gcs"),
    ("o2", "fio2", "o2flow", "o2dev"),
)
_RANK = {"low": 0, "medium": 1, "high": 2}


@dataclass(frozen=True)
class Change:
    """One transition: of which condition, to what, and why (a sentence for a person)."""

    condition: str
    transition: Transition
    alert: OpenAlert
    reason: str


def judge(
    patient: Patient,
    news2: Score,
    current: dict[str, Latest],
    at: float,
    caused_by: UUID,
    revises: UUID | None,
    never_carried: frozenset[str],
) -> list[Change]:
    """Transitions that follow from a NEWS2 score; the patient's open alerts are changed accordingly.

    Parameters
    ----------
    current : the signals that are current at `at` (seconds since 1970).
    caused_by : id of the event after which the score was computed; ids of alerts derive from it.
    revises : id of the event that `caused_by` corrects or cancels.
    never_carried : parts that the feeds are declared never to carry.
    """
    if patient.gone:
        return close(patient, "the patient has died" if patient.died_at is not None else "the patient has left")
    return [
        *_judge_news2(patient, news2, at, caused_by, revises, never_carried),
        *_judge_stale(patient, current, at, caused_by),
    ]


def close(patient: Patient, why: str) -> list[Change]:
    """End every open alert."""
    return [_end(patient, condition, "resolved", why) for condition in list(patient.alerts)]


def _judge_news2(
    patient: Patient, score: Score, at: float, caused_by: UUID, revises: UUID | None, never_carried: frozenset[str]
) -> list[Change]:
    alert, priority = patient.alerts.get("news2"), _news2_priority(score)
    if alert is None:
        if priority is None:
            return []
        return [_raise(patient, "news2", priority, at, caused_by, _news2_reason(score))]
    if priority is not None:
        if _RANK[priority] <= _RANK[alert.priority]:
            return []
        alert.priority = priority
        alert.transitions += 1
        return [Change("news2", "worsened", alert, _news2_reason(score))]
    if score.not_applicable is not None:
        return [_end(patient, "news2", "retracted", score.not_applicable)]
    if revises is not None and revises == alert.caused_by:
        return [_end(patient, "news2", "retracted", "the values that raised it were corrected")]
    known = set(score.missing) <= never_carried
    if known and score.value is not None and score.value <= RESOLVE_AT:
        return [_end(patient, "news2", "resolved", _news2_reason(score))]
    return []


def _news2_priority(score: Score) -> Priority | None:
    if score.value is None:
        return None
    if score.value >= RAISE_HIGH:
        return "high"
    return "medium" if score.value >= RAISE_MEDIUM or 3 in score.parts.values() else None


def _news2_reason(score: Score) -> str:
    worst = [name for name, points in score.parts.items() if points == 3]
    text = f"NEWS2 is {'' if score.complete else 'at least '}{score.value or 0:.0f}"
    return f"{text}; 3 points each: {', '.join(worst)}" if worst else text


def _judge_stale(patient: Patient, current: dict[str, Latest], at: float, caused_by: UUID) -> list[Change]:
    lapsed = tuple(
        group[0]
        for group in _NEWS2_SIGNALS
        if any(code in patient.signals for code in group) and not any(code in current for code in group)
    )
    alert = patient.alerts.get("stale")
    if alert is None:
        if not lapsed:
            return []
        reason = "no current " + ", ".join(BY_CODE[code].field for code in lapsed)
        change = _raise(patient, "stale", "low", at, caused_by, reason)
        change.alert.signals = lapsed
        return [change]
    alert.signals = lapsed
    return [] if lapsed else [_end(patient, "stale", "resolved", "all signals are current again")]


def _raise(patient: Patient, condition: str, priority: Priority, at: float, caused_by: UUID, reason: str) -> Change:
    alert = OpenAlert(uuid5(caused_by, f"alert/{condition}"), priority, at, caused_by)
    patient.alerts[condition] = alert
    return Change(condition, "raised", alert, reason)


def _end(patient: Patient, condition: str, transition: Transition, reason: str) -> Change:
    alert = patient.alerts.pop(condition)
    alert.transitions += 1
    return Change(condition, transition, alert, reason)
