"""From a changed patient to scores and alerts: the step that vitals, labs, admissions, outcomes and ticks share.

Scores of the bedside follow every event. SOFA and KDIGO's stage follow those that changed something they read, and only
in patients who have laboratory results for them: a heart rate computes neither. A consumer keeps the last of each, so
each is told once more, with its parts missing, when a revision has taken the last of what it is about.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from wardstream.agents import metrics as m
from wardstream.agents.streams.batch import Batch, Received
from wardstream.models.alerts import Change, close, judge
from wardstream.models.bins import MeasurementSet, Reach
from wardstream.models.labs.flags import news_of
from wardstream.models.labs.history import LabBins, Past, changes
from wardstream.models.patient import Outcome, Patient
from wardstream.models.scores import Kidneys, Observations, kdigo, news2, rule_scores, sofa
from wardstream.models.scores.kdigo import Collection as Urine
from wardstream.models.scores.kdigo import Result as Creatinine
from wardstream.models.scores.sofa import LABS as SOFA_LABS
from wardstream.models.scores.sofa import READS as SOFA_READS
from wardstream.models.serving import Served
from wardstream.models.signals import BY_CODE
from wardstream.schemas.alerts import Alert, Answer, Evidence
from wardstream.schemas.envelope import Event
from wardstream.schemas.output_id import output_id
from wardstream.schemas.predictions import Prediction
from wardstream.schemas.scores import Reading, Result, Score, Scores
from wardstream.schemas.silent_alerts import SilentAlert

if TYPE_CHECKING:  # it imports this module
    from wardstream.agents.risk import Risk

SOURCE = "wardstream"
_ORGANS = frozenset((*SOFA_LABS, "urine"))
_KIDNEYS = frozenset(("creat", "urine", "kg"))  # what KDIGO's stage reads
PatientBatch = Batch[Any, Patient]
_TOLD = "alerts.v1", Alert, m.ALERTS
_SILENT = "silent-alerts.v1", SilentAlert, m.SILENT_ALERTS


@dataclass(frozen=True)
class Rules:
    """What a site declares, and what handlers ask.

    `never_carried` are parts of NEWS2 that none of its feeds carries. `sepsis` is the served model; None: there is
    none, and nothing is predicted. `risk` is what is learned online; None: nothing is. `is_silent` says of a model and
    a unit (None: not known) whether nobody is to be told of what it raises there.
    """

    never_carried: frozenset[str] = frozenset()
    sepsis: Served | None = None
    risk: Risk | None = None
    is_silent: Callable[[str, str | None], bool] = lambda model, unit: False

    def __post_init__(self) -> None:
        unknown = self.never_carried.difference(Observations.__struct_fields__)
        if unknown:  # a slip of the pen would keep alerts open for ever
            raise ValueError(f"never_carried names no part of a score: {', '.join(sorted(unknown))}")


class PatientRows:
    """A patient's rows of their own of one kind, as `Bins` wants them."""

    __slots__ = ("_batch", "_key", "_kind")

    def __init__(self, batch: Batch[Any, Any], key: str, kind: str) -> None:
        self._batch = batch
        self._key = key
        self._kind = kind

    def get(self, name: str) -> bytes | None:
        return self._batch.state.child(self._key, self._kind + name)

    def put(self, name: str, row: bytes | None) -> None:
        self._batch.state.put_child(self._key, self._kind + name, row)

    def names(self) -> list[str]:
        kind = self._kind
        return [name[len(kind) :] for name in self._batch.state.children(self._key) if name.startswith(kind)]


def bins_of(batch: PatientBatch, key: str, event: Event | None = None) -> LabBins:
    """The hourly bins of a patient, and the results of each analyte; `event` is what will be put into them."""
    preliminary = event.event_id if event is not None and event.status == "preliminary" else None
    return LabBins(PatientRows(batch, key, "bin/"), PatientRows(batch, key, "lab/"), preliminary)


def take_in(
    batch: PatientBatch,
    received: Received[Any],
    measured: MeasurementSet,
    rules: Rules,
    retracted: Collection[str] = (),
) -> Collection[str]:
    """Measure, and rescore if that may have changed a score or what is to be told of a result.

    Returns the codes of the results that were there already and have been revised.
    """
    event, key = received.event, received.event.patient_id
    patient, bins = batch.state[key], bins_of(batch, key, event)
    # A preliminary set and its final one are of one time; there are many, and most are alone.
    paired = event.status == "preliminary" or (event.status == "final" and event.supersedes is not None)
    reach: Reach = "its hour" if paired else "everywhere"
    taken = patient.measure(bins, measured, event.supersedes, reach, retracted)
    if event.status in ("corrected", "cancelled") or taken.outcome in ("revised", "already_revised"):
        batch.count(m.REVISIONS, (taken.outcome,))
    # Histories look back further than bins: a baseline of five days ago may be revised there alone.
    older = taken.outcome == "unknown_original" and any(
        event.supersedes in (one.event_id, *one.revised) for past in bins.before.values() for one in past
    )
    revised = taken.outcome == "revised" or older
    results = news(bins, patient, taken.outcome) if bins.before else ()
    if taken.changed or results or older:
        for result in results:
            for flag in result.flags:
                batch.count(m.LAB_FLAGS, (result.name, flag.kind))
        codes = None if revised else measured.values.keys()
        rescore(batch, key, patient, received, rules, bins if revised else None, codes, results)
    return bins.before.keys() if revised else ()


