"""vitals.v1: bedside measurements of one patient at one time, any subset."""

from typing import Annotated, Final, Literal

from msgspec import Meta

from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.bounds import within
from wardstream.schemas.envelope import Event, Label
from wardstream.schemas.topic import Topic

Consciousness = Literal["A", "C", "V", "P", "U"]
OxygenDevice = Literal[
    "room_air",
    "nasal_cannula",
    "simple_mask",
    "venturi_mask",
    "non_rebreather_mask",
    "tracheostomy_mask",
    "high_flow_nasal",
    "cpap",
    "non_invasive_ventilation",
    "invasive_ventilation",
    "other",
]


class Vitals(Event, frozen=True, kw_only=True, omit_defaults=True):
    """What was measured at `observed_at`. Null: not measured then; nothing may be assumed from it."""

    heart_rate_bpm: Annotated[
        Annotated[float, within("heart_rate_bpm")] | None, Meta(description="Heart or pulse rate, /min.")
    ] = None
    respiratory_rate_per_min: Annotated[
        Annotated[float, within("respiratory_rate_per_min")] | None, Meta(description="Respiratory rate, /min.")
    ] = None
    spo2_percent: Annotated[
        Annotated[float, within("spo2_percent")] | None, Meta(description="Oxygen saturation by pulse oximetry, %.")
    ] = None
    spo2_scale_2: Annotated[
        bool | None,
        Meta(description="A clinician's order to score SpO2 on NEWS2's scale 2; false ends it; null: no statement."),
    ] = None
    supplemental_oxygen: Annotated[
        bool | None, Meta(description="Whether oxygen was given; null: not stated (it may follow from the others).")
    ] = None
    fio2_fraction: Annotated[
        Annotated[float, within("fio2_fraction")] | None, Meta(description="Inspired oxygen as a fraction, 0.21 to 1.")
    ] = None
    oxygen_flow_l_per_min: Annotated[
        Annotated[float, within("oxygen_flow_l_per_min")] | None, Meta(description="Oxygen flow, L/min.")
    ] = None
    oxygen_device: Annotated[OxygenDevice | None, Meta(description="How oxygen was given; room_air: none was.")] = None
    systolic_mmhg: Annotated[
        Annotated[float, within("systolic_mmhg")] | None, Meta(description="Systolic blood pressure, mmHg.")
    ] = None
    diastolic_mmhg: Annotated[
        Annotated[float, within("diastolic_mmhg")] | None, Meta(description="Diastolic blood pressure, mmHg.")
    ] = None
    mean_pressure_mmhg: Annotated[
        Annotated[float, within("mean_pressure_mmhg")] | None, Meta(description="Mean arterial pressure, mmHg.")
    ] = None
    temperature_celsius: Annotated[
        Annotated[float, within("temperature_celsius")] | None, Meta(description="Body temperature, °C.")
    ] = None
    consciousness: Annotated[
        Consciousness | None, Meta(description="ACVPU: alert, new confusion, voice, pain, unresponsive.")
    ] = None
    gcs_eye: Annotated[Annotated[int, within("gcs_eye")] | None, Meta(description="Glasgow Coma Scale, eyes, 1–4.")] = (
        None
    )
    gcs_verbal: Annotated[
        Annotated[int, within("gcs_verbal")] | None,
        Meta(description="Glasgow Coma Scale, verbal, 1–5; null too when not testable (intubated)."),
    ] = None
    gcs_motor: Annotated[
        Annotated[int, within("gcs_motor")] | None, Meta(description="Glasgow Coma Scale, motor, 1–6.")
    ] = None
    gcs_total: Annotated[
        Annotated[int, within("gcs_total")] | None, Meta(description="Glasgow Coma Scale, sum, 3–15.")
    ] = None
    urine_output_ml: Annotated[
        Annotated[float, within("urine_output_ml")] | None,
        Meta(description="Urine volume, mL, over the urine_period_h that ended at observed_at."),
    ] = None
    urine_period_h: Annotated[
        Annotated[float, within("urine_period_h")] | None,
        Meta(description="Hours in which urine_output_ml was collected; null: not stated."),
    ] = None
    etco2_mmhg: Annotated[
        Annotated[float, within("etco2_mmhg")] | None, Meta(description="End-tidal carbon dioxide, mmHg.")
    ] = None
    weight_kg: Annotated[Annotated[float, within("weight_kg")] | None, Meta(description="Body weight, kg.")] = None
    retracted: Annotated[
        tuple[Label, ...],
        Meta(
            max_length=32,
            description="Of a revision, the fields that it corrects or cancels. Where the event that it names is not "
            "known, because these were sent in a larger set, their values of this time are taken away.",
        ),
    ] = ()

    def check(self) -> None:
        """Add to the envelope's checks: there is content, and pressures and coma scale agree with themselves."""
        Event.check(self)
        systolic, diastolic = self.systolic_mmhg, self.diastolic_mmhg
        if systolic is not None and diastolic is not None and diastolic > systolic:
            raise BadEvent("inconsistent", "diastolic_mmhg", "systolic_mmhg")
        total, eye, verbal, motor = self.gcs_total, self.gcs_eye, self.gcs_verbal, self.gcs_motor
        if (
            total is not None
            and eye is not None
            and verbal is not None
            and motor is not None
            and eye + verbal + motor != total
        ):
            raise BadEvent("inconsistent", "gcs_total", "gcs_eye", "gcs_verbal", "gcs_motor")
        # In the order of how often they come: usually the first comparison is the last.
        if (
            self.heart_rate_bpm is None
            and systolic is None
            and self.spo2_percent is None
            and self.respiratory_rate_per_min is None
            and self.temperature_celsius is None
            and diastolic is None
            and self.mean_pressure_mmhg is None
            and self.consciousness is None
            and total is None
            and eye is None
            and verbal is None
            and motor is None
            and self.urine_output_ml is None
            and self.etco2_mmhg is None
            and self.weight_kg is None
            and self.supplemental_oxygen is None
            and self.fio2_fraction is None
            and self.oxygen_flow_l_per_min is None
            and self.oxygen_device is None
            and self.spo2_scale_2 is None
            and self.status != "cancelled"
        ):
            raise BadEvent("empty")


TOPIC: Final = Topic(
    name="vitals.v1", type=Vitals, role="input", description="Bedside measurements at one time, any subset."
)
