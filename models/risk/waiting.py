"""Hours that wait for their label: a row each, beside the patient's own, from their prediction until they are told.

A row holds what the model was given and said at that time, and nothing that became known later: a corrected result does
not change it. It goes when it is told, once, whatever became of the patient; the rows of two ids that turn out to be
one patient are all told, by what is known of both.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple
from uuid import UUID

import msgspec

from wardstream.models.bins import Rows
from wardstream.models.risk.features import Inputs
from wardstream.models.risk.labels import Report, Verdict, label
from wardstream.models.risk.target import Target
from wardstream.models.stay import StayLog


class Waiting(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An hour that was predicted from.

    Attributes
    ----------
    prediction : UUID
        The event that told the prediction.
    at : float
        End of the hour, seconds since 1970.
    features : str
        Version of the inputs.
    inputs : Inputs
        What was known (`features.gather`).
    hour : int
        Of the stay, from 1.
    encounter_id, facility, unit : str or None
        Where the patient was.
    version : str
        Of the snapshot that answered.
    said : mapping of str to float
        The probability that was told, by the model that answered and as `target.SERVED`; empty: none was.
    alerts : tuple of str
        Conditions on which an alert was open once the prediction had been judged.
    silent : tuple of str
        Those of them that nobody was told of.
    alert_id : UUID or None
        The alert that the prediction raised.
    """

    prediction: UUID
    at: float
    features: str
    inputs: Inputs
    hour: int
    version: str
    said: Mapping[str, float]
    encounter_id: str | None = None
    facility: str | None = None
    unit: str | None = None
    alerts: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    alert_id: UUID | None = None


class Told(NamedTuple):
    """An hour and its label."""

    waiting: Waiting
    verdict: Verdict


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Waiting).decode


class WaitingHours:
    """The hours of one patient that wait."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def add(self, waiting: Waiting) -> None:
        """Have an hour wait; one that waits already stays as it is."""
        name = f"{waiting.at:.3f}/{waiting.prediction}"
        if self._rows.get(name) is None:
            self._rows.put(name, _encode(waiting))

    def join(self, theirs: Mapping[str, bytes]) -> None:
        """Take in the rows of another id of the same patient."""
        for row in theirs.values():
            self.add(_decode(row))

    def ends(self) -> tuple[float, float] | None:
        """The ends of the first and the last hour that wait (s since 1970); None: none does."""
        times = [_at(name) for name in self._rows.names()]
        return (min(times), max(times)) if times else None

    def tell(self, now: float, reports: Iterable[Report], log: StayLog, target: Target) -> list[Told]:
        """Take out the hours whose time has come, with their labels, in the order of time."""
        due = sorted((name for name in self._rows.names() if target.told_at(_at(name)) <= now), key=_order)
        known = list(reports)
        told = []
        for name in due:
            row = self._rows.get(name)
            assert row is not None, "it was named"
            waiting = _decode(row)
            told.append(Told(waiting, label(waiting.at, known, log, target)))
            self._rows.put(name, None)
        return told


def _at(name: str) -> float:
    return float(name.partition("/")[0])


def _order(name: str) -> tuple[float, str]:
    return _at(name), name
