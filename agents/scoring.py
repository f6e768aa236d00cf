"""From a changed patient to scores and alerts: the step that vitals, labs, admissions, outcomes and ticks share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from wardstream.agents import metrics as m
from wardstream.agents.streams.batch import Batch, Received, output_id
from wardstream.models.alerts import Change, judge
from wardstream.models.bins import Bins
from wardstream.models.patient import Latest, Patient
from wardstream.models.scores import rule_scores
from wardstream.models.signals import BY_CODE
from wardstream.schemas.alerts import Alert, Evidence, Reading
from wardstream.schemas.envelope import Event
from wardstream.schemas.scores import Score, Scores

SOURCE = "wardstream"
PatientBatch = Batch[Any, Patient]


@dataclass(frozen=True)
class Rules:
    """What a site declares. `never_carried` are parts of NEWS2 that none of its feeds carries."""

    never_carried: frozenset[str] = frozenset()


class PatientRows:
    """A patient's rows of their own, as `Bins` wants them."""

    __slots__ = ("_batch", "_key")

    def __init__(self, batch: PatientBatch, key: str) -> None:
        self._batch = batch
        self._key = key

    def get(self, name: str) -> bytes | None:
        return self._batch.state.child(self._key, f"bin/{name}")

    def put(self, name: str, row: bytes | None) -> None:
        self._batch.state.put_child(self._key, f"bin/{name}", row)

    def names(self) -> list[str]:
        return [name[4:] for name in self._batch.state.children(self._key) if name.startswith("bin/")]


def bins_of(batch: PatientBatch, key: str) -> Bins:
    """The hourly bins of a patient."""
    return Bins(PatientRows(batch, key))


def rescore(
    batch: PatientBatch, key: str, patient: Patient, cause: Received[Any], rules: Rules, revises: UUID | None = None
) -> None:
    """Compute every rule score at the patient's clock, publish them, and raise or end alerts."""
    event = cause.event
    at = patient.clock
    current = patient.current(at)
    scores = rule_scores(patient.observations(current))
    for score in scores:
        batch.count(m.SCORES, (score.name, "yes" if score.complete else "no"))
    batch.emit("scores.v1", key, _scores(key, patient, event, at, scores), cause)
    for change in judge(patient, scores[0], current, at, event.event_id, revises, rules.never_carried):
        batch.count(m.ALERTS, (change.condition, change.transition))
        alert = _alert(key, patient, event, at, change, scores[0], current)
        batch.emit("alerts.v1", str(alert.alert_id), alert, cause)


def _scores(key: str, patient: Patient, event: Any, at: float, scores: tuple[Score, ...]) -> Scores:
    return Scores(
        event_id=output_id(event.event_id, f"scores/{key}"),
        patient_id=key,
        observed_at=datetime.fromtimestamp(at, UTC),
        caused_by=event.event_id,
        scores=scores,
        **_envelope(patient, event),
    )


def _alert(
    key: str, patient: Patient, event: Any, at: float, change: Change, score: Score, current: dict[str, Latest]
) -> Alert:
    alert = change.alert
    readings = {
        BY_CODE[code].field: Reading(value=latest.value, observed_at=datetime.fromtimestamp(latest.at, UTC))
        for code, latest in (current if change.condition == "news2" else patient.signals).items()
    }
    return Alert(
        event_id=output_id(alert.alert_id, str(alert.transitions)),
        patient_id=key,
        observed_at=datetime.fromtimestamp(at, UTC),
        alert_id=alert.alert_id,
        condition=change.condition,
        transition=change.transition,
        priority=alert.priority,
        raised_at=datetime.fromtimestamp(alert.raised_at, UTC),
        reason=change.reason,
        evidence=Evidence(
            caused_by=event.event_id, score=score if change.condition == "news2" else None, values=readings
        ),
        unit=patient.stay.unit,
        bed=patient.stay.bed,
        **_envelope(patient, event),
    )


def _envelope(patient: Patient, event: Any) -> dict[str, Any]:
    about = event if isinstance(event, Event) else None  # a tick is about no patient
    return {
        "source": SOURCE,
        "facility": None if about is None else about.facility,
        "encounter_id": patient.stay.encounter_id if about is None else about.encounter_id,
        "received_at": event.received_at,
        "provenance": "derived",
        "trace": None if about is None else about.trace,
    }
