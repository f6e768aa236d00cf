"""Admission from the emergency department, asked when triage is done: a probability, learnt online.

**What may be known.** `Triage` is the allow-list: what is not a field of it cannot reach the model. It holds what a
triage nurse has in front of them: who it is, when and how they came, what they complain of, the first set of vital
signs, the level of urgency, and the chronic conditions that the record already names. Tests, imaging, medications,
procedures, diagnoses, times of waiting and of stay, and every disposition come later and are not in it.

**The model.** A logistic regression in which each coefficient has a mean and a variance, updated once with each visit
(an extended Kalman filter with a diagonal covariance; the same as assumed-density filtering in Graepel and others,
ICML 2010). The prior variances say how much is expected of a kind of feature, so that 1,500 rare complaints with their
age bands can stand beside the age itself and yet be shrunk to nothing until visits speak for them. One pass, and
restored exactly from plain numbers.

**Survey weights** multiply the evidence of a visit, by their square root and at most threefold: by their full size a
few visits that stand for many would outvote what all others say (AUROC of 2019 after 2016 to 2018: 0.8486 with the
square root, 0.8496 without weights). Measures and calibration use the weights as they are, relative to their mean.

**Calibration.** The share of admissions moves from year to year. Intercept and slope on the log-odds are learnt online,
from what the model said before it learnt, and forget.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import msgspec
import numpy as np

from wardstream.models.flow.counts import Doubles

Feature = tuple[str, float]

AGE_KNOTS: Final = (1.0, 5.0, 18.0, 35.0, 50.0, 65.0, 75.0, 85.0)
AGE_BANDS: Final = (1, 5, 18, 35, 50, 65, 80)
# Where each vital sign's effect may bend; between two knots it is linear.
VITAL_KNOTS: Final[dict[str, tuple[float, ...]]] = {
    "temperature_c": (36.0, 36.8, 37.5, 38.3, 39.2),
    "heart_rate_bpm": (50.0, 65.0, 80.0, 95.0, 110.0, 130.0),
    "respiratory_rate_bpm": (12.0, 16.0, 20.0, 24.0, 30.0),
    "systolic_mmhg": (90.0, 105.0, 120.0, 140.0, 165.0, 190.0),
    "diastolic_mmhg": (50.0, 65.0, 80.0, 100.0),
    "spo2_percent": (88.0, 92.0, 95.0, 97.0, 99.0),
}
# Prior variance of a coefficient by the kind of its feature: what stands before the first ":" of its name.
PRIOR: Final[dict[str, float]] = {
    "": 4.0,
    "age": 0.5,
    "vital": 0.3,
    "way": 0.5,
    "when": 0.1,
    "code": 0.25,
    "group": 0.2,
    "condition": 0.3,
    "pair": 0.06,
}


FADES: Final = 0.9995  # of the calibration, a visit: half in 1,400
MOST_WEIGHT: Final = 3.0


class Triage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a visit when triage is done. None, or an empty tuple: not known.

    Attributes
    ----------
    age_years, sex
        Age in years; "f" or "m".
    hour, weekday, month
        Local time of arrival: 0 to 23, 0 (Monday) to 6, 1 to 12.
    ambulance, transferred
        Whether an ambulance brought the patient; whether from another facility.
    acuity
        Triage level, 1 (most urgent) to 5.
    pain
        Stated pain, 0 to 10.
    seen_in_72_h
        Whether the patient was here within the last 72 h.
    complaints
        Codes of the reasons for the visit, the main one first, in a code system whose first three characters name a
        group (such as NCHS Reason for Visit).
    conditions
        Chronic conditions that the record names. In NHAMCS they were abstracted from the chart afterwards: report
        without them too.
    """

    age_years: float | None = None
    sex: str | None = None
    hour: int | None = None
    weekday: int | None = None
    month: int | None = None
    ambulance: bool | None = None
    transferred: bool | None = None
    acuity: int | None = None
    pain: int | None = None
    seen_in_72_h: bool | None = None
    temperature_c: float | None = None
    heart_rate_bpm: float | None = None
    respiratory_rate_bpm: float | None = None
    systolic_mmhg: float | None = None
    diastolic_mmhg: float | None = None
    spo2_percent: float | None = None
    complaints: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()


ALLOWED: Final = Triage.__struct_fields__


def features(triage: Triage) -> list[Feature]:
    """The features of a visit by name, sparse: what is not listed is 0."""
    return list(_features(triage))


