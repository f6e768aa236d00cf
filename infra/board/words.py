"""What a model's answer stands on, as one plain sentence an input."""

from __future__ import annotations

from typing import Final

from wardstream.models.labs.analytes import ANALYTES
from wardstream.schemas.predictions import Contribution

_VITALS: Final = {
    "heart_rate_bpm": ("heart rate", "/min"),
    "respiratory_rate_per_min": ("respiratory rate", "/min"),
    "spo2_percent": ("SpO2", " %"),
    "systolic_mmhg": ("systolic pressure", " mmHg"),
    "diastolic_mmhg": ("diastolic pressure", " mmHg"),
    "mean_pressure_mmhg": ("mean pressure", " mmHg"),
    "temperature_celsius": ("temperature", " °C"),
    "gcs_total": ("Glasgow Coma Scale", ""),
    "fio2_fraction": ("FiO2", ""),
    "etco2_mmhg": ("end-tidal CO2", " mmHg"),
    "urine_output_ml_per_h": ("urine output", " mL/h"),
    "age_years": ("age", " years"),
    "hours_since_admission": ("time since admission", " h"),
    "sepsis_logit": ("the sepsis model's answer (log-odds)", ""),
    "chest_xray_logit": ("the chest film model's answer (log-odds)", ""),
}
_UNITS: Final = {"": "", "1": "", "[pH]": "", "{INR}": "", "10*3/uL": " × 10³/µL", "Cel": " °C", "mm[Hg]": " mmHg"}
_NAMES: Final = _VITALS | {one.field: (one.name, _UNITS.get(one.unit, f" {one.unit}")) for one in ANALYTES}
_KINDS: Final = (("_trend", "change of {} over hours"), ("_change", "change of {} since the result before"))
_MINUTE: Final = 60.0
_HOUR: Final = 3600.0
_FEW: Final = 2  # hours or days that are still told in the smaller unit


def sentence(one: Contribution) -> str:
    """What an input is, and whether it raises or lowers the risk."""
    effect = "raises" if one.contribution > 0 else "lowers" if one.contribution < 0 else "does not change"
    if one.text is not None:
        return f"{_capital(one.text)}: {effect} the risk"
    name, unit = _named(one.feature)
    if one.value is None:
        return f"{_capital(name)} is not known: {effect} the risk"
    if one.feature == "male":
        return f"{'Male' if one.value else 'Female'} sex {effect} the risk"
    age = "" if one.age_s is None else f" ({aged(one.age_s)} old)"
    return f"{_capital(name)} {one.value:.4g}{unit}{age} {effect} the risk"


def aged(seconds: float) -> str:
    """A time's length in words: `12 min`, `3 h`, `4 d`."""
    if seconds < _FEW * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:.0f} h" if seconds < _FEW * 24 * _HOUR else f"{seconds / (24 * _HOUR):.0f} d"


def _named(feature: str) -> tuple[str, str]:
    for suffix, form in _KINDS:
        if feature.endswith(suffix):
            name, unit = _named(feature.removesuffix(suffix))
            return form.format(name), unit
    return _NAMES.get(feature, (feature.replace("_", " "), ""))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
