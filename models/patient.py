"""One patient's state: the latest value of each signal, the stay, the open alerts; and what revises them.

A correction (an event that names another in `supersedes`) replaces all that the other measured, a cancellation removes
it; the signals it had set fall back to the newest value that is left. So after any order of arrival the state is the
same, as far back as the hourly bins go.

Scores are of the time at which what they rest on was known, not of when it was observed: a set charted half an hour
late makes a score of now. Who learns from scores, or counts how early an alert came, sees no later knowledge in them.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

import msgspec

from wardstream.models.alerts.states import EndedAlert, OpenAlert, Pending, Silenced
from wardstream.models.alerts.states import due as alerts_due
from wardstream.models.bins import KEPT_HOURS, Bins, MeasurementSet, Reach
from wardstream.models.latest import Signals, current, find, take
from wardstream.models.revisions import lasting, settle, standing
from wardstream.models.scores import Observations
from wardstream.models.signals import BEDSIDE, BINS_ONLY, DAY, FIELDS, HOUR, SCORED, WINDOWS_S
from wardstream.models.stay import Stay
from wardstream.schemas.directives import Kind as OrderKind
from wardstream.schemas.directives import Thresholds
from wardstream.schemas.notes import Kind

KEPT_AFTER_LEAVING_S = DAY  # late results and corrections still find the patient
KEPT_IN_SILENCE_S = 30 * DAY  # patients whose discharge never came
KEPT_UNADMITTED_S = 2 * DAY  # in silence too: of whom nobody says that they came, nobody will say that they left
KEPT_AWAITED = 32
KEPT_DEATHS = 8
KEPT_FILMS = 16
KEPT_NOTES = 64
KEPT_ORDERS = 16
HOUR_GRACE_S = 1.0  # after the end of an hour: what was measured at its very end belongs to it
RECOUNTED_S = (KEPT_HOURS - 12) * HOUR  # the bins of that time hold all that was current then, rounds included

Outcome = Literal["new", "late", "revised", "unknown_original", "already_revised"]


class Taken(NamedTuple):
    """What became of a measurement set; `changed`: the scores may be others now.

    new: something is newer than before. late: nothing is. revised: the state was corrected. unknown_original: what it
    revises is not (or no longer) in the bins; the set counts, and the original will not, should it still come.
    already_revised: it had been corrected before it came.
    """

    outcome: Outcome
    changed: bool


class Death(msgspec.Struct, array_like=True, frozen=True):
    """What an outcome says about the patient's death: `at` is when (s since 1970), None that it was none."""

    event_id: UUID
    supersedes: UUID | None
    received_at: float
    at: float | None


class Film(msgspec.Struct, array_like=True, frozen=True):
    """What a model saw in a film that was taken at a time (s since 1970): log-odds; None: it has been taken back."""

    event_id: UUID
    supersedes: UUID | None
    received_at: float
    at: float
    logit: float | None


class Written(msgspec.Struct, array_like=True, frozen=True):
    """A note of a class that was written at a time (s since 1970); None: it has been taken back."""

    event_id: UUID
    supersedes: UUID | None
    received_at: float
    at: float
    kind: Kind | None


class Order(msgspec.Struct, array_like=True, frozen=True):
    """What a clinician has ordered about the patient's alerts, until when (s since 1970); `kind` None: taken back."""

    event_id: UUID
    supersedes: UUID | None
    received_at: float
    kind: OrderKind | None
    until: float
    condition: str | None = None
    thresholds: Thresholds | None = None


