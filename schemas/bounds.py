"""Physiological bounds: what is impossible (rejected) and what is extreme (kept and named).

Impossible means that no patient and no working device can show it: a wrong unit, a shifted field, a code for "missing"
such as -999. These limits are wide on purpose: with a value that is refused the whole event becomes a dead letter, and
nobody sees it in time. Extreme means that it may be real and that somebody should look whether it is.

Where a reason names no source, the limit is this project's own choice. Counted on real data: of 1.6 million values in
a part of the PhysioNet 2019 set 16 are impossible (FiO2 of -50, 0.03 or 2), of 1.5 million in the 2012 set a 129
temperatures (such as -17.8 and 2.7 °C) and 184 weights of 0.
"""

from functools import cache
from typing import Any, Final, NamedTuple

from msgspec import Meta, Struct


class Bound(NamedTuple):
    """Limits of one signal in `unit` (UCUM); inclusive: a value on a limit is within it."""

    low: float
    high: float
    extreme_low: float
    extreme_high: float
    unit: str
    reason: str


BOUNDS: Final[dict[str, Bound]] = {
    "heart_rate_bpm": Bound(
        0, 400, 30, 220, "/min", "0: asystole; the fastest tachycardias of newborns stay below 400"
    ),
    "respiratory_rate_per_min": Bound(0, 200, 5, 60, "/min", "0: apnoea; monitors count up to 150 or 200"),
    "spo2_percent": Bound(0, 100, 70, 100, "%", "a share; oximeters state their accuracy from 70 to 100 % only"),
    "fio2_fraction": Bound(0.21, 1, 0.21, 1, "1", "room air to pure oxygen"),
    "oxygen_flow_l_per_min": Bound(0, 100, 0, 70, "L/min", "high-flow nasal oxygen ends at 60 to 80"),
    "systolic_mmhg": Bound(0, 400, 50, 260, "mm[Hg]", "0: arrest on an arterial line; monitors end at 300 to 400"),
    "diastolic_mmhg": Bound(0, 300, 20, 160, "mm[Hg]", "as systolic"),
    "mean_pressure_mmhg": Bound(0, 350, 35, 190, "mm[Hg]", "as systolic"),
    "temperature_celsius": Bound(
        10, 48, 32, 42, "Cel", "13.7 was survived (Gilbert, Lancet 2000;355:375); fever in °F lies above 48"
    ),
    "gcs_eye": Bound(1, 4, 1, 4, "{score}", "Glasgow Coma Scale"),
    "gcs_verbal": Bound(1, 5, 1, 5, "{score}", "Glasgow Coma Scale"),
    "gcs_motor": Bound(1, 6, 1, 6, "{score}", "Glasgow Coma Scale"),
    "gcs_total": Bound(3, 15, 3, 15, "{score}", "Glasgow Coma Scale"),
    "urine_output_ml": Bound(0, 20_000, 0, 3000, "mL", "diabetes insipidus makes up to 20 L a day"),
    "urine_period_h": Bound(0, 72, 0, 24, "h", "a collection of more than three days is a wrong date"),
    "etco2_mmhg": Bound(0, 150, 10, 100, "mm[Hg]", "0: no ventilation or a loose tube; capnographs end at 99 to 150"),
    "weight_kg": Bound(0.2, 700, 0.4, 300, "kg", "from the lightest newborn who lived to the heaviest adult known"),
    "age_years": Bound(0, 130, 0, 110, "a", "the longest documented life is 122 years"),
}
"""By field name, which is the same in every event."""


def _lab(unit: str, low: float, high: float, extreme_low: float, extreme_high: float) -> Bound:
    return Bound(low, high, extreme_low, extreme_high, unit, "far beyond a laboratory's critical values")


