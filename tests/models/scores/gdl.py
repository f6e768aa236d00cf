"""How the published cases of the Guideline Definition Language models are read; those of SOFA, and how they are run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from wardstream.models.labs.analytes import CREATININE
from wardstream.models.labs.units import convert
from wardstream.models.scores import Observations, sofa

Case = dict[str, Any]


def number(case: Case, *names: str) -> float | None:
    """Return a quantity such as "111,mm[Hg]" by whichever of its names the guideline uses."""
    for name in names:
        if name in case["input"]:
            return float(case["input"][name].split(",")[0])
    return None


def points(coded: str) -> float:
    """Return the points of a code such as "2|local::at0018|…|"."""
    return float(coded.split("|")[0])


SOFA_INPUTS = {
    "pao2_mmhg": "PaO2 (mmHg)",
    "platelets_10e9_per_l": "Platelet count (10*9/L)",
    "bilirubin_mg_per_dl": "Total Bilirubin (mg/dL)",
    "mean_pressure_mmhg": "Mean arterial pressure",
}
SOFA_PARTS = {
    ("pao2_mmhg",): "PF ratio/carrico index score",
    ("platelets_10e9_per_l",): "Platlets score",
    ("bilirubin_mg_per_dl",): "BR score",
    ("mean_pressure_mmhg", "vasopressors"): "MAP or admin of vasopressors required",
    ("gcs_total",): "GCS score",
    ("creatinine_mg_per_dl", "urine_output_ml"): "Creatinine or urine output",
}


def sofa_of(case: Case) -> Observations:
    """What a case gives. Its steps of oxygenation below 200 say "mechanically ventilated"; no input does."""
    given, expected = case["input"], case["expected"]
    values = {field: value for field, name in SOFA_INPUTS.items() if (value := number(case, name)) is not None}
    percent, creatinine = number(case, "FiO2"), number(case, "Creatinine Result")
    ventilated = points(expected["PF ratio/carrico index score"]) > 2
    drugs = given.get("MAP or admin of vasopressors required")
    urine = number(case, "Total urine output/24 hr")
    return Observations(
        fio2_fraction=None if percent is None else percent / 100,
        oxygen_device="invasive_ventilation" if ventilated else None,
        vasopressors=None if drugs is None else "low" if points(drugs) == 2 else "none",
        gcs_total=given.get("GCS Total score"),
        creatinine_mg_per_dl=None if creatinine is None else convert(CREATININE, creatinine, "umol/L"),
        urine_output_ml=urine,
        urine_period_h=None if urine is None else 24,
        age_years=50,
        **values,
    )


def run_sofa(case: Case, seen: Observations | None = None) -> Iterator[str]:
    """Compare the total and each part. What a case leaves out is 0 there; here it is missing, and the total a bound."""
    score, expected = sofa(seen or sofa_of(case)), case["expected"]
    if score.value != expected["Total score"] or score.complete:
        yield f"total {score.value}, expected {expected['Total score']}"
    for ours, theirs in SOFA_PARTS.items():
        found = [score.parts[part] for part in ours if part in score.parts]
        if found != [points(expected[theirs])] and (found or points(expected[theirs]) != 0):
            yield f"{ours} {found}, expected {expected[theirs]}"
    coma = (seen or sofa_of(case)).gcs_total
    if coma is not None and coma > 15:
        yield "gcs_total is impossible"
