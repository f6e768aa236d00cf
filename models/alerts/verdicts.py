"""What alerts are worth: whether each was a true one, and which outcomes were preceded by one. Pure.

An alert is judged as an hour of the risk model is (`models.risk.labels`), by what is known of the patient when its
horizon and the grace are over:

=========  ============================================================================================
true       an outcome came after it, within its horizon
false      none did
censored   the patient was not there when it was raised, or left for where nobody reports from
excluded   it was raised after an outcome of the same stay: PPV says how well the first is foreseen
=========  ============================================================================================

An outcome is judged when its grace is over: the first of each stay, if the patient was there within the horizon before
it. It was caught by the alerts that it makes true, so that PPV and sensitivity speak of the same pairs, and the lead
time is from the first of them. One that worsened or was raised again counts from when it was raised.

Each alert and each stay's outcome is judged once. What comes to be known after a verdict does not change it, and is
counted (`overtakes`).
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf, nextafter
from typing import Final, Literal, NamedTuple

from msgspec.structs import replace

from wardstream.models.alerts.value import HOUR, KEPT_STAYS, Ledger, Watched
from wardstream.models.risk.labels import Label, Report, holding, label
from wardstream.models.risk.target import Target
from wardstream.models.stay import Stay, StayLog, Step, course
from wardstream.schemas.outcomes import Kind

Verdict = Literal["true", "false", "censored", "excluded"]
ANY: Final = "*"
"""In place of a condition or priority: an alert of any. What one outcome is caught by cannot be added up."""

_VERDICTS: Final[dict[Label, Verdict]] = {"positive": "true", "negative": "false"}


class Group(NamedTuple):
    """Alerts of one condition and priority, or of `ANY`."""

    condition: str
    priority: str
    silent: bool


class Came(NamedTuple):
    """An outcome, and how long before it each group of alerts had begun (s)."""

    kind: Kind
    lead_s: dict[Group, float]


class Verdicts(NamedTuple):
    """What is to be counted."""

    alerts: list[tuple[Watched, Verdict]]
    outcomes: list[Came]


def judge(ledger: Ledger, now: float, reports: Iterable[Report], log: StayLog, target: Target) -> Verdicts:
    """Judge what is due at a time (s since 1970); the ledger then holds it no more.

    `target` says which outcomes count, the horizon in which a patient's outcome may be one of ours, and the grace.
    """
    known, grace_s = list(reports), target.grace_h * HOUR
    outcomes = []
    for at in [at for at in ledger.outcomes if at + grace_s <= now]:
        came = _came(ledger, at, known, log, target)
        if came is not None:
            outcomes.append(came)
    ledger.outcomes = tuple(at for at in ledger.outcomes if at + grace_s > now)
    alerts: list[tuple[Watched, Verdict]] = []
    for one in ledger.alerts.values():
        if one.horizon_s and one.at + one.horizon_s + grace_s <= now:
            said = label(one.at, known, log, _within(target, one.horizon_s)).label
            alerts.append((one, _VERDICTS.get(said, said)))  # type: ignore[arg-type]  # the others are named alike
            one.horizon_s = 0.0
    ledger.drop_over()
    return Verdicts(alerts, outcomes)


def overtakes(before: Iterable[Report], after: Iterable[Report], now: float, target: Target) -> bool:
    """Whether what is known now (s since 1970) says other things of outcomes that have been judged than was known."""
    return _over(before, now, target) != _over(after, now, target)


def _over(reports: Iterable[Report], now: float, target: Target) -> set[tuple[Kind | None, float]]:
    return {
        (one.kind, one.at)
        for one in holding(reports)
        if one.kind in target.kinds and one.at + target.grace_h * HOUR <= now
    }


def _came(ledger: Ledger, at: float, reports: list[Report], log: StayLog, target: Target) -> Came | None:
    """The outcome of this time, if it holds and is the first of a stay of which none has been judged."""
    seen = _last_seen(course(log), at)
    if seen is None:
        return None
    found = label(seen.moment, reports, log, target)
    began = seen.stay.admitted_at or 0.0
    if found.kind is None or found.at != at or began in ledger.judged:
        return None
    ledger.judged = (*ledger.judged, began)[-KEPT_STAYS:]
    lead_s: dict[Group, float] = {}
    for one in ledger.alerts.values():
        if one.horizon_s and label(one.at, reports, log, _within(target, one.horizon_s)).at == at:
            for condition in (one.condition, ANY):
                for priority in (one.priority, ANY):
                    group = Group(condition, priority, one.silent)
                    lead_s[group] = max(lead_s.get(group, 0.0), at - one.at)
    return Came(found.kind, lead_s)


def _last_seen(steps: list[Step], at: float) -> Step | None:
    """The last moment before a time at which the patient was there, and the stay then."""
    found = None
    for step, following in zip(steps, [*steps[1:], Step(inf, Stay())], strict=True):
        until = min(at, following.moment)
        if step.moment < until and step.stay.phase == "present":
            found = Step(nextafter(until, -inf), step.stay)
    return found


def _within(target: Target, horizon_s: float) -> Target:
    return replace(target, horizon_h=horizon_s / HOUR)
