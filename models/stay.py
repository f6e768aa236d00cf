"""Where a patient is: the admission events folded into one present, and into the units passed through on the way.

Events come late, twice, corrected and cancelled (HL7's A11 to A13 do not even say which event they cancel), so the
present is not changed in place: the stay's events are kept, and folded anew, in the order in which they happened,
whenever one comes. A cancellation takes back the last event of its kind that had happened, or had been recorded, by
then: people record an admission some minutes before the hour that they give it.

Of a long stay those updates go first that moved nobody and that a newer one repeats. Then the oldest events are folded
for good into the stay's `base`: they can be cancelled no more, and what comes from before them is too late and changes
nothing.

A patient can have two encounters at once: the emergency visit is closed when the patient lies upstairs already, and an
outpatient appointment or the registration of a next stay falls into this one. Such events move nobody. An inpatient
who is seen in the emergency department under another number is there, and back in bed when that visit ends. What comes
of a visit that has ended moves nobody out of the one that goes on.

An update that gives the place of an inpatient or emergency visit that nobody has admitted says that the patient is
there: the admission was before this stream began, or is on its way. It brings nobody back who has left.
"""

from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple
from uuid import UUID

import msgspec

from wardstream.models.admission_events import (
    CANCELS,
    LASTING,
    PLACE,
    WHO,
    cancels_admission,
    order,
    recorded_by,
    superseded,
)
from wardstream.models.revisions import standing
from wardstream.schemas.admissions import Admission
from wardstream.schemas.occupancy import row_key

KEPT_EVENTS = 40
KEPT_VISITS = 40  # of those that are folded for good
KEPT_NUMBERS = 8  # of visits that have ended, and of those to come


class Stay(msgspec.Struct, omit_defaults=True):
    """The present of a stay. Times in seconds since 1970; None: not known.

    `planned`: the patient was registered before coming (class preadmit) and is admitted, or to be, under that number
    and not as an emergency, whatever other visits were in between. `since` and `came_from` are about the unit in which
    the patient is present: when entered, and the unit before.
    `inpatient` is the inpatient visit that goes on during this emergency visit. `ended` are the numbers of visits that
    have ended, `registered` of those that are yet to begin; the newest last.
    """

    phase: Literal["unknown", "preadmitted", "present", "left"] = "unknown"
    encounter_id: str | None = None
    facility: str | None = None
    patient_class: str | None = None
    unit: str | None = None
    room: str | None = None
    bed: str | None = None
    since: float | None = None
    came_from: str | None = None
    admitted_at: float | None = None
    left_at: float | None = None
    disposition: str | None = None
    age_years: float | None = None
    sex: str | None = None
    pregnant: bool | None = None
    acuity: int | None = None
    complaint: str | None = None
    code_status: str | None = None
    planned: bool = False
    inpatient: "Stay | None" = None
    ended: tuple[str, ...] = ()
    registered: tuple[str, ...] = ()

    @property
    def inferred(self) -> bool:
        """Whether only an update says that the patient is here."""
        return self.phase == "present" and self.admitted_at is None

    @property
    def occupies(self) -> str | None:
        """The unit in which the patient is; None: in none, or nobody says in which."""
        return self.unit if self.phase == "present" else None


class Visit(msgspec.Struct, frozen=True, omit_defaults=True):
    """A time in one unit. `stay` is what was known at its end, or is; `until` and `left_to` None: still there."""

    stay: Stay
    until: float | None = None
    left_to: str | None = None

    @property
    def unit(self) -> str:
        return self.stay.unit or ""

    @property
    def since(self) -> float:
        return self.stay.since or self.stay.admitted_at or 0.0  # an older version kept no `since`


_IN_BED = ("emergency", "inpatient")


