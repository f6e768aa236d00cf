"""What the live view knows of the ward: folded from the same topics that anyone may subscribe to. No I/O.

Scores and alerts are taken as they were published, never recomputed. Places and vital signs come from the inputs: the
value observed last counts, and is too old when it is too old for the scores. A worker does more with them (it sorts and
falls back on what a correction leaves); here they only stand beside the score for a person to see.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from wardstream.models.signals import BY_CODE, MINUTE, WINDOWS_S
from wardstream.schemas.admissions import Admission
from wardstream.schemas.alerts import ENDED, Alert, Priority, State
from wardstream.schemas.envelope import Event
from wardstream.schemas.metrics import Metrics
from wardstream.schemas.predictions import Prediction
from wardstream.schemas.scores import Score, Scores
from wardstream.schemas.ticks import Tick
from wardstream.schemas.vitals import Vitals

TREND_STEP_S = 5 * MINUTE
TREND_STEPS = 12  # an hour
LOGGED_ALERTS = 100
RANK: dict[Priority, int] = {"high": 3, "medium": 2, "low": 1}
_SHOWN = ("rr", "spo2", "sbp", "dbp", "hr", "temp", "acvpu", "o2", "o2flow")


Value = float | bool | str


class Seen(msgspec.Struct, frozen=True):
    """A signal's newest value, its age in seconds, and whether it is too old to count."""

    value: Value
    age_s: float
    stale: bool


class OpenAlert(msgspec.Struct, frozen=True):
    """An alert that has not ended, how it stands, and for how long it has been there (seconds)."""

    condition: str
    priority: Priority
    age_s: float
    state: State = "raised"
    stale: bool = False


class BedRow(msgspec.Struct, frozen=True):
    """One patient as the board shows them; `trend` is NEWS2 every five minutes, the newest last."""

    place: str
    patient_id: str
    news2: Score | None
    signals: dict[str, Seen]
    trend: tuple[float | None, ...]
    alerts: tuple[OpenAlert, ...]
    sepsis: Prediction | None = None


class _Reading(NamedTuple):
    """A signal's value: when it was observed (s since 1970), whether by a device, in which event."""

    value: Value
    at: float
    device: bool
    event_id: UUID


@dataclass(slots=True)
class _Bed:
    """One patient."""

    readings: dict[str, _Reading] = field(default_factory=dict)
    moved_at: datetime | None = None
    news2: Score | None = None
    scored_at: float = float("-inf")
    trend: dict[int, float] = field(default_factory=dict)
    alerts: dict[UUID, Alert] = field(default_factory=dict)
    sepsis: Prediction | None = None
    place: str = ""


