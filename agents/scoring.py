"""From a changed patient to scores and alerts: the step that vitals, labs, admissions, outcomes and ticks share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from wardstream.agents import metrics as m
from wardstream.agents.streams.batch import Batch, Received
from wardstream.models.alerts import Change, close, judge
from wardstream.models.bins import Bins, MeasurementSet
from wardstream.models.patient import Patient
from wardstream.models.scores import Observations, news2, rule_scores
from wardstream.models.signals import BY_CODE
from wardstream.schemas.alerts import Alert, Evidence, Reading
from wardstream.schemas.envelope import Event
from wardstream.schemas.output_id import output_id
from wardstream.schemas.scores import Score, Scores

SOURCE = "wardstream"
PatientBatch = Batch[Any, Patient]


@dataclass(frozen=True)
class Rules:
    """What a site declares. `never_carried` are parts of NEWS2 that none of its feeds carries."""

    never_carried: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        unknown = self.never_carried.difference(Observations.__struct_fields__)
        if unknown:  # a slip of the pen would keep alerts open for ever
            raise ValueError(f"never_carried names no part of a score: {', '.join(sorted(unknown))}")


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


def take_in(batch: PatientBatch, received: Received[Any], measured: MeasurementSet, rules: Rules) -> None:
    """Measure, and rescore if that may have changed a score."""
    event, key = received.event, received.event.patient_id
    patient, bins = batch.state[key], bins_of(batch, key)
    taken = patient.measure(bins, measured, event.supersedes)
    if event.supersedes is not None or taken.outcome == "already_revised":
        batch.count(m.REVISIONS, (taken.outcome,))
    if taken.changed:
        rescore(batch, key, patient, received, rules, bins if taken.outcome == "revised" else None)


def rescore(
    batch: PatientBatch, key: str, patient: Patient, cause: Received[Any], rules: Rules, revised: Bins | None = None
) -> None:
    """Compute every rule score as of now, publish them, and raise or end alerts.

    Now is the newest time that anything says: the patient's events, the last scores, or the event at hand. `revised`
    are the patient's bins if the event has corrected something in them.
    """
    event = cause.event
    if isinstance(event, Event) and event.facility is not None:
        patient.facility = event.facility  # for what ticks will bring about
    at = patient.scored = max(patient.heard, patient.scored, event.received_at.timestamp())
    current = patient.current(at)
    scores = rule_scores(patient.observations(current))
    for score in scores:
        batch.count(m.SCORES, (score.name, "yes" if score.complete else "no"))
    envelope = _envelope(key, patient, event, at)
    published = Scores(
        event_id=output_id(event.event_id, f"scores/{key}"), caused_by=event.event_id, scores=scores, **envelope
    )
    batch.emit("scores.v1", key, published, cause)

    def recount(then: float) -> Score | None:
        signals = None if revised is None else patient.as_of(revised, then)
        return None if signals is None else news2(patient.observations(signals))

    again = None if revised is None else recount
    changes = judge(key, patient, scores[0], current, at, event.event_id, rules.never_carried, again)
    _publish(batch, key, patient, cause, at, changes, scores[0])


def expire(batch: PatientBatch, key: str, patient: Patient, cause: Received[Any], why: str) -> None:
    """End every open alert of a patient of whom nothing more is expected."""
    at = max(patient.heard, patient.scored, cause.event.received_at.timestamp())
    _publish(batch, key, patient, cause, at, close(patient, why), None)


def _publish(
    batch: PatientBatch,
    key: str,
    patient: Patient,
    cause: Received[Any],
    at: float,
    changes: Sequence[Change],
    score: Score | None,
) -> None:
    for change in changes:
        alert, decided = change.alert, change.condition == "news2" and change.transition != "expired"
        signals = patient.current(at) if change.condition == "news2" else patient.signals
        evidence = Evidence(
            caused_by=cause.event.event_id,
            score=score if decided else None,
            values={
                BY_CODE[code].field: Reading(value=latest.value, observed_at=datetime.fromtimestamp(latest.at, UTC))
                for code, latest in signals.items()
            },
        )
        transition = Alert(
            event_id=output_id(alert.alert_id, str(alert.transitions)),
            alert_id=alert.alert_id,
            condition=change.condition,
            transition=change.transition,
            priority=alert.priority,
            raised_at=datetime.fromtimestamp(alert.raised_at, UTC),
            reason=change.reason,
            evidence=evidence,
            unit=patient.stay.unit,
            bed=patient.stay.bed,
            **_envelope(key, patient, cause.event, at),
        )
        batch.count(m.ALERTS, (change.condition, change.transition))
        batch.emit("alerts.v1", str(alert.alert_id), transition, cause)


def _envelope(key: str, patient: Patient, event: Any, at: float) -> dict[str, Any]:
    about = event if isinstance(event, Event) else None  # a tick is about no patient
    now = datetime.fromtimestamp(at, UTC)  # never later than received_at, or consumers would refuse it as of the future
    return {
        "source": SOURCE,
        "facility": patient.facility,
        "patient_id": key,
        "encounter_id": patient.stay.encounter_id if about is None else about.encounter_id or patient.stay.encounter_id,
        "observed_at": now,
        "received_at": now,
        "provenance": "derived",
        "trace": None if about is None else about.trace,
    }