def effective(events: Iterable[Admission]) -> list[Admission]:
    """The events that hold, in the order in which they happened: without those corrected or cancelled since."""
    known = sorted(standing(events), key=order)
    gone: set[UUID] = set()
    for place, event in enumerate(known):
        cancelled = CANCELS.get(event.kind)
        if cancelled is None or event.supersedes is not None:  # one that is named has been taken out above
            continue
        before = [*known[:place], *(later for later in known[place + 1 :] if recorded_by(later, event))]
        for other in reversed(before):
            stands = other.kind == cancelled and other.status != "cancelled" and other.event_id not in gone
            if stands and not _differ(other.encounter_id, event.encounter_id):
                gone.add(other.event_id)
                break
    return [
        event
        for event in known
        if cancels_admission(event)
        or (event.kind not in CANCELS and event.status != "cancelled" and event.event_id not in gone)
    ]


def fold(events: Iterable[Admission], base: Stay | None = None) -> Stay:
    """The present that the events add up to, after what `base` already says."""
    return trace(events, base)[0]


def trace(events: Iterable[Admission], base: Stay | None = None) -> tuple[Stay, list[Visit]]:
    """The present, and the visits of units that ended on the way there, in their order.

    A visit goes on while the patient changes bed, class or encounter in one unit.
    """
    stay = Stay() if base is None else msgspec.structs.replace(base)
    ended: list[Visit] = []
    for event in effective(events):
        before, stay = stay, _after(event, msgspec.structs.replace(stay))
        left, entered = before.occupies, stay.occupies
        if left == entered:
            continue
        at = event.observed_at.timestamp()
        if left is not None and not (before.inferred and cancels_admission(event)):
            before.encounter_id = before.encounter_id or stay.encounter_id
            before.disposition = stay.disposition
            ended.append(Visit(_brief(before), max(at, before.since or at), entered))
        stay.since, stay.came_from = (None, None) if entered is None else (at, left)
    return stay, ended


class Step(NamedTuple):
    """What the stay was from a moment on (s since 1970)."""

    moment: float
    stay: Stay


def course(log: "StayLog") -> list[Step]:
    """How a stay went, by what is known now: what it was after each event that holds, in the order of time.

    Of events that are folded for good only what they add up to is known: it is taken to have been so from the first.
    """
    stay = msgspec.structs.replace(log.base)
    steps = [Step(float("-inf"), stay)]
    for event in effective(log.events):
        stay = _after(event, msgspec.structs.replace(stay))
        steps.append(Step(event.observed_at.timestamp(), stay))
    return steps


def _brief(stay: Stay) -> Stay:
    """Without the texts that nobody asks of a visit, and without other visits."""
    return msgspec.structs.replace(stay, complaint=None, code_status=None, inpatient=None, ended=(), registered=())


