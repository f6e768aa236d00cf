"""From a changed patient to scores and alerts: the step that vitals, labs, admissions, outcomes and ticks share.

Scores of the bedside follow every event. SOFA and KDIGO's stage follow those that changed something they read, and only
in patients who have laboratory results for them: a heart rate computes neither. A consumer keeps the last of each, so
each is told once more, with its parts missing, when a revision has taken the last of what it is about.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from wardstream.agents import metrics as m
from wardstream.agents.alerting import Judged
from wardstream.agents.patients import PatientBatch, Rules, bins_of, envelope
from wardstream.agents.streams.batch import Received
from wardstream.models.bins import MeasurementSet, Reach
from wardstream.models.labs.flags import news_of
from wardstream.models.labs.history import LabBins, Past, changes
from wardstream.models.patient import Outcome, Patient
from wardstream.models.scores import Kidneys, Observations, kdigo, news2, rule_scores, sofa
from wardstream.models.scores.kdigo import Collection as Urine
from wardstream.models.scores.kdigo import Result as Creatinine
from wardstream.models.scores.sofa import LABS as SOFA_LABS
from wardstream.models.scores.sofa import READS as SOFA_READS
from wardstream.schemas.envelope import Event
from wardstream.schemas.output_id import output_id
from wardstream.schemas.scores import Result, Score, Scores

_ORGANS = frozenset((*SOFA_LABS, "urine"))
_KIDNEYS = frozenset(("creat", "urine", "kg"))  # what KDIGO's stage reads


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

    judged = Judged(batch, key, patient, cause, at, rules)
    judged.scores(scores, current, None if revised is None else recount)
    judged.results(results)
    judged.staleness(current)


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
