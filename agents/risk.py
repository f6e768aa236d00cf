"""The risk model on the lanes: an hour is predicted from, its features wait, and its label is told when it is time.

At the end of each hour of a stay what is known is gathered, at the very moment of the tick. At the end of the batch,
when the deep models have answered, the approved snapshot is asked, its answer is published on `predictions.v1` (model
`risk`) with what each input added to it, an alert is raised or ended, and the hour waits in the patient's rows. While
no snapshot is approved nothing is predicted, but hours wait all the same: a learner has to begin somewhere. When
horizon and grace are over, a tick tells the hour on `training-examples.v1`, with the label that follows from all that
has been reported until then (`models.risk.labels`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import msgspec

from wardstream.agents import metrics as m
from wardstream.agents.alerting import Judged
from wardstream.agents.occupancy import log_of
from wardstream.agents.patients import SOURCE, PatientBatch, PatientRows, Rules, bins_of, envelope, reports_of
from wardstream.agents.streams.batch import Received
from wardstream.models.alerts.life import end
from wardstream.models.patient import Patient
from wardstream.models.risk.features import NAMES, VERSION, Known, gather
from wardstream.models.risk.labels import is_late, report_of
from wardstream.models.risk.platt import probability
from wardstream.models.risk.target import CHAMPION, SERVED, Target
from wardstream.models.risk.waiting import Told, Waiting, WaitingHours
from wardstream.models.signals import HOUR
from wardstream.schemas.outcomes import Outcome
from wardstream.schemas.output_id import output_id
from wardstream.schemas.predictions import Contribution, Prediction
from wardstream.schemas.training_examples import Input, TrainingExample

if TYPE_CHECKING:  # it imports River, and with it SciPy: a second of each command's start
    from wardstream.models.risk.learner import Answer, Learner

NAME: Final = "risk"
EXAMPLES_TOPIC: Final = "training-examples.v1"
WAITING_ROWS: Final = "risk/"
NOT_YET: Final = "0"  # the version while none is approved


class Approved(NamedTuple):
    """The snapshot that answers, which of its models does, and from which probability it alerts; None: it does not."""

    version: str
    learner: Learner
    kind: str = CHAMPION
    alert_from: float | None = None


class Approval(Protocol):
    """Says which snapshot answers now; None: none has been approved."""

    def __call__(self) -> Approved | None: ...


@dataclass(frozen=True)
class Risk:
    """What is predicted, and by whom."""

    target: Target = field(default_factory=Target)
    approved: Approval = lambda: None


class AskedHour(NamedTuple):
    """An hour of a patient to be predicted from: as of when (s since 1970), what was known, and the envelope then."""

    key: str
    cause: Received[Any]
    at: float
    inputs: dict[str, Known]
    envelope: dict[str, Any]


def waiting_hours(batch: PatientBatch, key: str) -> WaitingHours:
    """The patient's hours that wait."""
    return WaitingHours(PatientRows(batch, key, WAITING_ROWS))


def ask(batch: PatientBatch, key: str, patient: Patient, cause: Received[Any], at: float) -> None:
    """Gather what is known at the end of an hour (s since 1970); it is predicted from at the batch's end."""
    inputs = gather(patient, bins_of(batch, key), at)
    batch.leave(AskedHour(key, cause, at, inputs, envelope(key, patient, cause.event, at)))


def predict(batch: PatientBatch, asked: Iterable[AskedHour], risk: Risk, rules: Rules) -> None:
    """Answer for hours, after the deep models have, and have them wait."""
    approved = risk.approved()
    for one in asked:
        if one.key not in batch.state:  # forgotten, or part of another id by now
            continue
        patient = batch.state[one.key]
        inputs = one.inputs | {
            name: Known(round(logit, 4), round(max(0.0, one.at - at) / HOUR, 2))
            for name, (logit, at) in patient.answers.items()
        }
        prediction_id = output_id(one.cause.event.event_id, f"predictions/{NAME}/{one.key}")
        said, before, stay = dict[str, float](), patient.alerts.get(NAME), patient.stay
        if approved is not None:
            answer = approved.learner.answer(inputs, approved.kind)
            said = {approved.kind: answer.probability, SERVED: answer.probability}
            told = _prediction(one, inputs, answer, approved, risk.target, prediction_id)
            if rules.is_silent(NAME, stay.unit):
                told = msgspec.structs.replace(told, silent=True)
            batch.emit("predictions.v1", one.key, told, one.cause)
            batch.count(m.PREDICTIONS, (NAME, told.quality))
            words = f"{told.target.replace('_', ' ')} within {told.horizon_h:g} h"
            Judged(batch, one.key, patient, one.cause, one.at, rules).prediction(told, words, approved.alert_from)
        elif before is not None:
            changes = [end(patient, NAME, "closed", "no model is approved any more")]
            Judged(batch, one.key, patient, one.cause, one.at, rules).publish(changes)
        alert = patient.alerts.get(NAME)
        hours = waiting_hours(batch, one.key)
        hours.add(
            Waiting(
                prediction=prediction_id,
                at=one.at,
                features=VERSION,
                inputs=inputs,
                hour=max(1, round((one.at - (stay.admitted_at or one.at)) / HOUR)),
                version=NOT_YET if approved is None else approved.version,
                said=said,
                encounter_id=stay.encounter_id,
                facility=patient.facility,
                unit=stay.unit,
                alerts=tuple(sorted(patient.alerts)),
                silent=tuple(sorted(name for name, known in patient.alerts.items() if known.silent)),
                alert_id=None if alert is None or alert is before else alert.alert_id,
            )
        )
        keep_told_times(patient, hours, risk.target)


