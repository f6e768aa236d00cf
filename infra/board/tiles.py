"""What a patient's tile says: read off the tables, for everybody and, where models are silent, for operators apart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import msgspec
from msgspec import Struct

from wardstream.infra.board.patient import Answers, Life, Patient, Value
from wardstream.schemas.alerts import Priority
from wardstream.schemas.model_controls import ModelControl
from wardstream.schemas.predictions import Quality

SHOWN: Final = (
    *("respiratory_rate_per_min", "spo2_percent", "supplemental_oxygen", "oxygen_flow_l_per_min", "oxygen_device"),
    *("fio2_fraction", "systolic_mmhg", "diastolic_mmhg", "heart_rate_bpm", "temperature_celsius", "consciousness"),
)
"""Vital signs of a tile."""
TREND_S: Final = 12 * 3600.0
TREND_POINTS: Final = 24
_STEP_S: Final = TREND_S / TREND_POINTS
RANK: Final[dict[Priority, int]] = {"high": 3, "medium": 2, "low": 1}
_QUALITY: Final[dict[Quality, int]] = {"ok": 0, "degraded": 1, "abstained": 2}
_FIRST: Final = "sepsis"  # of models that are as good

encode = msgspec.json.Encoder().encode


class News2(Struct, frozen=True, kw_only=True):
    """NEWS2 as it was published."""

    value: float | None
    complete: bool
    parts: Mapping[str, float]
    missing: tuple[str, ...]
    at: datetime
    band: str | None
    not_applicable: str | None


class Risk(Struct, frozen=True, kw_only=True):
    """The answer that is shown of the models', and how it went; `trend` is a value each half hour at most."""

    model: str
    version: str
    target: str
    horizon_h: float
    probability: float | None
    trend: list[tuple[datetime, float]]
    quality: Quality
    reason: str | None
    at: datetime
    silent: bool


class Seen(Struct, frozen=True):
    """A vital sign's newest value."""

    value: Value
    at: datetime


class Tile(Struct, frozen=True, kw_only=True):
    """One patient."""

    patient_id: str
    unit: str | None
    room: str | None
    bed: str | None
    since: datetime | None
    admitted_at: datetime | None
    age_years: float | None
    sex: str | None
    code_status: str | None
    comfort_until: datetime | None
    news2: News2 | None
    risk: Risk | None
    values: dict[str, Seen]
    alerts: list[UUID]
    priority: Priority | None
    stale: bool
    degraded: bool
    silent: bool
    rank: float


def tile(patient: Patient, controls: Mapping[str, ModelControl], now: float, operator: bool) -> Tile:
    """A patient's tile.

    Parameters
    ----------
    controls : mapping
        Where models are silent.
    now : float
        The ward's time, s since 1970.
    operator : bool
        Who reads is an operator: is shown what silent models say, too.
    """
    place = patient.place
    alerts = shown_alerts(patient, operator)
    shown = best_answer(patient, operator)
    news2 = _news2(patient)
    priority = next((life.row.alert.priority for life in alerts if not life.row.silent), None)
    comfort = max((until for until in patient.comfort.values() if until > now), default=None)
    return Tile(
        patient_id=patient.patient_id,
        unit=None if place is None else place.unit,
        room=None if place is None else place.room,
        bed=None if place is None else place.bed,
        since=None if place is None else place.since,
        admitted_at=None if place is None else place.admitted_at,
        age_years=None if place is None else place.age_years,
        sex=None if place is None else place.sex,
        code_status=None if patient.code_status is None else patient.code_status[1],
        comfort_until=None if comfort is None else moment(comfort),
        news2=news2,
        risk=None if shown is None else _risk(shown),
        values={
            name: Seen(latest[1], moment(latest[0])) for name in SHOWN if (latest := patient.latest(name)) is not None
        },
        alerts=[life.row.alert.alert_id for life in alerts],
        priority=priority,
        stale=any(life.row.alert.stale or life.row.alert.kind == "staleness" for life in alerts),
        degraded=shown is not None and shown.latest.quality != "ok",
        silent=any(control.is_silent(patient.unit) for control in controls.values())
        or any(life.row.silent for life in alerts),
        rank=_rank(priority, news2, shown),
    )


def shown_alerts(patient: Patient, operator: bool) -> list[Life]:
    """Open alerts: those that are told before silent ones, the worst first, then the newest."""
    found = [life for life in patient.alerts.values() if life.open and (operator or not life.row.silent)]
    return sorted(found, key=_alert_order)


def _alert_order(life: Life) -> tuple[bool, int, float]:
    alert = life.row.alert
    return life.row.silent, -RANK[alert.priority], -alert.raised_at.timestamp()


def best_answer(patient: Patient, operator: bool) -> Answers | None:
    """Which model's answer a tile has: one that is not silent, of these the best in quality."""
    found = [one for (_, silent), one in patient.answers.items() if operator or not silent]
    return min(found, key=lambda one: _answer_order(one.latest.silent, one), default=None)


def _answer_order(silent: bool, one: Answers) -> tuple[bool, int, bool, str]:
    latest = one.latest
    return silent, _QUALITY[latest.quality], latest.model != _FIRST, latest.model


def moment(at: float) -> datetime:
    """A time of s since 1970."""
    return datetime.fromtimestamp(at, UTC)


def _news2(patient: Patient) -> News2 | None:
    if patient.news2 is None:
        return None
    at, score = patient.news2
    return News2(
        value=score.value,
        complete=score.complete,
        parts=score.parts,
        missing=score.missing,
        at=moment(at),
        band=score.band,
        not_applicable=score.not_applicable,
    )


def _risk(answers: Answers) -> Risk:
    latest = answers.latest
    end = latest.observed_at.timestamp()
    steps: dict[int, tuple[datetime, float]] = {}
    for at, p in answers.line.since(end - TREND_S + _STEP_S):
        if not math.isnan(p):
            steps[int(at // _STEP_S)] = moment(at), p
    return Risk(
        model=latest.model,
        version=latest.version,
        target=latest.target,
        horizon_h=latest.horizon_h,
        probability=latest.calibrated_probability,
        trend=list(steps.values())[-TREND_POINTS:],
        quality=latest.quality,
        reason=latest.reason,
        at=latest.observed_at,
        silent=latest.silent,
    )


def _rank(priority: Priority | None, news2: News2 | None, shown: Answers | None) -> float:
    """Open alerts first, by priority; then NEWS2 (a lower bound counts as it is), then the probability."""
    points = 0.0 if news2 is None or news2.value is None else news2.value
    p = None if shown is None else shown.latest.calibrated_probability
    return (1000.0 * RANK[priority] if priority is not None else 0.0) + 10.0 * points + (0.0 if p is None else p)