class Patient(msgspec.Struct, omit_defaults=True):
    """What a lane knows of one patient. Times in seconds since 1970.

    `heard` is the newest time at which anything of the patient was observed or received. `scored` is the time of the
    newest scores: what lapses after it wakes the patient. `predicted` is the end of the last hour of the stay that was
    predicted from. `awaited` are events that were revised before they came, and since when. `survived` is about the
    newest merge in which this id was to survive: when it was made, when it was received, and its event. `answers` are
    the last log-odds of the deep models by the name of the risk model's input, and as of when. `waiting` is when the
    first and the last hour that wait for their label are told; None: none waits. `judged` is likewise when the first
    and the last verdict on alerts are due. `alerts` are those that are open, by condition; `pending`, `silenced` and
    `ended` are the rest of their `Book`. `orders` are those of clinicians about them.
    """

    heard: float = 0.0
    scored: float = 0.0
    predicted: float = 0.0
    signals: Signals = {}
    stay: Stay = msgspec.field(default_factory=Stay)
    facility: str | None = None
    deaths: tuple[Death, ...] = ()
    films: tuple[Film, ...] = ()
    notes: tuple[Written, ...] = ()
    alerts: dict[str, OpenAlert] = {}
    pending: dict[str, Pending] = {}
    silenced: dict[str, Silenced] = {}
    ended: tuple[EndedAlert, ...] = ()
    orders: tuple[Order, ...] = ()
    awaited: dict[UUID, float] = {}
    survived: tuple[datetime, datetime, UUID] | None = None
    answers: dict[str, tuple[float, float]] = {}
    waiting: tuple[float, float] | None = None
    judged: tuple[float, float] | None = None

    def hear(self, *times: datetime) -> None:
        """Something was observed or received."""
        self.heard = max(self.heard, *(time.timestamp() for time in times))

    def measure(
        self,
        bins: Bins,
        measured: MeasurementSet,
        supersedes: UUID | None,
        reach: Reach = "everywhere",
        retracted: Collection[str] = (),
    ) -> Taken:
        """Take in what an event measured; empty `values` with `supersedes` cancel.

        `retracted` are the codes that a revision is about. Where what it revises is not there, their values of the same
        time are taken away: they came in a larger set, of which this is a part. A larger set that comes after the
        revision of its part counts in full: nothing says then what they have to do with each other.

        With the reach `its hour` what the set revises is looked for there alone, and not awaited; so is what may have
        taken its place already.
        """
        self.heard = max(self.heard, measured.at, measured.received)
        if supersedes is None and measured.event_id not in self.awaited and reach == "everywhere":
            bins.add(measured)
            newer = take(self.signals, measured)
            return Taken("new" if newer else "late", newer)
        return self._revise(bins, measured, supersedes, reach, retracted)

    def _revise(
        self,
        bins: Bins,
        measured: MeasurementSet,
        supersedes: UUID | None,
        reach: Reach,
        retracted: Collection[str],
    ) -> Taken:
        event_ids = set() if supersedes is None else {supersedes}
        if self.awaited.pop(measured.event_id, None) is not None:
            reach = "everywhere"
            event_ids.add(measured.event_id)
        elif reach == "its hour":
            event_ids.add(measured.event_id)
        found = bins.take_out(event_ids, measured.at, reach)
        unknown = supersedes is not None and not any(supersedes in (one.event_id, *one.revised) for one in found)
        if supersedes is not None and unknown and reach == "everywhere":
            self._await(supersedes)
        whole = bins.take_from(retracted, measured.at, device=measured.device) if unknown and retracted else []
        holds = settle(found, measured, supersedes)
        bins.add(holds)
        replaced = [one for one in (*found, *whole) if one.event_id != holds.event_id]
        if replaced:
            codes = {code for one in (*replaced, measured) for code in one.values}
            find(self.signals, bins, codes)
            return Taken("revised", not codes <= BINS_ONLY)
        if holds.event_id != measured.event_id:
            return Taken("already_revised", False)
        newer = take(self.signals, measured)
        return Taken("unknown_original" if unknown else "new" if newer else "late", newer)

    def _await(self, event_id: UUID) -> None:
        since = self.heard - KEPT_HOURS * HOUR
        newest = sorted((at, known) for known, at in self.awaited.items() if at > since)[1 - KEPT_AWAITED :]
        self.awaited = {known: at for at, known in newest} | {event_id: self.heard}

    def current(self, at: float) -> Signals:
        """The signals that are current at a time (s since 1970)."""
        return current(self.signals, at)

    def as_of(self, bins: Bins, at: float) -> Signals | None:
        """The signals that were current at an earlier time, by what is known now; None beyond `RECOUNTED_S`."""
        if at < self.heard - RECOUNTED_S:
            return None
        then = dict(self.signals)
        find(then, bins, [code for code, latest in then.items() if latest.at > at], at)
        return current(then, at)

    def observations(self, current: Signals) -> Observations:
        """What the rule scores look at. A male patient is known not to be pregnant."""
        values = {FIELDS[code]: latest.value for code, latest in current.items()}
        stay = self.stay
        pregnant = False if stay.sex == "male" and stay.pregnant is None else stay.pregnant
        return Observations(age_years=stay.age_years, pregnant=pregnant, **values)  # type: ignore[arg-type]

    def report_death(self, death: Death) -> None:
        """Take in that the patient died, or what an earlier report of it has become."""
        self.deaths = (*self.deaths, death)[-KEPT_DEATHS:]

    def report_film(self, film: Film) -> None:
        """Take in what was seen in a film, or that it has been taken back."""
        self.films = (*self.films, film)[-KEPT_FILMS:]

    def film(self, at: float) -> tuple[float, float] | None:
        """Log-odds of the newest film that had been taken by a time, the highest of several, and when it was taken."""
        seen = [(film.at, film.logit) for film in standing(self.films) if film.logit is not None and film.at <= at]
        if not seen:
            return None
        taken, logit = max(seen)
        return logit, taken

    def report_note(self, note: Written) -> None:
        """Take in that a note was written, or that it has been taken back."""
        self.notes = (*self.notes, note)[-KEPT_NOTES:]

    def written(self, since: float, at: float) -> dict[Kind, list[float]]:
        """When notes were written after a time and up to another one (s since 1970), by class."""
        found: dict[Kind, list[float]] = {}
        for note in standing(self.notes):
            if note.kind is not None and since < note.at <= at:
                found.setdefault(note.kind, []).append(note.at)
        return found

    def order(self, order: Order, now: float) -> None:
        """Take in an order, or that one has been taken back; those that have ended before `now` go."""
        self.end_orders(now)
        self.orders = (*self.orders, order)[-KEPT_ORDERS:]

    def end_orders(self, now: float) -> None:
        """Forget the orders that have ended, each with what it revised: that does not hold again."""
        self.orders = lasting(self.orders, lambda one: one.until <= now)

    def comfort_until(self, at: float) -> float | None:
        """When the comfort care ends that is ordered at a time; None: none is."""
        if not self.orders:
            return None
        ends = [one.until for one in standing(self.orders) if one.kind == "comfort_care" and one.until > at]
        return max(ends, default=None)

    def thresholds(self, condition: str, at: float) -> Thresholds | None:
        """The patient's own thresholds of a condition at a time, by the newest order; None: there are none."""
        found = [
            one
            for one in standing(self.orders)
            if one.kind == "thresholds" and one.condition == condition and one.until > at
        ]
        return max(found, key=lambda one: (one.received_at, one.event_id)).thresholds if found else None

    def orders_end(self) -> float:
        """When the first order that holds ends, in seconds since 1970."""
        return min((one.until for one in standing(self.orders)), default=float("inf"))

    @property
    def died_at(self) -> float | None:
        """When the patient died; None: not as far as is known."""
        if not self.deaths:
            return None
        return min((death.at for death in standing(self.deaths) if death.at is not None), default=None)

    @property
    def gone(self) -> bool:
        """Whether the patient has left or died: nothing is awaited from the bedside."""
        return self.stay.phase == "left" or self.died_at is not None

    def hour_ended(self, now: float) -> float:
        """The end of the newest hour of the stay that is over (s since 1970); 0 before the first, and out of a stay."""
        admitted = self.stay.admitted_at
        if admitted is None or self.stay.phase != "present" or self.gone:
            return 0.0
        hours = (now - HOUR_GRACE_S - admitted) // HOUR
        return admitted + hours * HOUR if hours > 0 else 0.0

    def lapses_at(self) -> float:
        """When a signal that scores use lapses next or is overdue, in seconds since 1970."""
        lapses, scored = float("inf"), self.scored
        for code, latest in self.signals.items():
            if code in SCORED:
                until = latest.at + WINDOWS_S[latest.device][code]  # `until`
                if until <= scored and code in BEDSIDE:
                    until = latest.overdue(code)
                if scored < until < lapses:
                    lapses = until
        return lapses

    def forget_at(self) -> float:
        """When the state may leave memory, in seconds since 1970."""
        left = self.stay.left_at if self.stay.phase == "left" else self.died_at
        if left is not None:
            back = self.stay.registered and self.died_at is None  # for a visit to come
            until = max(left, self.heard) + (KEPT_IN_SILENCE_S if back else KEPT_AFTER_LEAVING_S)
        else:
            until = self.heard + (KEPT_UNADMITTED_S if self.stay.phase == "unknown" else KEPT_IN_SILENCE_S)
        for times in (self.waiting, self.judged):
            if times is not None:
                until = max(until, times[1])
        return until


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
        """When a signal lapses or is overdue, an hour of the stay ends or is told, an alert's or an order's time
        is over, a verdict is due, or the patient may be forgotten."""
        due = entity.forget_at()
        for times in (entity.waiting, entity.judged):
            if times is not None:
                due = min(due, times[0])
        if entity.alerts or entity.pending:
            due = min(due, alerts_due(entity))
        if entity.orders:
            due = min(due, entity.orders_end())
        if entity.gone:
            return due
        due = min(due, entity.lapses_at())
        admitted = entity.stay.admitted_at
        if admitted is not None and entity.stay.phase == "present":
            hours = max(0.0, (entity.predicted - admitted) // HOUR)
            due = min(due, admitted + (hours + 1) * HOUR + HOUR_GRACE_S)
        return due
