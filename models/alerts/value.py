"""What alerts cost people: what is counted of each, once, while it lives. What they are worth says `verdicts`. Pure.

Each alert is in one class for all that is counted of it, known when it is raised: its condition (of a laboratory result
without the analyte), the priority that it was raised with, and whether it is silent. That it worsens, is raised again
or escalated makes it no other alert.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple
from uuid import UUID

import msgspec

from wardstream.models.alerts.life import Change
from wardstream.models.alerts.states import pinned
from wardstream.schemas.alerts import ENDED, Priority

HOUR: Final = 3600.0
KEPT_ALERTS: Final = 200  # of one patient, from being raised until verdict and end
KEPT_OUTCOMES: Final = 64
KEPT_STAYS: Final = 8

What = Literal["raised", "in_stay", "answered", "escalated", "retracted", "useful", "not_useful", "unwatched"]


class Watched(msgspec.Struct, omit_defaults=True):
    """An alert that has not both ended and been judged. Times in seconds since 1970.

    `horizon_s` is within how many seconds an outcome makes it a true one; 0: it is not judged, or has been. `rated`: a
    person has said whether it was useful.
    """

    condition: str
    priority: Priority
    at: float
    horizon_s: float = 0.0
    silent: bool = False
    answered: bool = False
    escalated: bool = False
    rated: bool = False
    ended: bool = False


class News(NamedTuple):
    """What is true of an alert now for the first time. `after_s`: of the first answer, since it was raised."""

    alert: Watched
    what: tuple[What, ...]
    after_s: float | None = None


class Ledger(msgspec.Struct, omit_defaults=True):
    """What is yet to be counted of one patient's alerts.

    `outcomes` are the times of what may have been an outcome, and is looked at when its grace is over (s since 1970).
    `judged` are the beginnings of stays of which an outcome has been judged (0: not known): in each only the first is.
    """

    alerts: dict[UUID, Watched] = {}
    outcomes: tuple[float, ...] = ()
    judged: tuple[float, ...] = ()

    def follow(self, change: Change, horizon_s: float, in_stay: bool) -> News | None:
        """Take a transition in; None: nothing of it is counted. `horizon_s`: where the alert brings none of its own."""
        alert = change.alert
        if change.transition == "raised":
            name = change.condition.partition(".")[0]
            watched = Watched(name, alert.priority, alert.raised_at, _horizon_s(change, horizon_s), alert.silent)
            what: list[What] = ["raised", *_if(in_stay, "in_stay")]
            if len(self.alerts) < KEPT_ALERTS:
                self.alerts[alert.alert_id] = watched
            else:
                what.append("unwatched")
            return News(watched, tuple(what))
        known = self.alerts.get(alert.alert_id)
        if known is None:
            return None
        what, after_s = [], None
        if change.answer is not None and change.transition != "rated" and not known.answered:
            known.answered = True
            what.append("answered")
            after_s = max(0.0, change.answer.observed_at.timestamp() - known.at)
        if change.transition == "escalated" and not known.escalated:
            known.escalated = True
            what.append("escalated")
        if alert.useful is not None and not known.rated:
            known.rated = True
            what.append("useful" if alert.useful else "not_useful")
        what += _if(change.transition == "retracted", "retracted")
        known.ended = known.ended or alert.state in ENDED
        self.drop_over()
        return News(known, tuple(what), after_s) if what else None

    def expect(self, at: float) -> None:
        """Look at an outcome when its grace is over."""
        self.outcomes = tuple(sorted({*self.outcomes, at}))[-KEPT_OUTCOMES:]

    def join(self, other: Ledger) -> None:
        """Take in what is kept of another id of the same patient."""
        self.alerts = other.alerts | self.alerts
        self.outcomes = tuple(sorted({*self.outcomes, *other.outcomes}))[-KEPT_OUTCOMES:]
        self.judged = tuple(sorted({*self.judged, *other.judged}))[-KEPT_STAYS:]

    def drop_over(self) -> None:
        """Keep no alert of which nothing more is counted."""
        self.alerts = {name: one for name, one in self.alerts.items() if one.horizon_s or not one.ended}

    def due(self, grace_s: float) -> tuple[float, float] | None:
        """When the first and the last verdict are due (s since 1970); None: none is."""
        times = [one.at + one.horizon_s + grace_s for one in self.alerts.values() if one.horizon_s]
        times += [at + grace_s for at in self.outcomes]
        return (min(times), max(times)) if times else None


def _horizon_s(change: Change, otherwise: float) -> float:
    """That of the prediction that decided; old data says nothing about the patient, and is not judged."""
    if change.alert.kind == "staleness":
        return 0.0
    if change.alert.kind == "prediction":
        prediction = pinned(change.alert).prediction
        return otherwise if prediction is None else prediction.horizon_h * HOUR
    return otherwise


def _if(holds: bool, what: What) -> tuple[What, ...]:
    return (what,) if holds else ()