def news(bins: LabBins, patient: Patient, outcome: Outcome) -> tuple[Result, ...]:
    """What is to be told of results that have changed. One that came after a newer one changes nothing by itself."""
    found = []
    for code, (before, after) in changes(bins).items():
        if outcome == "revised" or _newest(before) != _newest(after):
            result = news_of(code, before, after, patient.stay.age_years)
            if result is not None:
                found.append(result)
    return tuple(found)


def _newest(results: Sequence[Past]) -> Past | None:
    return results[-1] if results else None


def rescore(
    batch: PatientBatch,
    key: str,
    patient: Patient,
    cause: Received[Any],
    rules: Rules,
    revised: LabBins | None = None,
    codes: Collection[str] | None = None,
    results: tuple[Result, ...] = (),
) -> None:
    """Compute the rule scores as of now, publish them, and raise or end alerts.

    Now is the newest time that anything says: the patient's events, the last scores, or the event at hand. `revised`
    are the patient's bins if the event has corrected something in them; `codes` are the signals that it measured, None
    if others may have changed as well (time has passed); `results` are published with the scores.
    """
    event = cause.event
    if isinstance(event, Event) and event.facility is not None:
        patient.facility = event.facility  # for what ticks will bring about
    at = patient.scored = max(patient.heard, patient.scored, event.received_at.timestamp())
    current = patient.current(at)
    seen = patient.observations(current)
    scores = rule_scores(seen) + _organs(batch, key, patient, seen, at, codes, revised)
    for score in scores:
        batch.count(m.SCORES, (score.name, "yes" if score.complete else "no"))
    about = envelope(key, patient, event, at)
    published = Scores(
        event_id=output_id(event.event_id, f"scores/{key}"),
        caused_by=event.event_id,
        scores=scores,
        results=results,
        **about,
    )
    batch.emit("scores.v1", key, published, cause)

    def recount(then: float) -> Score | None:
        signals = None if revised is None else patient.as_of(revised, then)
        return None if signals is None else news2(patient.observations(signals))

    again = None if revised is None else recount
    changes = judge(key, patient, scores[0], current, at, event.event_id, rules.never_carried, again)
    publish_alerts(batch, key, patient, cause, at, changes, scores[0])


def _organs(
    batch: PatientBatch,
    key: str,
    patient: Patient,
    seen: Observations,
    at: float,
    codes: Collection[str] | None,
    revised: LabBins | None,
) -> tuple[Score, ...]:
    """SOFA and KDIGO's stage, each if something it reads may have changed and the patient has what it is about, or had
    it before it was revised."""
    had = frozenset[str]() if revised is None else revised.before.keys()
    known = patient.signals.keys() | had
    if known.isdisjoint(_ORGANS):  # so it is for most patients
        return ()
    found: tuple[Score, ...] = ()
    if (codes is None or not SOFA_READS.isdisjoint(codes)) and not known.isdisjoint(SOFA_LABS):
        found = (sofa(seen),)
    if codes is None or not _KIDNEYS.isdisjoint(codes):
        bins = bins_of(batch, key)
        creatinine = [Creatinine(one.at, one.value) for one in bins.past("creat")]
        urine = [Urine(one.at, one.value, one.period_h) for one in bins.past("urine")]
        if creatinine or urine or not _KIDNEYS.isdisjoint(had):
            found += (kdigo(Kidneys(at, creatinine, urine, seen.weight_kg, seen.age_years)),)
    return found


def expire(batch: PatientBatch, key: str, patient: Patient, cause: Received[Any], why: str) -> None:
    """End every open alert of a patient of whom nothing more is expected."""
    at = max(patient.heard, patient.scored, cause.event.received_at.timestamp())
    publish_alerts(batch, key, patient, cause, at, close(patient, why))


def publish_alerts(
    batch: PatientBatch,
    key: str,
    patient: Patient,
    cause: Received[Any],
    at: float,
    changes: Sequence[Change],
    score: Score | None = None,
    prediction: Prediction | None = None,
) -> None:
    """Write the transitions of a patient's alerts, with what they were decided from; silent ones go elsewhere."""
    answer = None
    if prediction is not None:
        probability = prediction.calibrated_probability
        assert probability is not None, "an abstention decides nothing"
        answer = Answer(
            event_id=prediction.event_id,
            model=prediction.model,
            version=prediction.version,
            calibrated_probability=probability,
            horizon_h=prediction.horizon_h,
            contributions=prediction.contributions,
        )
    for change in changes:
        alert, decided = change.alert, change.condition == "news2" and change.transition != "expired"
        signals = patient.current(at) if change.condition == "news2" else patient.signals
        evidence = Evidence(
            caused_by=cause.event.event_id,
            score=score if decided else None,
            prediction=answer,
            values={
                BY_CODE[code].field: Reading(value=latest.value, observed_at=datetime.fromtimestamp(latest.at, UTC))
                for code, latest in signals.items()
            },
        )
        topic, kind, metric = _SILENT if alert.silent else _TOLD
        transition = kind(
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
            **envelope(key, patient, cause.event, at),
        )
        batch.count(metric, (change.condition, change.transition))
        lane = None if alert.raised_by is None else batch.lane_of(alert.raised_by)
        batch.emit(topic, str(alert.alert_id), transition, cause, lane)


def envelope(key: str, patient: Patient, event: Any, at: float) -> dict[str, Any]:
    """What every output about a patient carries, as of a time (s since 1970)."""
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