def _after(event: Admission, stay: Stay) -> Stay:
    """The stay after one more event; may change the one given."""
    at, number, elsewhere = event.observed_at.timestamp(), event.encounter_id, _is_elsewhere(event, stay)
    if cancels_admission(event):
        other = stay.inpatient
        if other is not None and other.inferred and other.encounter_id == event.encounter_id:
            stay.inpatient = None
        if stay.phase == "unknown" or (stay.inferred and not elsewhere):  # no other admission holds: nobody came
            stay.phase, stay.left_at = "left", at
        return stay
    if event.kind == "discharge" and number is not None:
        stay.ended, stay.registered = _with(stay.ended, number), _without(stay.registered, number)
        if stay.inpatient is not None and stay.inpatient.encounter_id == number:
            stay.inpatient = None
    if event.kind == "admit" and stay.phase == "left":  # another stay: only who the patient is lasts
        stay = Stay(age_years=stay.age_years, sex=stay.sex, ended=stay.ended, registered=stay.registered)
    if event.kind == "admit" and event.patient_class == "preadmit" and number is not None:
        stay.registered = _with(stay.registered, number)
    if not elsewhere and event.kind in ("admit", "transfer"):
        stay.ended = _without(stay.ended, number)
        _change_visit(event, stay)
        if event.patient_class == "preadmit":
            stay.planned = True
        else:
            if event.kind == "admit":
                same = not _differ(number, stay.encounter_id)
                expected = number in stay.registered or (stay.planned and same)
                stay.planned = expected and event.patient_class != "emergency"
            stay.registered = _without(stay.registered, number)
    _state(event, stay, WHO if elsewhere else LASTING)
    if elsewhere:
        return stay
    if event.kind == "discharge":
        if stay.inpatient is not None and event.disposition != "died":
            lasts = {name: getattr(stay, name) for name in (*WHO, "code_status", "ended", "registered")}
            return msgspec.structs.replace(stay.inpatient, **lasts)
        stay.phase, stay.left_at, stay.disposition, stay.inpatient = "left", at, event.disposition, None
    elif event.kind not in ("admit", "transfer"):  # update, merge
        if event.unit is not None and event.unit != stay.unit:
            stay.room = stay.bed = None  # those of the unit before
        _state(event, stay, PLACE)
        if stay.phase == "unknown" and event.patient_class in _IN_BED and event.unit is not None:
            stay.phase = "present"
    elif stay.disposition != "died":  # the dead are moved too, but it brings nobody back
        if event.unit is not None or event.room is not None or event.bed is not None:
            # A place is one statement: a new unit without a bed has no old bed.
            stay.unit = event.unit if event.unit is not None else stay.unit
            stay.room, stay.bed = event.room, event.bed
        stay.phase = "preadmitted" if event.patient_class == "preadmit" else "present"
        stay.left_at = stay.disposition = None
        if stay.admitted_at is None and stay.phase == "present":
            stay.admitted_at = at
    return stay


def _change_visit(event: Admission, stay: Stay) -> None:
    """Keep the inpatient visit that an emergency visit interrupts; any other one takes its place."""
    if stay.phase != "present" or not _differ(event.encounter_id, stay.encounter_id):
        return
    if event.kind == "transfer" or event.patient_class != "emergency":
        stay.inpatient = None
    elif stay.patient_class == "inpatient":
        stay.inpatient = msgspec.structs.replace(stay, inpatient=None, ended=(), registered=())


