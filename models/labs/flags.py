"""What the newest result of an analyte calls for: critical and delta flags, as they are and as they end.

A flag belongs to the newest result: a later one that is neither critical nor far from it ends the flags, a correction
takes them back. So the pair "flags before, flags now" is all that an alert needs for its life.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from wardstream.models.labs.analytes import BY_CODE
from wardstream.models.labs.critical import critical
from wardstream.models.labs.delta import delta
from wardstream.models.labs.history import Past
from wardstream.schemas.scores import Flag, Reading, Result

_FIELDS: Final = {code: analyte.field for code, analyte in BY_CODE.items()}


def judge_newest(code: str, history: Sequence[Past], age_years: float | None) -> Result:
    """Return the newest result with its flags; without value or flags where there is no result.

    Parameters
    ----------
    code : str
        Of the analyte.
    history : sequence of Past
        Its results in the order of time, preliminary ones included; a delta is against the last final one before. One
        with a comparator may be critical, and is no part of a delta.
    age_years : float or None
        Of the patient; None: not known.
    """
    field = _FIELDS[code]
    if not history:
        return Result(name=field)
    newest = history[-1]
    flags = []
    found = critical(code, newest.value, age_years, newest.comparator)
    if found is not None:
        kind, limit = found
        flags.append(Flag(kind=kind, limit=limit.value, source=limit.source))
    final = (one for one in reversed(history[:-1]) if not one.preliminary and one.comparator is None)
    before = next((one for one in final if one.at < newest.at), None)
    previous = None if before is None else Reading(value=before.value, observed_at=_moment(before.at))
    if before is not None and newest.comparator is None:
        differs = delta(code, newest.value, newest.at, before.value, before.at)
        if differs is not None:
            side, change = differs
            flags.append(Flag(kind=side, limit=change.change, source=change.source, percent=change.kind == "percent"))
    return Result(
        name=field,
        value=newest.value,
        comparator=newest.comparator,
        observed_at=_moment(newest.at),
        result_id=newest.event_id,
        preliminary=newest.preliminary,
        flags=tuple(flags),
        previous=previous,
    )


def news_of(code: str, before: Sequence[Past], after: Sequence[Past], age_years: float | None) -> Result | None:
    """Return what is to be told of an analyte after its results have changed: its flags, or that they have ended.

    Returns
    -------
    Result or None
        None: no flag was there, none is; or the newest result and its flags are what they were.
    """
    was, now = judge_newest(code, before, age_years), judge_newest(code, after, age_years)
    return now if (was.flags or now.flags) and _told(was) != _told(now) else None


def _told(result: Result) -> tuple[object, ...]:
    return result.result_id, result.value, result.comparator, result.flags


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
