"""predictions.v1: what the deep model `sepsis` is asked about the patients of a batch, all of them at once.

A patient is asked about at the end of each hour of the stay and on each new result. The inputs are taken from the
state at that very moment; the model server is asked at the end, when all topics of the lane's batch have been gone
through. It answers within the client's deadline or the prediction is `degraded`: made from NEWS2 by a curve fitted
beside the model. Who knows too little abstains, and says why. So nothing is left out in silence, and of a server that
does not answer a batch waits for one deadline.

What a prediction means for the patient's alert is judged then too: of who has left meanwhile it raises none.

An hour's prediction is as of the end of that hour: its tick comes up to a minute later, so that what was measured at
the very end has come too.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from wardstream.agents import metrics as m
from wardstream.agents.scoring import PatientBatch, Rules, bins_of, envelope, publish_alerts
from wardstream.agents.streams.batch import Handler, Received
from wardstream.models import sepsis
from wardstream.models.alerts import judge_sepsis
from wardstream.models.patient import Patient
from wardstream.models.scores import news2
from wardstream.models.sepsis import Abstained, Prepared, Who
from wardstream.models.serving import Answered, Served
from wardstream.models.signals import FIELDS
from wardstream.schemas.output_id import output_id
from wardstream.schemas.predictions import Contribution, Prediction

EXPLAINED = 16  # patients of a batch; each takes some fifteen rows


class Asked(NamedTuple):
    """One prediction to be made: of whom, why, as of when (s since 1970), from what; NEWS2 and the envelope then."""

    key: str
    cause: Received[Any]
    at: float
    prepared: Prepared | Abstained
    news2: float | None
    envelope: dict[str, Any]


def ask(batch: PatientBatch, key: str, patient: Patient, cause: Received[Any], at: float) -> None:
    """Take the inputs of a prediction as of a time from the state as it is now; it is made at the batch's end."""
    stay, bins = patient.stay, bins_of(batch, key)
    prepared = sepsis.prepare(bins, Who(stay.admitted_at, stay.age_years, stay.sex), at)
    score = news2(patient.observations(patient.current(at)))
    known = score.value if score.parts else None
    batch.leave(Asked(key, cause, at, prepared, known, envelope(key, patient, cause.event, at)))


def at_end(rules: Rules) -> Handler:
    """What the worker's lanes do at the end of a batch."""

    async def predict(batch: PatientBatch) -> None:
        """Ask the model about all of them, publish what it says, and raise or end alerts."""
        served, asked = rules.sepsis, batch.outputs.left
        if served is None:
            return
        answers = await _answers(asked, served)
        reasons = await _explained(asked, answers, served)
        for index, (one, answer) in enumerate(zip(asked, answers, strict=True)):
            _tell(batch, one, answer, served, reasons.get(index, ()))

    return predict


async def _answers(asked: Sequence[Asked], served: Served) -> list[Answered]:
    """What is said to each: the model's answer, NEWS2's in its place, or why there is none."""
    rows = [one.prepared for one in asked if isinstance(one.prepared, Prepared)]
    said = iter(await served.ask(rows))
    answers: list[Answered] = []
    for one in asked:
        if isinstance(one.prepared, Abstained):
            answers.append(Answered("abstained", sepsis.SAID[one.prepared.why]))
        else:
            answer = next(said)
            answers.append(served.fall_back(one.news2, answer) if isinstance(answer, str) else answer)
    return answers


async def _explained(
    asked: Sequence[Asked], answers: Sequence[Answered], served: Served
) -> dict[int, tuple[Contribution, ...]]:
    """Why, for the first `EXPLAINED` answers that are alerts; without an explanation an answer is still one."""
    matter: dict[int, tuple[Prepared, Answered]] = {}
    for index, (one, answer) in enumerate(zip(asked, answers, strict=True)):
        if isinstance(one.prepared, Prepared) and served.is_alert(answer) and len(matter) < EXPLAINED:
            matter[index] = one.prepared, answer
    return dict(zip(matter, await served.explain(list(matter.values())), strict=True))


def _tell(batch: PatientBatch, one: Asked, answer: Answered, served: Served, reasons: tuple[Contribution, ...]) -> None:
    """Publish a prediction, and what it means for the patient's alert."""
    event = one.cause.event
    prepared = one.prepared if isinstance(one.prepared, Prepared) else None
    until = None if prepared is None else prepared.input_until
    prediction = Prediction(
        event_id=output_id(event.event_id, f"predictions/{sepsis.NAME}/{one.key}"),
        caused_by=event.event_id,
        model=sepsis.NAME,
        version=answer.version or served.version,
        target=sepsis.TARGET,
        horizon_h=sepsis.HORIZON_H,
        quality=answer.quality,
        reason=answer.reason,
        probability=answer.probability,
        calibrated_probability=answer.calibrated,
        contributions=reasons,
        input_from=None if prepared is None else datetime.fromtimestamp(prepared.input_from, UTC),
        input_until=None if until is None else datetime.fromtimestamp(until, UTC),
        staleness_s=None if until is None else max(0.0, one.at - until),
        missing=() if prepared is None else tuple(FIELDS[code] for code in prepared.missing),
        **one.envelope,
    )
    batch.emit("predictions.v1", one.key, prediction, one.cause)
    batch.count(m.PREDICTIONS, (sepsis.NAME, answer.quality))
    if answer.calibrated is not None:
        batch.count(m.PREDICTED, (sepsis.NAME, m.up_to(answer.calibrated)))
    if answer.quality == "ok" and answer.version is not None and answer.calibrated is not None:
        threshold = served.threshold(answer.version)
        if threshold is not None and one.key in batch.state:  # not forgotten meanwhile
            patient = batch.state[one.key]
            changes = judge_sepsis(one.key, patient, answer.calibrated, threshold, one.at, event)
            publish_alerts(batch, one.key, patient, one.cause, one.at, changes, prediction=prediction)
