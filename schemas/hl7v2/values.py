"""OBX-5 by its type OBX-2 (chapter 7, section 7.4.2; data types in chapter 2A): numbers, comparators, words, ranges."""

import re
from collections.abc import Mapping
from math import isfinite
from typing import Final, NamedTuple, get_args

from wardstream.schemas.hl7v2.reading import Segment
from wardstream.schemas.labs import Comparator, Flag
from wardstream.schemas.vitals import Consciousness, OxygenDevice

TEXTS: Final = frozenset(("ST", "TX", "FT", "CE", "CWE", "CNE", "CF", "IS", "ID", "DT", "TM", "TS", "DTM", "DR", ""))
"""Types whose value is a text; with NM and SN, all that are read here."""
TYPES: Final = TEXTS | {"NM", "SN", "ED", "RP", "AD", "CK", "CN", "CP", "CX", "MO", "NA", "MA", "PN", "TN", "XAD"}
"""Those that OBX-2 may say (table 0125), as far as they come."""
_CODED: Final = frozenset(("CE", "CWE", "CNE", "CF"))
_FREE: Final = frozenset(("TX", "FT"))
_NUMERIC: Final = frozenset(("NM", "ST", "TX", "FT", ""))  # a date is none, though it is written in digits
_MAX_RANGE: Final = 64
MAX_TEXT: Final = 200_000

_NUMBER: Final = re.compile(
    r"(<=|>=|<|>|=)?\s*"
    r"([+-]?(?:[0-9]{1,15}(?:\.[0-9]{0,15})?|\.[0-9]{1,15})(?:[eE][+-]?[0-9]{1,2})?)"
)
_SPAN: Final = re.compile(r"\[?\s*([+-]?[0-9]*\.?[0-9]+)\s*(?:-|–|\.\.|to)\s*([+-]?[0-9]*\.?[0-9]+)\s*\]?")
_LIMIT: Final = re.compile(r"\[?\s*(<=|>=|<|>)\s*([+-]?[0-9]*\.?[0-9]+)\s*\]?")
_COMPARATORS: Final[Mapping[str, Comparator]] = {"<": "<", "<=": "<=", ">=": ">=", ">": ">"}
_FLAGS: Final[Mapping[str, Flag]] = {flag: flag for flag in get_args(Flag)}

_CONSCIOUSNESS: Final[Mapping[str, Consciousness]] = {
    **dict.fromkeys(("a", "alert", "awake"), "A"),
    **dict.fromkeys(("c", "confused", "confusion", "new confusion", "newly confused"), "C"),
    **dict.fromkeys(("v", "voice", "verbal", "responds to voice"), "V"),
    **dict.fromkeys(("p", "pain", "responds to pain"), "P"),
    **dict.fromkeys(("u", "unresponsive", "unconscious"), "U"),
}
_DEVICES: Final[Mapping[str, OxygenDevice]] = {
    **dict.fromkeys(("room air", "air", "none (room air)"), "room_air"),
    **dict.fromkeys(("nasal cannula", "nasal cannulae", "nasal prongs", "nc"), "nasal_cannula"),
    **dict.fromkeys(("simple mask", "face mask", "mask"), "simple_mask"),
    **dict.fromkeys(("venturi", "venturi mask"), "venturi_mask"),
    **dict.fromkeys(("non-rebreather", "non-rebreather mask", "non rebreather mask", "nrb"), "non_rebreather_mask"),
    **dict.fromkeys(("tracheostomy mask", "trach mask"), "tracheostomy_mask"),
    **dict.fromkeys(("high flow nasal cannula", "high-flow nasal cannula", "hfnc", "high flow"), "high_flow_nasal"),
    "cpap": "cpap",
    **dict.fromkeys(("bipap", "niv", "non-invasive ventilation"), "non_invasive_ventilation"),
    **dict.fromkeys(("ventilator", "invasive ventilation", "mechanical ventilation"), "invasive_ventilation"),
}
_YES: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("y", "yes", "true", "1", "oxygen"), True),
    **dict.fromkeys(("n", "no", "false", "0", "air", "room air"), False),
}
WORDS: Final[Mapping[str, Mapping[str, object]]] = {
    "consciousness": _CONSCIOUSNESS,
    "oxygen_device": _DEVICES,
    "supplemental_oxygen": _YES,
}
"""By field of vitals, what its words mean; in lower case."""


class Value(NamedTuple):
    """A number, with or without a comparator, or a text; neither: nothing was sent."""

    number: float | None = None
    comparator: Comparator | None = None
    text: str = ""


class Unreadable(ValueError):
    """OBX-5 is not what OBX-2 says, or says several things at once."""


def value_of(obx: Segment) -> Value:
    """Return the value of an observation.

    Raises
    ------
    Unreadable
        A number (NM, SN) is none, or there are several.
    """
    kind = obx.text(2).upper()
    if kind == "SN":
        return _structured(obx)
    if kind in _CODED:
        return Value(text=obx.text(5, 2) or obx.text(5, 1) or obx.text(5, 5) or obx.text(5, 9))
    count = obx.repetitions(5)
    if kind in _FREE or count > 1:
        if kind == "NM":
            raise Unreadable
        text = "\n".join(filter(None, (obx.whole(5, repetition) for repetition in range(1, count + 1))))
    else:
        text = obx.whole(5)
    found = _NUMBER.fullmatch(text) if kind in _NUMERIC else None
    if found is None:
        if kind == "NM" and text:
            raise Unreadable
        return Value(text=text)
    return _number(found)


def _structured(obx: Segment) -> Value:
    """An SN: comparator, number, separator or suffix, second number. Only the first two are a number."""
    sign, first, separator, second = (obx.text(5, component) for component in (1, 2, 3, 4))
    if obx.repetitions(5) > 1:
        raise Unreadable
    if separator or second or sign == "<>":
        return Value(text=f"{sign}{first}{separator}{second}")
    text = f"{sign}{first}"
    found = _NUMBER.fullmatch(text)
    if found is None:
        if text:
            raise Unreadable
        return Value()
    return _number(found)


def _number(found: re.Match[str]) -> Value:
    number = float(found[2])
    if not isfinite(number):
        raise Unreadable
    return Value(number, _COMPARATORS.get(found[1] or ""))


def reference_range(text: str) -> tuple[float | None, float | None]:
    """Return the lower and the upper end of OBX-7; None: open, or said in a way that is not known here."""
    if len(text) > _MAX_RANGE:
        return None, None
    span = _SPAN.fullmatch(text)
    if span is not None:
        low, high = float(span[1]), float(span[2])
        return (low, high) if low <= high else (None, None)
    limit = _LIMIT.fullmatch(text)
    if limit is None:
        return None, None
    return (None, float(limit[2])) if limit[1][0] == "<" else (float(limit[2]), None)


def flag(obx: Segment) -> Flag | None:
    """Return the first flag of OBX-8 (table 0078) that is known here."""
    for repetition in range(1, obx.repetitions(8) + 1):
        known = _FLAGS.get(obx.text(8, repetition=repetition))
        if known is not None:
            return known
    return None
