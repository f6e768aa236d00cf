"""Results of the simulated laboratory: a baseline a patient, moved by illness, with ranges and flags."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final, Literal, NamedTuple

from wardstream.infra.feeds.physiology import Illness
from wardstream.models.labs import analytes
from wardstream.models.labs.analytes import Analyte


class Normal(NamedTuple):
    """How a test comes out in a well patient, and what illness does to it."""

    analyte: Analyte
    mean: float
    sd: float
    low: float
    high: float
    digits: int
    at_worst: dict[Illness, float]  # what severity 1 adds


ROUTINE: Final = (
    Normal(analytes.WBC, 7.5, 1.6, 4, 11, 1, {"sepsis": 10, "bleeding": 3}),
    Normal(analytes.PLATELETS, 245, 45, 150, 400, 0, {"sepsis": -110, "bleeding": -60}),
    Normal(analytes.HAEMOGLOBIN, 12.6, 1.3, 11.5, 16.5, 1, {"bleeding": -5}),
    Normal(analytes.SODIUM, 139, 2.2, 135, 145, 0, {"sepsis": -3}),
    Normal(analytes.POTASSIUM, 4.1, 0.3, 3.5, 5.1, 1, {"sepsis": 0.9, "bleeding": 0.4}),
    Normal(analytes.UREA_NITROGEN, 16, 4, 7, 20, 0, {"sepsis": 18, "bleeding": 15}),
    Normal(analytes.CREATININE, 0.9, 0.18, 0.5, 1.2, 2, {"sepsis": 1.1, "bleeding": 0.7}),
    Normal(analytes.GLUCOSE, 112, 20, 70, 140, 0, {"sepsis": 60, "bleeding": 25}),
)
ACUTE: Final = (
    Normal(analytes.LACTATE, 1.1, 0.25, 0.5, 2, 1, {"sepsis": 4.2, "respiratory_failure": 1.2, "bleeding": 4.5}),
    Normal(analytes.CRP, 9, 4, 0, 10, 0, {"sepsis": 190, "respiratory_failure": 60}),
    Normal(analytes.BILIRUBIN, 0.7, 0.2, 0.1, 1.2, 1, {"sepsis": 1.6}),
    Normal(analytes.PCO2_ARTERIAL, 40, 2.5, 35, 45, 0, {"sepsis": -8, "respiratory_failure": 22}),
    Normal(analytes.PH_ARTERIAL, 7.4, 0.015, 7.35, 7.45, 2, {"sepsis": -0.14, "respiratory_failure": -0.12}),
)


class Result(NamedTuple):
    """One result of a specimen."""

    analyte: Analyte
    value: float
    low: float
    high: float
    flag: Literal["L", "H", "N"]


def results(
    random: Random,
    habit: dict[str, float],
    illness: Illness | None,
    severity: float,
    panel: tuple[Normal, ...],
) -> Iterator[Result]:
    """Draw the results of one specimen.

    Parameters
    ----------
    random : Random
        The patient's.
    habit : dict
        The patient's usual deviation of each test, in standard deviations; filled on first use.
    illness, severity
        What the patient has, and how bad it is from 0 to 1.
    panel : tuple
        `ROUTINE` or `ACUTE`.
    """
    for test in panel:
        usual = habit.setdefault(test.analyte.loinc, random.gauss(0, 1))
        shift = test.at_worst.get(illness, 0.0) * severity if illness else 0.0
        found = test.mean + test.sd * (usual + 0.3 * random.gauss(0, 1)) + shift
        value = round(max(found, test.mean * 0.2), test.digits)
        flag: Literal["L", "H", "N"] = "L" if value < test.low else "H" if value > test.high else "N"
        yield Result(test.analyte, value, test.low, test.high, flag)