def _prediction(
    one: AskedHour, inputs: dict[str, Known], answer: Answer, approved: Approved, target: Target, prediction_id: Any
) -> Prediction:
    ages = [known.age_h * HOUR for known in inputs.values() if known.age_h is not None]
    return Prediction(
        event_id=prediction_id,
        caused_by=one.cause.event.event_id,
        model=NAME,
        version=approved.version,
        target=target.name,
        horizon_h=target.horizon_h,
        probability=probability(answer.logit),
        calibrated_probability=answer.probability,
        contributions=tuple(_contribution(name, added, inputs.get(name)) for name, added in answer.contributions),
        input_from=datetime.fromtimestamp(one.at - max(ages), UTC) if ages else None,
        input_until=datetime.fromtimestamp(one.at - min(ages), UTC) if ages else None,
        staleness_s=min(ages, default=None),
        missing=tuple(name for name in NAMES if name not in inputs),
        **one.envelope,
    )


def _contribution(name: str, added: float, known: Known | None) -> Contribution:
    age_s = None if known is None or known.age_h is None else known.age_h * HOUR
    return Contribution(
        feature=name, value=None if known is None else known.value, contribution=round(added, 4), age_s=age_s
    )


def report(batch: PatientBatch, event: Outcome, risk: Risk) -> None:
    """Count an outcome that comes when hours before it have been told."""
    if is_late(report_of(event), event.received_at.timestamp(), risk.target):
        batch.count(m.LATE_OUTCOMES, (event.kind,))


def keep_told_times(patient: Patient, hours: WaitingHours, target: Target) -> None:
    """Have the patient woken when the first hour is to be told, and kept until the last one is."""
    ends = hours.ends()
    patient.waiting = None if ends is None else (target.told_at(ends[0]), target.told_at(ends[1]))


def tell(batch: PatientBatch, key: str, patient: Patient, cause: Received[Any], now: float, risk: Risk) -> None:
    """Tell the hours whose time has come, with their labels."""
    if patient.waiting is None or patient.waiting[0] > now:
        return
    hours = waiting_hours(batch, key)
    for told in hours.tell(now, reports_of(batch, key), log_of(batch, key), risk.target):
        batch.emit(EXAMPLES_TOPIC, key, _example(key, told, now, risk.target), cause)
        batch.count(m.EXAMPLES, (told.verdict.label,))
    keep_told_times(patient, hours, risk.target)


def _example(key: str, told: Told, now: float, target: Target) -> TrainingExample:
    waiting, verdict = told
    labels = {"positive": True, "negative": False}
    return TrainingExample(
        event_id=output_id(waiting.prediction, "example"),
        source=SOURCE,
        facility=waiting.facility,
        patient_id=key,
        encounter_id=waiting.encounter_id,
        observed_at=datetime.fromtimestamp(waiting.at, UTC),
        received_at=datetime.fromtimestamp(now, UTC),
        provenance="derived",
        prediction_id=waiting.prediction,
        model=NAME,
        version=waiting.version,
        target=target.name,
        horizon_h=target.horizon_h,
        features=waiting.features,
        inputs={name: Input(value=value, age_h=age_h) for name, (value, age_h) in waiting.inputs.items()},
        hour=waiting.hour,
        unit=waiting.unit,
        label=labels.get(verdict.label),
        why=verdict.why,
        outcome=verdict.kind,
        outcome_at=None if verdict.at is None else datetime.fromtimestamp(verdict.at, UTC),
        said=dict(waiting.said),
        alerts=waiting.alerts,
        silent=waiting.silent,
        alert_id=waiting.alert_id,
    )
