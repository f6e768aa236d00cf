"""Oxygen and consciousness: what several scores ask and feeds chart in several ways."""

from wardstream.models.scores.observations import Observations

_AIR_FRACTION = 0.21


def on_oxygen(o: Observations) -> bool | None:
    """Tell whether the patient is given oxygen; None if nothing says.

    What is charted (`supplemental_oxygen`) decides. Otherwise any of a fraction above 0.21, a flow above 0 or a device
    other than room air says yes; failing these, a fraction of 0.21, a flow of 0 or the device "room air" says no.
    """
    if o.supplemental_oxygen is not None:
        return o.supplemental_oxygen
    fraction, flow, device = o.fio2_fraction, o.oxygen_flow_l_per_min, o.oxygen_device
    if fraction is None and flow is None and device is None:
        return None
    return (
        (fraction is not None and fraction > _AIR_FRACTION)
        or (flow is not None and flow > 0)
        or (device is not None and device != "room_air")
    )


def gcs_total(o: Observations) -> float | None:
    """Return the Glasgow Coma Scale, 3–15: as charted, or the sum of its three parts if all are known."""
    if o.gcs_total is not None:
        return o.gcs_total
    if o.gcs_eye is None or o.gcs_verbal is None or o.gcs_motor is None:
        return None
    return o.gcs_eye + o.gcs_verbal + o.gcs_motor


def gcs_below_15(o: Observations) -> bool | None:
    """Tell whether the Glasgow Coma Scale is below 15; None if unknown.

    One part below its best is enough, so that an intubated patient (no verbal part) who opens his eyes only to pain
    counts; all three parts are needed for 15.
    """
    total = gcs_total(o)
    if total is not None:
        return total < 15
    if (
        (o.gcs_eye is not None and o.gcs_eye < 4)
        or (o.gcs_verbal is not None and o.gcs_verbal < 5)
        or (o.gcs_motor is not None and o.gcs_motor < 6)
    ):
        return True
    return None