def _features(t: Triage) -> Iterator[Feature]:
    yield "", 1.0
    band = "?" if t.age_years is None else str(sum(t.age_years >= edge for edge in AGE_BANDS))
    if t.age_years is not None:
        yield from _hinges("age", t.age_years, AGE_KNOTS, 20.0)
    yield f"age:band{band}", 1.0
    level, came = f"{t.acuity}", f"{t.ambulance}{t.transferred}"
    yield f"way:sex{t.sex}", 1.0
    yield f"way:came{came}", 1.0
    yield f"way:level{level}", 1.0
    yield f"way:back{t.seen_in_72_h}", 1.0
    yield f"way:pain{t.pain if t.pain is None else (t.pain + 2) // 3}", 1.0
    yield f"when:hour{t.hour if t.hour is None else t.hour // 3}", 1.0
    yield f"when:day{t.weekday}", 1.0
    yield f"when:month{t.month}", 1.0
    child = t.age_years is not None and t.age_years < 12.0  # whose normal values are others
    for name, knots in VITAL_KNOTS.items():
        value = getattr(t, name)
        short = f"vital:{'child ' if child else ''}{name}"
        if value is None:
            yield f"{short}?", 1.0
        else:
            yield from _hinges(short, value, knots, (knots[-1] - knots[0]) / 2)
    yield f"pair:age {band} level {level}", 1.0
    yield f"pair:age {band} came {came}", 1.0
    yield f"pair:level {level} came {came}", 1.0
    yield f"pair:age {band} sex {t.sex}", 1.0
    groups = set()
    for rank, code in enumerate(t.complaints):
        yield f"code:{code}", 1.0
        if rank == 0:
            yield f"code:first {code}", 1.0
        groups.add(code[:3])
    for group in sorted(groups):
        yield f"group:{group}", 1.0
        yield f"pair:{group} age {band}", 1.0
        yield f"pair:{group} level {level}", 1.0
        yield f"pair:{group} came {came}", 1.0
    for condition in t.conditions:
        yield f"condition:{condition}", 1.0
        yield f"pair:{condition} age {band}", 1.0
    if t.conditions:
        yield "condition:number", min(len(t.conditions), 8) / 2.0


def _hinges(name: str, value: float, knots: tuple[float, ...], scale: float) -> Iterator[Feature]:
    """A continuous line that may bend at each knot."""
    yield f"{name}:low", min(value - knots[0], 0.0) / scale
    for i, knot in enumerate(knots):
        upper = knots[i + 1] if i + 1 < len(knots) else math.inf
        if value > knot:
            yield f"{name}:{knot:g}", (min(value, upper) - knot) / scale


class Logistic:
    """Logistic regression on sparse features, each coefficient a Gaussian; learns a visit in one step."""

    def __init__(self) -> None:
        self.mean: dict[str, float] = {}
        self.variance: dict[str, float] = {}

    def logit(self, found: list[Feature]) -> float:
        """Log-odds, moderated by how little is known: log-odds / sqrt(1 + π s² / 8), MacKay 1992."""
        mean, variance = self._sums(found)
        return mean / math.sqrt(1.0 + math.pi * variance / 8.0)

    def learn(self, found: list[Feature], happened: bool, weight: float = 1.0) -> None:
        """Take in one visit, with the evidence of `weight` visits."""
        mean, variance = self._sums(found)
        p = sigmoid(mean / math.sqrt(1.0 + math.pi * variance / 8.0))
        curvature = weight * p * (1.0 - p)
        gain = 1.0 / (1.0 + curvature * variance)
        step, shrink = weight * (happened - p) * gain, curvature * gain
        for name, x in found:
            v = self._variance(name)
            self.mean[name] = self.mean.get(name, 0.0) + v * x * step
            self.variance[name] = v - (v * x) ** 2 * shrink

    def _sums(self, found: list[Feature]) -> tuple[float, float]:
        mean = variance = 0.0
        for name, x in found:
            mean += self.mean.get(name, 0.0) * x
            variance += self._variance(name) * x * x
        return mean, variance

    def _variance(self, name: str) -> float:
        v = self.variance.get(name)
        return PRIOR[name.partition(":")[0]] if v is None else v


def sigmoid(z: float) -> float:
    """The logistic function, without overflow."""
    return 1.0 / (1.0 + math.exp(-z)) if z >= 0.0 else 1.0 - 1.0 / (1.0 + math.exp(z))


class Recalibration:
    """Intercept and slope on the log-odds (Platt 1999), learnt online; what it knows fades."""

    def __init__(self) -> None:
        self.mean: Doubles = np.array([0.0, 1.0])
        self.covariance: Doubles = np.diag([0.1, 0.02])

    def probability(self, logit: float) -> float:
        """The calibrated probability."""
        return sigmoid(float(self.mean[0] + self.mean[1] * logit))

    def learn(self, logit: float, happened: bool, weight: float = 1.0) -> None:
        """Take in what became of a visit of which `logit` had been said."""
        row = np.array([1.0, logit])
        self.covariance /= FADES
        p = self.probability(logit)
        shared = self.covariance @ row
        curvature = weight * p * (1.0 - p)
        gain = 1.0 / (1.0 + curvature * float(row @ shared))
        self.mean += shared * (weight * (happened - p) * gain)
        self.covariance -= np.outer(shared, shared) * (curvature * gain)


class AdmissionModel:
    """The model and its calibration, as they are used: ask, and later tell what became of the visit."""

    def __init__(self) -> None:
        self.logistic = Logistic()
        self.recalibration = Recalibration()

    def probability(self, triage: Triage) -> float:
        """That the visit ends in an admission."""
        return self.recalibration.probability(self.logistic.logit(features(triage)))

    def learn(self, triage: Triage, admitted: bool, weight: float = 1.0) -> float:
        """Take in what became of a visit; returns the probability that was said before. `weight`: 1 on average."""
        found = features(triage)
        logit = self.logistic.logit(found)
        said = self.recalibration.probability(logit)
        self.recalibration.learn(logit, admitted, weight)
        self.logistic.learn(found, admitted, min(math.sqrt(weight), MOST_WEIGHT))
        return said
