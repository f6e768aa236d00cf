"""One patient's state: the latest value of each signal, the stay, the open alerts; and what revises them.

The latest value of a signal is the one observed last, however late it came; of two observed at the same time, the one
received last. A correction (an event that names another in `supersedes`) replaces what that event measured, a
cancellation removes it; the signals it had set fall back to the newest value that is left. So after any order of
arrival the state is the same, as far back as the hourly bins go.
"""

from collections.abc import Iterable
from typing import Literal
from uuid import UUID

import msgspec

from wardstream.models.bins import Bins, MeasurementSet, Value
from wardstream.models.scores import Observations
from wardstream.models.signals import BY_CODE, DAY, HOUR, ONE_STATEMENT, window_s
from wardstream.models.stay import Stay
from wardstream.schemas.alerts import Priority

KEPT_AFTER_LEAVING_S = DAY  # late results and corrections still find the patient
KEPT_IN_SILENCE_S = 30 * DAY  # patients whose discharge never came
KEPT_ORPHANS = 32

Outcome = Literal["new", "late", "revised", "unknown_original", "already_revised"]


class Latest(msgspec.Struct, array_like=True, frozen=True):
    """A signal's newest value: when it was observed and received (s since 1970), and whether by a device."""

    value: Value
    at: float
    received: float
    device: bool

    def until(self, code: str) -> float:
        """When it stops to be current, in seconds since 1970."""
        return self.at + window_s(code, self.device)


class OpenAlert(msgspec.Struct, omit_defaults=True):
    """An alert that has been raised and not yet ended; `signals` are those that a stale alert waits for."""

    alert_id: UUID
    priority: Priority
    raised_at: float
    caused_by: UUID
    transitions: int = 1
    signals: tuple[str, ...] = ()


class Patient(msgspec.Struct, omit_defaults=True):
    """What a lane knows of one patient.

    `clock` is the newest time (s since 1970) at which anything was observed or a tick passed: scores are of that time.
    `orphans` are events that were corrected or cancelled before they came.
    """

    clock: float = 0.0
    signals: dict[str, Latest] = {}
    stay: Stay = msgspec.field(default_factory=Stay)
    died_at: float | None = None
    alerts: dict[str, OpenAlert] = {}
    orphans: tuple[UUID, ...] = ()

    def measure(self, bins: Bins, measured: MeasurementSet, supersedes: UUID | None) -> Outcome:
        """Take in what an event measured; empty `values` with `supersedes` cancel.

        Returns
        -------
        Outcome
            new: something is newer than before. late: nothing is. revised: the state was corrected.
            unknown_original: what it revises is not (or no longer) in the bins; the event counts as it is, and the
            original will be ignored should it still come. already_revised: it had been corrected before it came.
        """
        if measured.event_id in self.orphans:
            self.orphans = tuple(orphan for orphan in self.orphans if orphan != measured.event_id)
            return "already_revised"
        removed = None if supersedes is None else bins.remove(supersedes, measured.at)
        if measured.values:
            bins.add(measured)
        self.clock = max(self.clock, measured.at)
        if removed is not None:
            self._fall_back(bins, {*removed.values, *measured.values})
            return "revised"
        newer = self._take(measured)
        if supersedes is not None:
            self.orphans = (*self.orphans, supersedes)[-KEPT_ORPHANS:]
            return "unknown_original"
        return "new" if newer else "late"

    def _take(self, measured: MeasurementSet) -> bool:
        newer = False
        at, received, device, signals = measured.at, measured.received, measured.device, self.signals
        for code, value in measured.values.items():
            known = signals.get(code)
            if known is None or (at, received) >= (known.at, known.received):
                signals[code] = Latest(value, at, received, device)
                newer = True
        return newer

    def _fall_back(self, bins: Bins, codes: Iterable[str]) -> None:
        """Find the newest value of some signals anew."""
        for code in codes:
            self.signals.pop(code, None)
        wanted = set(codes)
        for measured in bins.sets():
            some = {code: value for code, value in measured.values.items() if code in wanted}
            self._take(msgspec.structs.replace(measured, values=some))

    def current(self, at: float) -> dict[str, Latest]:
        """The signals that are current at a time; of several ways to say one thing, only the newest statement."""
        current = {code: latest for code, latest in self.signals.items() if latest.until(code) > at}
        for group in ONE_STATEMENT:
            said = [current[code].at for code in group if code in current]
            if len(said) > 1:
                newest = max(said)
                for code in group:
                    if code in current and current[code].at < newest:
                        del current[code]
        return current

    def observations(self, current: dict[str, Latest]) -> Observations:
        """What the rule scores look at. A male patient is known not to be pregnant."""
        values = {BY_CODE[code].field: latest.value for code, latest in current.items()}
        stay = self.stay
        pregnant = False if stay.sex == "male" and stay.pregnant is None else stay.pregnant
        return Observations(age_years=stay.age_years, pregnant=pregnant, **values)  # type: ignore[arg-type]

    @property
    def gone(self) -> bool:
        """Whether the patient has left or died: nothing is awaited from the bedside."""
        return self.stay.phase == "left" or self.died_at is not None

    def forget_at(self) -> float:
        """When the state may leave memory, in seconds since 1970."""
        left = self.stay.left_at if self.stay.phase == "left" else self.died_at
        return self.clock + KEPT_IN_SILENCE_S if left is None else max(left, self.clock) + KEPT_AFTER_LEAVING_S


class PatientCodec:
    """How lanes keep patients: as JSON, so that a person or another program can read the changelog."""

    def __init__(self) -> None:
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(Patient).decode

    def new(self, key: str) -> Patient:
        return Patient()

    def decode(self, row: bytes) -> Patient:
        return self._decode(row)

    def encode(self, entity: Patient) -> bytes:
        return self._encode(entity)

    def due(self, entity: Patient) -> float:
        """When a signal lapses next, or the patient may be forgotten."""
        due = entity.forget_at()
        if not entity.gone:
            clock = entity.clock
            for code, latest in entity.signals.items():
                until = latest.until(code)
                if clock < until < due:
                    due = until
        return due


__all__ = ["HOUR", "Latest", "OpenAlert", "Outcome", "Patient", "PatientCodec"]
