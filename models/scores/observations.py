"""What the rule scores look at: the values held to be current for one patient at one time.

The caller decides what is current. It leaves out a value older than its signal's validity window, and where two signals
contradict each other (an oxygen flow measured after "no oxygen" was charted) it leaves out the older: the scores know
no times. None always means unknown, never normal.
"""

from typing import Literal

import msgspec

from wardstream.schemas.vitals import Consciousness, OxygenDevice

Vasopressors = Literal["none", "low", "medium", "high"]
"""SOFA's steps, doses in µg/kg/min. low: dopamine up to 5, or dobutamine. medium: dopamine above 5, or adrenaline or
noradrenaline up to 0.1. high: dopamine above 15, or adrenaline or noradrenaline above 0.1."""


class Observations(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Current values of one patient; names and units are those of `vitals.v1`, with what labs and admissions add.

    Values are finite: decoding has refused anything else.

    Attributes
    ----------
    heart_rate_bpm, respiratory_rate_per_min : float or None
        Per minute.
    spo2_percent, etco2_mmhg : float or None
        Peripheral oxygen saturation, end-tidal carbon dioxide.
    spo2_scale_2 : bool or None
        A clinician has ordered SpO2 scale 2 of NEWS2 (target 88–92 %); None: nobody has said.
    supplemental_oxygen : bool or None
        Charted as on oxygen (True) or on room air (False).
    fio2_fraction, oxygen_flow_l_per_min : float or None
        Inspired oxygen as a fraction, 0.21–1; flow.
    oxygen_device : OxygenDevice or None
        How oxygen is given; room_air: none is.
    systolic_mmhg, diastolic_mmhg, mean_pressure_mmhg : float or None
        Arterial pressures.
    temperature_celsius : float or None
        Body temperature.
    consciousness : Consciousness or None
        ACVPU: A alert, C new confusion, V responds to voice, P to pain, U unresponsive.
    gcs_eye, gcs_verbal, gcs_motor, gcs_total : float or None
        Glasgow Coma Scale, 1–4, 1–5, 1–6 and 3–15; a part that cannot be tested is None.
    urine_output_ml, urine_period_h : float or None
        Urine of the last collection, and the time it took.
    weight_kg : float or None
        Body weight.
    age_years : float or None
        Age at the time of the observations.
    pregnant : bool or None
        True or False only where known; that a patient is male is for the caller to turn into False.
    wbc_10e9_per_l, bands_percent : float or None
        White cells, 10⁹ per litre; immature (band) forms as a percentage of them.
    paco2_mmhg, pao2_mmhg : float or None
        Arterial partial pressures of carbon dioxide and oxygen.
    platelets_10e9_per_l : float or None
        Platelets, 10⁹ per litre.
    bilirubin_mg_per_dl, creatinine_mg_per_dl : float or None
        Total bilirubin and creatinine of serum or plasma.
    vasopressors : Vasopressors or None
        What supports the circulation, in SOFA's steps; None: not known, as long as no feed of medications is read.
    """

    heart_rate_bpm: float | None = None
    respiratory_rate_per_min: float | None = None
    spo2_percent: float | None = None
    spo2_scale_2: bool | None = None
    supplemental_oxygen: bool | None = None
    fio2_fraction: float | None = None
    oxygen_flow_l_per_min: float | None = None
    oxygen_device: OxygenDevice | None = None
    systolic_mmhg: float | None = None
    diastolic_mmhg: float | None = None
    mean_pressure_mmhg: float | None = None
    temperature_celsius: float | None = None
    consciousness: Consciousness | None = None
    gcs_eye: float | None = None
    gcs_verbal: float | None = None
    gcs_motor: float | None = None
    gcs_total: float | None = None
    urine_output_ml: float | None = None
    urine_period_h: float | None = None
    etco2_mmhg: float | None = None
    weight_kg: float | None = None
    age_years: float | None = None
    pregnant: bool | None = None
    wbc_10e9_per_l: float | None = None
    bands_percent: float | None = None
    paco2_mmhg: float | None = None
    pao2_mmhg: float | None = None
    platelets_10e9_per_l: float | None = None
    bilirubin_mg_per_dl: float | None = None
    creatinine_mg_per_dl: float | None = None
    vasopressors: Vasopressors | None = None
