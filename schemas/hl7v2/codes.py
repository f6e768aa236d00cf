"""What is measured: LOINC and IEEE 11073-10101 (MDC) codes, and the site's own, to fields of vitals, results and notes.

Of two codes for one field at one time (an ECG's heart rate and an oximeter's pulse, an arterial line and a cuff) the
one that stands first here counts. 2708-6 is the saturation of arterial blood: in a set of vital signs it is the
oximeter's, as FHIR's profile of vital signs has it; alone, or among laboratory results, it is a blood gas.
"""

import re
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from wardstream.schemas.bounds import LAB_BOUNDS
from wardstream.schemas.hl7v2.feed import Code, Feed
from wardstream.schemas.hl7v2.reading import Segment
from wardstream.schemas.notes import Kind as NoteKind

SATURATION: Final = "2708-6"

_LOINC_VITALS: Final[Mapping[str, tuple[str, ...]]] = {
    "heart_rate_bpm": ("8867-4", "76282-3", "8889-8", "8893-0"),
    "respiratory_rate_per_min": ("9279-1",),
    "spo2_percent": ("59408-5",),
    "fio2_fraction": ("3150-6", "19994-3"),
    "oxygen_flow_l_per_min": ("3151-8",),
    "systolic_mmhg": ("8480-6", "76534-7"),
    "diastolic_mmhg": ("8462-4", "76535-4"),
    "mean_pressure_mmhg": ("8478-0", "76536-2"),
    "temperature_celsius": ("8310-5", "8329-5", "8332-5", "8331-1", "8333-0", "8328-7"),
    "gcs_total": ("9269-2",),
    "gcs_eye": ("9267-6",),
    "gcs_verbal": ("9270-0",),
    "gcs_motor": ("9268-4",),
    "etco2_mmhg": ("19891-1", "19889-5"),  # partial pressure; a share, which some send in mmHg: as % it has no pressure
    "weight_kg": ("29463-7", "3141-9"),
    "urine_output_ml": ("9187-6",),
    "consciousness": ("67775-7", "80288-4"),
}
_MDC: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "heart_rate_bpm": (
        ("147842", "MDC_ECG_HEART_RATE"),
        ("149530", "MDC_PULS_OXIM_PULS_RATE"),
        ("149546", "MDC_PULS_RATE_NON_INV"),
    ),
    "respiratory_rate_per_min": (
        ("151562", "MDC_RESP_RATE"),
        ("151570", "MDC_AWAY_RESP_RATE"),
        ("151578", "MDC_TTHOR_RESP_RATE"),
    ),
    "spo2_percent": (("150456", "MDC_PULS_OXIM_SAT_O2"),),
    "systolic_mmhg": (
        ("150033", "MDC_PRESS_BLD_ART_SYS"),
        ("150037", "MDC_PRESS_BLD_ART_ABP_SYS"),
        ("150021", "MDC_PRESS_BLD_NONINV_SYS"),
        ("150017", "MDC_PRESS_BLD_SYS"),
    ),
    "diastolic_mmhg": (
        ("150034", "MDC_PRESS_BLD_ART_DIA"),
        ("150038", "MDC_PRESS_BLD_ART_ABP_DIA"),
        ("150022", "MDC_PRESS_BLD_NONINV_DIA"),
        ("150018", "MDC_PRESS_BLD_DIA"),
    ),
    "mean_pressure_mmhg": (
        ("150035", "MDC_PRESS_BLD_ART_MEAN"),
        ("150039", "MDC_PRESS_BLD_ART_ABP_MEAN"),
        ("150023", "MDC_PRESS_BLD_NONINV_MEAN"),
        ("150019", "MDC_PRESS_BLD_MEAN"),
    ),
    "temperature_celsius": (("150364", "MDC_TEMP_BODY"), ("150344", "MDC_TEMP")),
    "etco2_mmhg": (("151708", "MDC_AWAY_CO2_ET"),),
    "weight_kg": (("68063", "MDC_ATTR_PT_WEIGHT"), ("188736", "MDC_MASS_BODY_ACTUAL")),
}
_DOCUMENTS: Final[Mapping[str, NoteKind]] = {
    "11488-4": "consult",
    "11504-8": "operative",
    "11506-3": "progress",
    "18748-4": "radiology",
    "18842-5": "discharge",
    "28570-0": "operative",
    "34117-2": "history",
    "34133-9": "discharge",
    "34746-8": "nursing",
    "54094-8": "triage",
}
_LOINC: Final = ("LN", "LOINC")
_IS_LOINC: Final = re.compile(r"[0-9]{1,7}-[0-9]")


class Meaning(NamedTuple):
    """What an OBX is about.

    Attributes
    ----------
    kind : {"vital", "lab", "note"}
    code : str
        LOINC of a result or a document, the field of a vital sign.
    rank : int
        Of codes for one field, the lowest counts.
    unit : str
        Of values that come without one; empty: none is declared.
    device : bool
        Whether only devices use this code.
    """

    kind: Literal["vital", "lab", "note"]
    code: str
    rank: int = 0
    unit: str = ""
    device: bool = False


_BY_LOINC: Final = {
    code: Meaning("vital", field, rank) for field, codes in _LOINC_VITALS.items() for rank, code in enumerate(codes)
} | {code: Meaning("note", code) for code in _DOCUMENTS}
_BY_MDC: Final = {
    name: Meaning("vital", field, rank, device=True)
    for field, codes in _MDC.items()
    for rank, names in enumerate(codes)
    for name in names
}


def local(code: str, system: str) -> str:
    """Return a code as settings and counts write it."""
    return f"{code}^^{system}" if system else code


def meaning(feed: Feed, obx: Segment) -> Meaning | None:
    """Return what OBX-3 (a CWE: code, text, system, and an alternative of each) means here; None: nothing known.

    What the site has declared comes first, then what the codes themselves say, then their alternatives.
    """
    pairs = ((obx.text(3, 1), obx.text(3, 3)), (obx.text(3, 4), obx.text(3, 6)))
    for code, system in pairs:
        declared = feed.declared(code, system) if code else None
        if declared is not None:
            return _declared(declared)
    for code, system in pairs:
        if system in _LOINC and _IS_LOINC.fullmatch(code):  # some senders call their own codes so
            return of_loinc(code)
        if system == "MDC" and code:
            found = _BY_MDC.get(code) or _BY_MDC.get(obx.text(3, 2))
            if found is not None:
                return found
    return None


def of_loinc(code: str) -> Meaning:
    """Return what a LOINC code means: what is no vital sign and no document here is a laboratory result."""
    return _BY_LOINC.get(code) or Meaning("lab", code)


def is_known(code: str, system: str) -> bool:
    """Return whether a code is one of a vital sign, a document or an analyte with bounds."""
    return (system in _LOINC and (code in _BY_LOINC or code in LAB_BOUNDS)) or (system == "MDC" and code in _BY_MDC)


def note_kind(loinc: str) -> NoteKind:
    """Return the kind of a document."""
    return _DOCUMENTS.get(loinc, "other")


def _declared(code: Code) -> Meaning:
    unit = code.unit or ""
    if code.field is not None:
        return Meaning("vital", code.field, unit=unit)
    assert code.loinc is not None
    return of_loinc(code.loinc)._replace(unit=unit)
