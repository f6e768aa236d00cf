"""Every signal a patient's state keeps: its code in the state's rows, and how long a value counts as current.

A value that a device sent is expected again soon: after its window the device is silent. What a person charted holds
until the next round: the chart of NEWS2 asks for observations every 12 hours at the least (Royal College of Physicians
2017, chart 4). The other windows are this project's own choice, for the reason given with each; those of laboratory
results are in `labs/analytes.py`.
"""

from typing import Final, NamedTuple

from wardstream.models.labs.analytes import ANALYTES, BEYOND

MINUTE: Final = 60.0
HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
_ROUND: Final = 12 * HOUR  # between two charted sets
_MONITOR: Final = 15 * MINUTE  # continuous monitoring; longer than a walk to the scanner's door, shorter than a round
_CUFF: Final = HOUR  # automatic cuffs and probes are cycled every 5 to 60 minutes


class Signal(NamedTuple):
    """One signal: its field in `Observations`, its code in rows, and its windows in seconds by provenance."""

    field: str
    code: str
    device_s: float
    charted_s: float


_BEDSIDE: Final = (
    Signal("heart_rate_bpm", "hr", _MONITOR, _ROUND),
    Signal("respiratory_rate_per_min", "rr", _MONITOR, _ROUND),
    Signal("spo2_percent", "spo2", _MONITOR, _ROUND),
    Signal("systolic_mmhg", "sbp", _CUFF, _ROUND),
    Signal("diastolic_mmhg", "dbp", _CUFF, _ROUND),
    Signal("mean_pressure_mmhg", "map", _CUFF, _ROUND),
    Signal("temperature_celsius", "temp", _CUFF, _ROUND),
    Signal("consciousness", "acvpu", _ROUND, _ROUND),
    Signal("gcs_eye", "gcse", _ROUND, _ROUND),
    Signal("gcs_verbal", "gcsv", _ROUND, _ROUND),
    Signal("gcs_motor", "gcsm", _ROUND, _ROUND),
    Signal("gcs_total", "gcs", _ROUND, _ROUND),
    Signal("supplemental_oxygen", "o2", _ROUND, _ROUND),
    Signal("fio2_fraction", "fio2", _ROUND, _ROUND),
    Signal("oxygen_flow_l_per_min", "o2flow", _ROUND, _ROUND),
    Signal("oxygen_device", "o2dev", _ROUND, _ROUND),
    Signal("etco2_mmhg", "etco2", _MONITOR, _ROUND),
    Signal("urine_output_ml", "urine", DAY, DAY),  # it is a volume over a period, up to a day
    Signal("urine_period_h", "urineh", DAY, DAY),
    Signal("weight_kg", "kg", 7 * DAY, 7 * DAY),
    Signal("spo2_scale_2", "scale2", float("inf"), float("inf")),  # an order holds until it is ended
)
_FIRST_LABS: Final = ("wbc", "bands", "paco2")  # the first that had a place here; whoever lists signals counts on it
_LABS: Final = sorted(ANALYTES, key=lambda analyte: (analyte.code not in _FIRST_LABS, ANALYTES.index(analyte)))

SIGNALS: Final = (
    *_BEDSIDE,
    *(Signal(analyte.field, analyte.code, analyte.window_s, analyte.window_s) for analyte in _LABS),
)

BY_CODE: Final = {signal.code: signal for signal in SIGNALS}
BY_FIELD: Final = {signal.field: signal for signal in SIGNALS}
FIELDS: Final = {signal.code: signal.field for signal in SIGNALS}

# What NEWS2 needs from the bedside, as groups of signals of which one suffices.
NEWS2_GROUPS: Final = (
    ("rr",),
    ("spo2",),
    ("sbp",),
    ("hr",),
    ("temp",),
    ("acvpu", "gcs", "gcse", "gcsv", "gcsm"),
    ("o2", "fio2", "o2flow", "o2dev"),
)
BEDSIDE: Final = frozenset(code for group in NEWS2_GROUPS for code in group)
_SCORED_LABS: Final = frozenset(("wbc", "bands", "paco2", "pao2", "plt", "bili", "creat"))
SCORED: Final = BEDSIDE | _SCORED_LABS  # what any rule score reads, orders apart
BINS_ONLY: Final = (frozenset(analyte.code for analyte in ANALYTES) | BEYOND.keys()) - _SCORED_LABS
"""Laboratory results that no score reads: they are in the bins, for models, and not in the patient's row."""

# Of signals that say the same thing in different ways, only the newest statement counts: a flow of 2 L/min measured
# after "room air" was charted means oxygen, and the other way round.
ONE_STATEMENT: Final = (("o2", "fio2", "o2flow", "o2dev"), ("acvpu", "gcse", "gcsv", "gcsm", "gcs"))


WINDOWS_S: Final = (
    {signal.code: signal.charted_s for signal in SIGNALS},
    {signal.code: signal.device_s for signal in SIGNALS},
)
"""How long a value counts as current, in seconds: `WINDOWS_S[device][code]`."""