LAB_BOUNDS: Final[dict[str, Bound]] = {
    "1742-6": _lab("U/L", 0, 200_000, 0, 5000),  # alanine aminotransferase
    "1751-7": _lab("g/dL", 0, 15, 1, 6),  # albumin
    "1920-8": _lab("U/L", 0, 200_000, 0, 5000),  # aspartate aminotransferase
    "1925-7": _lab("mmol/L", -60, 60, -25, 25),  # base excess, arterial
    "1963-8": _lab("mmol/L", 0, 100, 8, 45),  # bicarbonate
    "1975-2": _lab("mg/dL", 0, 150, 0, 30),  # bilirubin
    "1988-5": _lab("mg/L", 0, 3000, 0, 500),  # C-reactive protein
    "1994-3": _lab("mmol/L", 0, 10, 0.7, 1.8),  # calcium, ionised
    "2019-8": _lab("mm[Hg]", 0, 400, 15, 120),  # carbon dioxide, arterial
    "2075-0": _lab("mmol/L", 20, 250, 75, 130),  # chloride
    "2160-0": _lab("mg/dL", 0, 150, 0, 15),  # creatinine
    "2345-7": _lab("mg/dL", 0, 5000, 40, 600),  # glucose
    "2524-7": _lab("mmol/L", 0, 100, 0, 15),  # lactate, plasma
    "2703-7": _lab("mm[Hg]", 0, 2500, 30, 600),  # oxygen, arterial (high: hyperbaric chamber)
    "2744-1": _lab("[pH]", 6, 8.5, 6.9, 7.7),  # pH, arterial
    "2777-1": _lab("mg/dL", 0, 100, 0.8, 12),  # phosphate
    "2823-3": _lab("mmol/L", 0.1, 40, 2.5, 7),  # potassium (high: lysed specimen)
    "2951-2": _lab("mmol/L", 50, 300, 115, 165),  # sodium
    "3094-0": _lab("mg/dL", 0, 1000, 0, 150),  # urea nitrogen
    "3255-7": _lab("mg/dL", 0, 5000, 60, 1000),  # fibrinogen
    "4544-3": _lab("%", 0, 100, 15, 60),  # haematocrit
    "5902-2": _lab("s", 0, 1000, 5, 100),  # prothrombin time
    "6301-6": _lab("{INR}", 0, 200, 0.5, 10),  # INR
    "6690-2": _lab("10*3/uL", 0, 5000, 0.5, 100),  # leukocytes
    "718-7": _lab("g/dL", 0, 40, 5, 20),  # haemoglobin
    "777-3": _lab("10*3/uL", 0, 20_000, 10, 1500),  # platelets
    "14979-9": _lab("s", 0, 1000, 10, 150),  # activated partial thromboplastin time
    "17861-6": _lab("mg/dL", 0.5, 40, 6, 14),  # calcium
    "19123-9": _lab("mg/dL", 0, 50, 0.8, 6),  # magnesium
    "32693-4": _lab("mmol/L", 0, 100, 0, 15),  # lactate, blood
    "33959-8": _lab("ng/mL", 0, 10_000, 0, 200),  # procalcitonin
    "751-8": _lab("10*3/uL", 0, 5000, 0.2, 80),  # neutrophils
    "764-1": _lab("%", 0, 100, 0, 60),  # band forms, counted by eye
    "26508-2": _lab("%", 0, 100, 0, 60),  # band forms
    "1968-7": _lab("mg/dL", 0, 150, 0, 25),  # bilirubin, direct
    "2093-3": _lab("mg/dL", 0, 5000, 40, 600),  # cholesterol
    "2157-6": _lab("U/L", 0, 5_000_000, 0, 50_000),  # creatine kinase
    "2532-0": _lab("U/L", 0, 500_000, 0, 10_000),  # lactate dehydrogenase
    "2708-6": _lab("%", 0, 100, 40, 100),  # oxygen saturation, arterial
    "3016-3": _lab("m[IU]/L", 0, 5000, 0, 150),  # thyrotropin
    "3040-3": _lab("U/L", 0, 500_000, 0, 10_000),  # lipase
    "4548-4": _lab("%", 0, 40, 3, 18),  # HbA1c
    "6298-4": _lab("mmol/L", 0.1, 40, 2.5, 7),  # potassium, whole blood
    "6598-7": _lab("ng/mL", 0, 5000, 0, 25),  # troponin T
    "6768-6": _lab("U/L", 0, 100_000, 0, 3000),  # alkaline phosphatase
    "10839-9": _lab("ng/mL", 0, 50_000, 0, 100),  # troponin I
    "11555-0": _lab("mmol/L", -60, 60, -25, 25),  # base excess, blood
    "11556-8": _lab("mm[Hg]", 0, 2500, 15, 600),  # oxygen, blood
    "11557-6": _lab("mm[Hg]", 0, 400, 15, 130),  # carbon dioxide, blood
    "11558-4": _lab("[pH]", 6, 8.5, 6.85, 7.7),  # pH, blood
    "30934-4": _lab("pg/mL", 0, 1_000_000, 0, 10_000),  # BNP
    "33762-6": _lab("pg/mL", 0, 5_000_000, 0, 70_000),  # NT-proBNP
    "48065-7": _lab("ng/mL{FEU}", 0, 10_000_000, 0, 100_000),  # D-dimer
    "67151-1": _lab("ng/L", 0, 5_000_000, 0, 25_000),  # troponin T, high sensitivity
    "89579-7": _lab("ng/L", 0, 50_000_000, 0, 100_000),  # troponin I, high sensitivity
}
"""By LOINC code, of every analyte that the laboratory agent knows one at least. They hold for the unit given; a result
in another unit or a code that is not here has no bounds."""


def within(name: str) -> Meta:
    """Return the limits of a field as msgspec enforces them on decode, with its unit for the JSON Schema."""
    bound = BOUNDS[name]
    return Meta(ge=bound.low, le=bound.high, extra_json_schema={"x-unit": bound.unit})


def lab_bound(loinc: str, unit: str | None) -> Bound | None:
    """Return the bounds of a laboratory value, or None where there are none for this code in this unit."""
    bound = LAB_BOUNDS.get(loinc)
    return bound if bound is not None and bound.unit == unit else None


def extremes(event: Struct) -> tuple[str, ...]:
    """Name the fields whose value is possible but extreme.

    Parameters
    ----------
    event : Struct
        Any event that was decoded (what is impossible has been refused); those without bounded fields have none.

    Returns
    -------
    tuple of str
        Field names in the order of the event's fields (`value` for a laboratory result); empty when none is extreme.
    """
    found = []
    for name, low, high in _extreme_limits(type(event)):
        value = getattr(event, name)
        if value is not None and not low <= value <= high:
            found.append(name)
    if isinstance(loinc := getattr(event, "loinc", None), str):
        result: Any = event
        bound = None if result.value is None else lab_bound(loinc, result.unit)
        if bound is not None and not bound.extreme_low <= result.value <= bound.extreme_high:
            found.append("value")
    return tuple(found)


@cache
def _extreme_limits(message_type: type[Struct]) -> list[tuple[str, float, float]]:
    return [
        (name, BOUNDS[name].extreme_low, BOUNDS[name].extreme_high)
        for name in message_type.__struct_fields__
        if name in BOUNDS and BOUNDS[name][:2] != BOUNDS[name][2:4]  # else what is extreme has been refused already
    ]
