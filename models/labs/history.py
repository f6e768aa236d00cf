"""What a patient's results of one analyte were lately: for delta checks and for stages that look back for days.

Hourly bins (`bins`) hold all sets of three days, vital signs among them: to find the last potassium there means to read
most of them. So each analyte has a row of its own beside them, rewritten only when a result of it comes; the patient's
row, which every batch rewrites, stays as small as without laboratory results. A row is the analyte's results of seven
days (KDIGO's baseline), at most the newest 64, in the order of time. Urine is kept in the same way, for two days.

`LabBins` is the patient's bins with these rows: what is put into bins or taken out of them, by corrections as well, is
put into the rows or taken out; so `Patient.measure` settles corrections for both. Only the original of a correction may
be older than the bins: then it is taken out of its row all the same.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Final
from uuid import UUID

import msgspec

from wardstream.models.bins import Bins, MeasurementSet, Reach, Rows, Value
from wardstream.models.labs.analytes import BEYOND, BY_CODE
from wardstream.models.signals import DAY
from wardstream.schemas.labs import Comparator

KEPT_RESULTS: Final = 64
KEPT_S: Final = {"urine": 2 * DAY} | dict.fromkeys(BY_CODE, 7 * DAY)


class Past(msgspec.Struct, array_like=True, frozen=True):
    """One result: when observed and received (s since 1970), its event and those that it stands in for.

    `value` is in the canonical unit; `period_h` is that of a collection of urine; `preliminary`: a final one follows.
    `comparator`: the result is below or above `value`, which is no number to compute with; None: it is exact.
    """

    at: float
    received: float
    event_id: UUID
    value: float
    period_h: float | None = None
    preliminary: bool = False
    revised: tuple[UUID, ...] = ()
    comparator: Comparator | None = None


_encode = msgspec.json.Encoder().encode
decode_past = msgspec.json.Decoder(list[Past]).decode


class LabBins(Bins):
    """The bins of one patient, with the rows of its results.

    Parameters
    ----------
    rows : Rows
        Of the hourly bins.
    past : Rows
        Of the results, by code.
    preliminary : UUID or None
        The event at hand, if it is not final.
    """

    def __init__(self, rows: Rows, past: Rows, preliminary: UUID | None = None) -> None:
        super().__init__(rows)
        self._past = past
        self._preliminary: tuple[UUID, ...] = () if preliminary is None else (preliminary,)
        self.before: dict[str, list[Past]] = {}
        """What the rows that have been changed held before, by code."""

    def past(self, code: str) -> list[Past]:
        """The numbers of one analyte, or the collections of urine, in the order of time."""
        return [one for one in self.results(code) if one.comparator is None]

    def results(self, code: str) -> list[Past]:
        """All results of one analyte in the order of time, those with a comparator as well."""
        row = self._past.get(code)
        return [] if row is None else decode_past(row)

    def add(self, measured: MeasurementSet) -> None:
        """Put a set into its hour, and its result into its row."""
        super().add(measured)
        values = measured.values
        if len(values) == 1:
            (named,) = values  # a result comes alone
            code, comparator = BEYOND.get(named, (named, None))
            if code in KEPT_S:
                self._keep(code, measured, values[named], comparator)
        elif "urine" in values:
            self._keep("urine", measured, values["urine"])

    def take_out(self, event_ids: Collection[UUID], near: float, reach: Reach = "everywhere") -> list[MeasurementSet]:
        """Remove and return sets as bins do; remove their results."""
        found = super().take_out(event_ids, near, reach)
        if reach == "its hour" and not found:
            return found
        wanted = [str(event_id).encode() for event_id in event_ids]
        for code in list(self._past.names()):
            row = self._past.get(code) or b""
            if any(text in row for text in wanted):
                known = decode_past(row)
                gone = [one for one in known if any(i == one.event_id or i in one.revised for i in event_ids)]
                self._preliminary += tuple(one.event_id for one in gone if one.preliminary)
                self._put(code, known, [one for one in known if one not in gone])
        return found

    def join_past(self, code: str, results: Iterable[Past], gone: Collection[UUID]) -> None:
        """Put other results in place of an analyte's: those of some, which may come twice, whose event is not gone."""
        kept = {one.event_id: one for one in results if one.event_id not in gone}
        self._put(code, self.results(code), _newest(code, kept.values()))

    def _keep(self, code: str, measured: MeasurementSet, value: Value, comparator: Comparator | None = None) -> None:
        hours = measured.values.get("urineh")
        if isinstance(value, str):
            return
        known = self.results(code)
        same = [one for one in known if one.event_id == measured.event_id]  # of a merge whose results came first
        one = Past(
            measured.at,
            measured.received,
            measured.event_id,
            float(value),
            None if hours is None or isinstance(hours, str) else float(hours),
            measured.event_id in self._preliminary or any(one.preliminary for one in same),
            measured.revised,
            comparator,
        )
        self._put(code, known, _newest(code, [*(other for other in known if other not in same), one]))

    def _put(self, code: str, known: list[Past], results: list[Past]) -> None:
        self.before.setdefault(code, known)
        self._past.put(code, _encode(results) if results else None)


def _newest(code: str, results: Iterable[Past]) -> list[Past]:
    """Those that are kept, in the order of time."""
    ordered = sorted(results, key=lambda one: (one.at, one.received, one.event_id))
    since = ordered[-1].at - KEPT_S[code] if ordered else 0.0
    return [one for one in ordered[-KEPT_RESULTS:] if one.at > since]


def changes(bins: LabBins) -> Mapping[str, tuple[list[Past], list[Past]]]:
    """Of each analyte whose results the event at hand has changed: what they were, and what they are."""
    return {code: (before, bins.results(code)) for code, before in bins.before.items() if code in BY_CODE}
