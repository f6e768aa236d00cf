"""One patient's day, as the page draws it: curves, answers with what they stand on, findings, alerts, moves."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from wardstream.infra.board.patient import QUALITIES, Answers, Life, Patient, spoken
from wardstream.infra.board.series import Line
from wardstream.infra.board.shelf import Audience
from wardstream.infra.board.tiles import moment
from wardstream.infra.board.words import sentence
from wardstream.schemas.findings import Finding
from wardstream.schemas.predictions import Contribution

LONGEST_H: Final = 24


def chart(
    patient: Patient, hours: int, now: float, audience: Audience, pictures: Callable[[str], bool]
) -> dict[str, Any]:
    """The answer of `GET /v1/board/patients/{id}`, but for its tile.

    Parameters
    ----------
    hours : int
        How far back.
    pictures : callable
        Whether the picture that a URI names could be shown.
    """
    begin = now - 3600.0 * hours
    return {
        "patient_id": patient.patient_id,
        "vitals": {
            name: points
            for name, line in patient.vitals.items()
            if (points := [(moment(at), spoken(name, value)) for at, value in line.since(begin)])
        },
        "labs": {
            name: {
                "unit": analyte.unit,
                "points": [
                    (moment(one.at), one.value, one.flag, one.preliminary) for one in analyte.results if one.at >= begin
                ],
            }
            for name, analyte in patient.labs.items()
        },
        "scores": {name: _steps(*lines, begin) for name, lines in patient.scores.items()},
        "predictions": [
            _answers(one, begin)
            for (_, silent), one in sorted(patient.answers.items())
            if audience.operator or not silent
        ],
        "findings": [_finding(patient, one, pictures) for one in reversed(patient.findings.values())],
        "alerts": [
            found
            for life in patient.alerts.values()
            if (audience.operator or not life.row.silent) and (found := _life(life, begin, audience)) is not None
        ],
        "moves": [(moment(one.at), one.unit, one.bed) for one in patient.moves],
    }


def _steps(values: Line, complete: Line, begin: float) -> list[Any]:
    """A score holds until the next: the one before the beginning is told, too."""
    found: list[Any] = []
    for at, value, whole in zip(values.times, values.values, complete.values, strict=True):
        point = moment(max(at, begin)), _number(value), bool(whole)
        if at < begin:
            found = [point]
        else:
            found.append(point)
    return found


def _answers(one: Answers, begin: float) -> dict[str, Any]:
    latest = one.latest
    quality = dict(one.quality.since(begin))
    return {
        "model": latest.model,
        "version": latest.version,
        "target": latest.target,
        "horizon_h": latest.horizon_h,
        "silent": latest.silent,
        "points": [(moment(at), _number(p), QUALITIES[int(quality.get(at, 0.0))]) for at, p in one.line.since(begin)],
        "latest": {
            "at": latest.observed_at,
            "probability": latest.calibrated_probability,
            "quality": latest.quality,
            "reason": latest.reason,
            "contributions": [_contribution(added) for added in latest.contributions],
            "missing": latest.missing,
        },
    }


def _contribution(one: Contribution) -> dict[str, Any]:
    return {
        "feature": one.feature,
        "value": one.value,
        "text": one.text,
        "age_s": one.age_s,
        "contribution": one.contribution,
        "words": sentence(one),
    }


def _finding(patient: Patient, one: Finding, pictures: Callable[[str], bool]) -> dict[str, Any]:
    image = patient.images.get(one.caused_by)
    uri = None if image is None else image.pixels_uri
    return {
        "finding_id": one.event_id,
        "model": one.model,
        "version": one.version,
        "finding": one.finding,
        "calibrated_probability": one.calibrated_probability,
        "quality": one.quality,
        "reason": one.reason,
        "caveat": one.caveat,
        "age_note": one.age_note,
        "region": one.region,
        "location": one.location,
        "observed_at": one.observed_at,
        "image": uri is not None and one.quality != "abstained" and pictures(uri),
        "saliency": one.saliency_uri is not None and pictures(one.saliency_uri),
    }


def _life(life: Life, begin: float, audience: Audience) -> dict[str, Any] | None:
    """An alert's transitions, those in units that are seen; None: there are none, or it ended before."""
    if not life.open and life.marks[-1].at < begin:
        return None
    marks = [(moment(one.at), one.transition, one.priority) for one in life.marks if audience.sees(one.unit)]
    alert = life.row.alert
    if not marks:
        return None
    return {
        "alert_id": alert.alert_id,
        "condition": alert.condition,
        "kind": alert.kind,
        "state": alert.state,
        "silent": life.row.silent,
        "marks": marks,
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
