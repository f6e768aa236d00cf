"""What is measured at a simulated bed: by its monitor, by nurses, in the laboratory; and what is put right later."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec.structs import replace

from wardstream.infra.feeds.outbox import Outbox
from wardstream.infra.feeds.specimens import Normal, results
from wardstream.infra.feeds.stay import Stay
from wardstream.schemas.labs import Lab
from wardstream.schemas.vitals import Consciousness, Vitals

MINUTE = timedelta(minutes=1)
LATE_SHARE = 0.01  # of monitors' sets: minutes late
CORRECTED_SHARE = 0.03  # of charted sets; of results a third of that
FALLS_SILENT_A_MINUTE = 1 / (24 * 60)


def monitor(stay: Stay, at: datetime, out: Outbox) -> None:
    """Send what the monitor shows once a minute: pressures as often as the cuff or the line gives them."""
    random, unit = stay.random, stay.bed.unit
    if (stay.silent_until is None or stay.silent_until < at) and random.random() < FALLS_SILENT_A_MINUTE:
        stay.silent_from, stay.silent_until = at, at + MINUTE * random.uniform(8, 60)
    observed_at = at - MINUTE + timedelta(seconds=stay.second)
    delay_s = random.uniform(120, 600) if random.random() < LATE_SHARE else random.uniform(0.4, 2)
    signs = stay.body.signs(observed_at)
    cuff = (at.minute + int(stay.second)) % (1 if stay.body.severity(at) > 0.5 else unit.cuff_every_min) == 0
    systolic, diastolic = round(signs.systolic_mmhg), round(signs.diastolic_mmhg)
    out.add(
        Vitals(
            event_id=out.new_id(),
            source="sim-monitor",
            provenance="device",
            observed_at=observed_at,
            received_at=observed_at + timedelta(seconds=delay_s),
            heart_rate_bpm=round(signs.heart_rate_bpm),
            respiratory_rate_per_min=round(signs.respiratory_rate_per_min),
            spo2_percent=round(signs.spo2_percent),
            systolic_mmhg=systolic if cuff else None,
            diastolic_mmhg=diastolic if cuff else None,
            mean_pressure_mmhg=round(diastolic + (systolic - diastolic) / 3) if cuff else None,
            **stay.envelope,
        )
    )


def chart(stay: Stay, observed_at: datetime, received_at: datetime, out: Outbox) -> None:
    """Chart a set: all signs at a bed without a monitor, what monitors do not see at the others."""
    random, body, alone = stay.random, stay.body, not stay.bed.unit.monitored
    signs = body.signs(observed_at)
    oxygen = body.oxygen_l_per_min
    severity = body.severity(observed_at)
    consciousness: Consciousness = "V" if severity > 0.97 else "C" if severity > 0.85 else "A"
    cuff = stay.bed.unit.name != "ICU"  # which has arterial lines
    right = Vitals(
        event_id=out.new_id(),
        source="sim-chart",
        observed_at=observed_at,
        received_at=received_at,
        temperature_celsius=round(signs.temperature_celsius, 1),
        consciousness=consciousness,
        spo2_scale_2=True if stay.person.retains_co2 else None,
        supplemental_oxygen=oxygen > 0,
        oxygen_flow_l_per_min=oxygen or None,
        oxygen_device="room_air" if not oxygen else "nasal_cannula" if oxygen <= 6 else "non_rebreather_mask",
        heart_rate_bpm=round(signs.heart_rate_bpm) if alone else None,
        respiratory_rate_per_min=round(signs.respiratory_rate_per_min) if alone else None,
        spo2_percent=round(signs.spo2_percent) if alone else None,
        systolic_mmhg=round(signs.systolic_mmhg) if cuff else None,
        diastolic_mmhg=round(signs.diastolic_mmhg) if cuff else None,
        **stay.envelope,
    )
    if random.random() < CORRECTED_SHARE:
        out.add(replace(right, temperature_celsius=round(signs.temperature_celsius - 2, 1)))
        right = replace(
            right,
            event_id=out.new_id(),
            supersedes=right.event_id,
            status="corrected",
            received_at=received_at + MINUTE * random.uniform(3, 15),
        )
    out.add(right)
    stay.adjust_oxygen(signs.spo2_percent, observed_at)


def take_specimen(stay: Stay, at: datetime, panel: tuple[Normal, ...], out: Outbox) -> None:
    """Send a specimen's results, 36 to 60 minutes after it was taken."""
    random, course = stay.random, stay.body.course
    resulted_at = at + MINUTE * random.uniform(36, 60)
    illness = course.illness if course else None
    for result in results(random, stay.habit, illness, stay.body.severity(at), panel):
        right = Lab(
            event_id=out.new_id(),
            source="sim-lab",
            observed_at=at,
            specimen_at=at,
            available_at=resulted_at,
            received_at=resulted_at,
            loinc=result.analyte.loinc,
            value=result.value,
            unit=result.analyte.unit,
            reference_low=result.low,
            reference_high=result.high,
            flag=result.flag,
            **stay.envelope,
        )
        if random.random() < CORRECTED_SHARE / 3:
            out.add(replace(right, value=round(result.value * 1.2, 2), flag=None))
            later = resulted_at + MINUTE * random.uniform(5, 20)
            right = replace(
                right,
                event_id=out.new_id(),
                supersedes=right.event_id,
                status="corrected",
                available_at=later,
                received_at=later,
            )
        out.add(right)
