"""predictions.v1: what the deep model `sepsis` is asked about the patients of a batch, all of them at once.

A patient is asked about at the end of each hour of the stay and on each new, corrected or cancelled result: an alert
that stood on a result must not outlive it for an hour. The inputs are taken from the state at that very moment; the
model server is asked at the end, when all topics of the lane's batch have been gone through. It answers within the
client's deadline or the prediction is `degraded`: made from NEWS2 by a curve fitted beside the model. Who knows too
little abstains, and says why. So nothing is left out in silence, and of a server that does not answer a batch waits
for its turn and one deadline.

What a prediction means for the patient's alert is judged then too: of who has left meanwhile it raises none.

An hour's prediction is as of the end of that hour: its tick comes up to a minute later, so that what was measured at
the very end has come too.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from wardstream.agents import metrics as m
from wardstream.agents import risk
from wardstream.agents.alerting import Judged
from wardstream.agents.measuring import up_to
from wardstream.agents.patients import PatientBatch, Rules, bins_of, envelope
from wardstream.agents.streams.batch import Handler, Received
from wardstream.models import sepsis
from wardstream.models.patient import Patient
from wardstream.models.risk.features import SEPSIS
from wardstream.models.risk.platt import log_odds
from wardstream.models.scores import news2
from wardstream.models.sepsis import Abstained, Prepared, Who
from wardstream.models.serving import Answered, Served
from wardstream.models.signals import FIELDS
from wardstream.schemas.output_id import output_id
from wardstream.schemas.predictions import Contribution, Prediction

WORDS = f"sepsis within {sepsis.HORIZON_H:g} h"
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
        left = batch.outputs.left
        if rules.sepsis is not None:
            await _ask_sepsis(batch, [one for one in left if isinstance(one, Asked)], rules.sepsis, rules)
        if rules.risk is not None:
            risk.predict(batch, [one for one in left if isinstance(one, risk.AskedHour)], rules.risk, rules)

    return predict


async def _ask_sepsis(batch: PatientBatch, asked: Sequence[Asked], served: Served, rules: Rules) -> None:
    answers = await _answers(asked, served)
    reasons = await _explained(batch, asked, answers, served)
    for index, (one, answer) in enumerate(zip(asked, answers, strict=True)):
        known = one.key in batch.state  # else forgotten meanwhile
        silent = rules.is_silent(sepsis.NAME, batch.state[one.key].stay.unit if known else None)
        prediction = _tell(batch, one, answer, served, reasons.get(index, ()), silent)
        if known:
            _judge(batch, one, answer, served, prediction, rules)


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
    batch: PatientBatch, asked: Sequence[Asked], answers: Sequence[Answered], served: Served
) -> dict[int, tuple[Contribution, ...]]:
    """Why, for `EXPLAINED` of the answers that are alerts, those of patients without an open one first."""

    def has_one(index: int) -> bool:
        key = asked[index].key
        return key in batch.state and sepsis.NAME in batch.state[key].alerts

    rows = {
        index: (one.prepared, answer)
        for index, (one, answer) in enumerate(zip(asked, answers, strict=True))
        if isinstance(one.prepared, Prepared) and served.is_alert(answer)
    }
    matter = sorted(rows, key=has_one)[:EXPLAINED]
    return dict(zip(matter, await served.explain([rows[index] for index in matter]), strict=True))


def _tell(
    batch: PatientBatch,
    one: Asked,
    answer: Answered,
    served: Served,
    reasons: tuple[Contribution, ...],
    silent: bool,
) -> Prediction:
    """Publish a prediction."""
    event = one.cause.event
    prepared = one.prepared if isinstance(one.prepared, Prepared) else one.prepared.known
    times = (
        None
        if prepared is None or prepared.input_from > prepared.input_until
        else (prepared.input_from, prepared.input_until)
    )
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
        input_from=None if times is None else datetime.fromtimestamp(times[0], UTC),
        input_until=None if times is None else datetime.fromtimestamp(times[1], UTC),
        staleness_s=None if times is None else max(0.0, one.at - times[1]),
        missing=() if prepared is None else tuple(FIELDS[code] for code in prepared.missing),
        silent=silent,
        **one.envelope,
    )
    batch.emit("predictions.v1", one.key, prediction, one.cause)
    batch.count(m.PREDICTIONS, (sepsis.NAME, answer.quality))
    if answer.calibrated is not None:
        batch.count(m.PREDICTED, (sepsis.NAME, up_to(answer.calibrated)))
    return prediction


def _judge(
    batch: PatientBatch, one: Asked, answer: Answered, served: Served, prediction: Prediction, rules: Rules
) -> None:
    """What a prediction means for the alert of a patient who is known still, and for the risk model."""
    patient, threshold = batch.state[one.key], None
    if answer.quality == "ok" and answer.version is not None and answer.calibrated is not None:
        patient.answers[SEPSIS] = (log_odds(answer.calibrated), one.at)
        threshold = served.threshold(answer.version)
    Judged(batch, one.key, patient, one.cause, one.at, rules).prediction(prediction, WORDS, threshold)