class StayLog(msgspec.Struct, omit_defaults=True):
    """The events of a stay that may still be revised, and what the older ones add up to.

    `past` are the visits of units that the older ones ended; `settled` is when the newest of them happened (s since
    1970; 0: nothing is folded for good, or an older version did not say). `told` are the rows of occupancy.v1 that were
    written and may still be revised, by key: a digest of each (see `models.occupancy`).
    """

    events: list[Admission] = []
    base: Stay = msgspec.field(default_factory=Stay)
    past: list[Visit] = []
    settled: float = 0.0
    told: dict[str, str] = {}

    def too_late(self, event: Admission) -> bool:
        """Whether what came after the event is folded for good: it would be taken for the newest of all."""
        return event.observed_at.timestamp() <= self.settled

    def add(self, event: Admission) -> Stay:
        """Take an event in, unless it is too late; returns the present."""
        if self.too_late(event):
            return fold(self.events, self.base)
        self.events = [*(known for known in self.events if known.event_id != event.event_id), event]
        self._settle()
        return fold(self.events, self.base)

    def join(self, other: "StayLog") -> Stay:
        """Take in the events of another id of the same patient; returns the present.

        Events that either has folded for good cannot be folded together: where one has some, both fold all up to the
        same moment, and of the two presents of that moment one goes on (see `_goes_on`).
        """
        settled = max(self.settled, other.settled)
        for log in (self, other):
            while log.events and (oldest := min(log.events, key=order)).observed_at.timestamp() <= settled:
                log._fold_for_good(oldest)
        self.settled = settled
        known = {event.event_id for event in self.events}
        self.events = [*self.events, *(event for event in other.events if event.event_id not in known)]
        less, more = sorted((other.base, self.base), key=_goes_on(self.base, other.base))
        still = more.encounter_id if more.phase == "present" else None
        over = dict.fromkeys(visit for visit in (*less.ended, *more.ended) if visit != still)
        to_come = dict.fromkeys(
            visit for visit in (*less.registered, *more.registered) if visit != still and visit not in over
        )
        self.base = msgspec.structs.replace(
            more, ended=tuple(over)[-KEPT_NUMBERS:], registered=tuple(to_come)[-KEPT_NUMBERS:]
        )
        ended = [*self.past, *(visit for visit in other.past if visit not in self.past)]
        self.told = other.told | self.told
        self._keep(sorted(ended, key=lambda visit: (visit.since, visit.unit)))
        self._settle()
        return fold(self.events, self.base)

    def visits(self) -> list[Visit]:
        """The times in units, as far back as they are kept, in their order; the last one may go on."""
        stay, ended = trace(self.events, self.base)
        return [*self.past, *ended, *([] if stay.occupies is None else [Visit(_brief(stay))])]

    def _settle(self) -> None:
        if len(self.events) > KEPT_EVENTS:
            self._drop_updates()
        while len(self.events) > KEPT_EVENTS:
            self._fold_for_good(min(self.events, key=order))

    def _drop_updates(self) -> None:
        """Drop the updates without which the stay is the same, now and after whatever still comes late.

        Such a one moved nobody, and a newer one of the same visit states all that it states, with no movement between
        them. What comes from between the two later on holds until the newer one.
        """
        said = trace(self.events, self.base)
        for update in superseded(effective(self.events)):
            others = [event for event in self.events if event is not update]
            if trace(others, self.base) == said:
                self.events = others

    def _fold_for_good(self, oldest: Admission) -> None:
        held = effective(self.events)
        if oldest in held:
            self.base, ended = trace([oldest], self.base)
            self._keep([*self.past, *ended])
        self.settled = max(self.settled, oldest.observed_at.timestamp())
        self.events.remove(oldest)
        # What the oldest had taken back, though it is later, stays away.
        revived = [event for event in effective(self.events) if event not in held]
        self.events = [event for event in self.events if event not in revived]

    def _keep(self, past: list[Visit]) -> None:
        """Of the visits that are folded for good the newest; the rows of the others stay as they were told."""
        self.past = past[-KEPT_VISITS:]
        for visit in past[:-KEPT_VISITS]:
            key = row_key(visit.unit, visit.stay.encounter_id, "")
            for told in [told for told in self.told if told.startswith(key)]:
                del self.told[told]


def _goes_on(*ends: Stay) -> Callable[[Stay], tuple[bool, float]]:
    """Of two presents of one patient: with two visits where the patient still is; else what was moved last."""
    two = _differ(ends[0].encounter_id, ends[-1].encounter_id)
    return lambda stay: (
        two and stay.phase == "present",
        max(stay.left_at or 0.0, stay.since or stay.admitted_at or 0.0),
    )


def _with(numbers: tuple[str, ...], number: str) -> tuple[str, ...]:
    """With a visit's number as the newest, and the oldest forgotten."""
    return (*_without(numbers, number), number)[-KEPT_NUMBERS:]


def _without(numbers: tuple[str, ...], number: str | None) -> tuple[str, ...]:
    return tuple(other for other in numbers if other != number)


def _differ(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and one != other


def _is_elsewhere(event: Admission, stay: Stay) -> bool:
    """Whether the event is about another encounter than the one that keeps the patient here."""
    if stay.phase == "unknown" or not _differ(event.encounter_id, stay.encounter_id):
        return False
    if event.kind == "admit":
        return stay.phase == "present" and event.patient_class in ("outpatient", "preadmit")
    return event.kind != "transfer" or event.encounter_id in stay.ended  # it may bring a new number with a new class


def _state(event: Admission, stay: Stay, names: Iterable[str]) -> None:
    for name in names:
        value = getattr(event, name)
        if value is not None:
            setattr(stay, name, value)