class Ward:
    """Everyone who has been heard of and has not left.

    Attributes
    ----------
    now : datetime or None
        The stream's time: of the last tick, or of the last event where there are none.
    log : deque of Alert
        The latest transitions, the newest last.
    """

    def __init__(self) -> None:
        self.now: datetime | None = None
        self.log: deque[Alert] = deque(maxlen=LOGGED_ALERTS)
        self._beds: dict[str, _Bed] = {}
        self._left: set[str] = set()

    def apply(self, event: Event | Tick | Metrics) -> None:
        """Take a record of any topic in; those the view has no use for change nothing."""
        match event:
            case Tick():
                self._pass(event.observed_at)
            case Admission():
                self._admission(event)
            case Vitals():
                self._vitals(event)
            case Scores():
                self._scores(event)
            case Prediction(model="sepsis"):
                bed = self._bed(event.patient_id)
                if bed is not None and (bed.sepsis is None or event.observed_at >= bed.sepsis.observed_at):
                    bed.sepsis = None if event.silent else event  # what is being tried is not for a ward's eyes
            case Alert():
                self._alert(event)
        if isinstance(event, Event):
            self._pass(event.received_at)

    def rows(self) -> list[BedRow]:
        """Every patient, the worst first: by NEWS2 (a lower bound counts as it is), by open alerts, by place."""
        now = 0.0 if self.now is None else self.now.timestamp()
        rows = [_row(patient_id, bed, now) for patient_id, bed in self._beds.items()]
        return sorted(rows, key=_worst_first)

    def _pass(self, at: datetime) -> None:
        if self.now is None or at > self.now:
            self.now = at

    def _bed(self, patient_id: str) -> _Bed | None:
        """The patient's entry, new if need be; None once they have left."""
        if patient_id in self._left:
            return None
        bed = self._beds.get(patient_id)
        if bed is None:
            bed = self._beds[patient_id] = _Bed()
        return bed

    def _admission(self, event: Admission) -> None:
        if event.status == "cancelled":
            return
        if event.kind in ("admit", "cancel_discharge"):
            self._left.discard(event.patient_id)
        bed = self._bed(event.patient_id)
        if bed is None:
            return
        if bed.moved_at is not None and event.observed_at < bed.moved_at:
            return
        bed.moved_at = event.observed_at
        bed.place = event.bed or event.unit or bed.place
        if event.kind == "discharge":
            self._left.add(event.patient_id)
            del self._beds[event.patient_id]

    def _vitals(self, event: Vitals) -> None:
        bed, at = self._bed(event.patient_id), event.observed_at.timestamp()
        if bed is None:
            return
        if event.supersedes is not None:
            revised = [code for code, reading in bed.readings.items() if reading.event_id == event.supersedes]
            for code in revised:
                del bed.readings[code]
        if event.status == "cancelled":
            return
        for code in _SHOWN:
            value, known = getattr(event, BY_CODE[code].field), bed.readings.get(code)
            if value is not None and (known is None or at >= known.at):
                bed.readings[code] = _Reading(value, at, event.provenance == "device", event.event_id)

    def _scores(self, event: Scores) -> None:
        bed, at = self._bed(event.patient_id), event.observed_at.timestamp()
        if bed is None or at < bed.scored_at:
            return
        bed.scored_at = at
        bed.news2 = next((score for score in event.scores if score.name == "news2"), None)
        step = int(at // TREND_STEP_S)
        if bed.news2 is not None and bed.news2.value is not None:
            bed.trend[step] = bed.news2.value
        for old in [known for known in bed.trend if known <= step - 2 * TREND_STEPS]:
            del bed.trend[old]

    def _alert(self, event: Alert) -> None:
        self.log.append(event)
        bed = self._bed(event.patient_id)
        if bed is None:
            return
        bed.place = bed.place or event.bed or event.unit or ""
        if event.state in ENDED:
            bed.alerts.pop(event.alert_id, None)
        else:
            bed.alerts[event.alert_id] = event


def _row(patient_id: str, bed: _Bed, now: float) -> BedRow:
    signals = {
        code: Seen(reading.value, max(0.0, now - reading.at), reading.at + WINDOWS_S[reading.device][code] <= now)
        for code, reading in bed.readings.items()
    }
    alerts = [
        OpenAlert(
            alert.condition, alert.priority, max(0.0, now - alert.raised_at.timestamp()), alert.state, alert.stale
        )
        for alert in bed.alerts.values()
    ]
    alerts.sort(key=lambda alert: (-RANK[alert.priority], alert.condition))
    return BedRow(bed.place, patient_id, bed.news2, signals, _trend(bed.trend, now), tuple(alerts), bed.sepsis)


def _trend(known: dict[int, float], now: float) -> tuple[float | None, ...]:
    """The last value at the end of each step: a score holds until the next."""
    last = int(now // TREND_STEP_S)
    first = last - TREND_STEPS + 1
    before = [step for step in known if step < first]
    value = known[max(before)] if before else None
    trend = []
    for step in range(first, last + 1):
        value = known.get(step, value)
        trend.append(value)
    return tuple(trend)


def _worst_first(row: BedRow) -> tuple[float, int, str, str]:
    value = -1.0 if row.news2 is None or row.news2.value is None else row.news2.value
    return -value, -max((RANK[alert.priority] for alert in row.alerts), default=0), row.place, row.patient_id
