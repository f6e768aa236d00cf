"""The tables of the ward: folded from the topics that anybody may read, nothing computed anew. No I/O.

Everybody who is present has an entry, and keeps it for an hour after leaving. Who has no bed that is known (yet) has
one for an hour, too: a first value can come before the row that says where the patient is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from uuid import UUID

from wardstream.infra.api.ring import Row
from wardstream.infra.board import patient as p
from wardstream.infra.board.patient import Analyte, Answers, Life, Mark, Move, Patient, Result
from wardstream.infra.board.series import Line
from wardstream.models.labs.analytes import ANALYTES
from wardstream.models.labs.units import convert
from wardstream.schemas.admissions import Admission
from wardstream.schemas.directives import Directive
from wardstream.schemas.envelope import Event
from wardstream.schemas.findings import Finding
from wardstream.schemas.identities import Identity
from wardstream.schemas.imaging import Imaging
from wardstream.schemas.labs import Lab
from wardstream.schemas.model_controls import ModelControl
from wardstream.schemas.occupancy import Occupancy, Over, Withdrawn, row_key
from wardstream.schemas.predictions import Prediction
from wardstream.schemas.scores import Scores
from wardstream.schemas.ticks import Tick
from wardstream.schemas.vitals import Vitals

AFTER_S = 3600.0  # that somebody is kept without a bed
MOST_WITHOUT = 8192  # patients without a bed
_PACE_S = 20.0
_ANALYTES = {loinc: analyte for analyte in ANALYTES for loinc in analyte.loincs}
_MOST_SCORES = 64


class Clock:
    """The ward's time: the wall clock, or that of a feed that brings its own (its ticks say which).

    Parameters
    ----------
    wall : callable
        Seconds since 1970.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self.wall = wall
        self._ticks = deque[tuple[float, float]]()

    def tick(self, tick: Tick) -> None:
        """Take a tick in, as it is read."""
        at = tick.observed_at.timestamp()
        if tick.source == "clock":
            self._ticks.clear()
        elif not self._ticks or at > self._ticks[-1][1]:
            self._ticks.append((self.wall(), at))
            while self._ticks[-1][0] - self._ticks[0][0] > _PACE_S:
                self._ticks.popleft()

    @property
    def now(self) -> float:
        """Seconds since 1970."""
        return self._ticks[-1][1] if self._ticks else self.wall()

    @property
    def pace(self) -> float:
        """Seconds of the ward in a second."""
        if not self._ticks:
            return 1.0
        (began, first), (ended, last) = self._ticks[0], self._ticks[-1]
        return (last - first) / (ended - began) if ended - began > 1.0 else 0.0


class Ward:
    """Everybody the board knows.

    Attributes
    ----------
    patients : dict
        By id.
    changed : set of str
        Whose entries have changed since it was last emptied.
    controls : dict
        What operators have decided about models.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.patients: dict[str, Patient] = {}
        self.changed: set[str] = set()
        self.controls: dict[str, ModelControl] = {}
        self._alerts: dict[UUID, str] = {}  # whose an alert is
        self._findings: dict[UUID, str] = {}

    def apply(self, event: Event) -> None:
        """Take an event in."""
        match event:
            case Occupancy():
                self._occupancy(event)
                return
            case Admission():  # most that are read at the start are of people who left long ago
                recent = self.clock.now - event.received_at.timestamp() < AFTER_S
                if event.code_status is not None and (recent or event.patient_id in self.patients):
                    self._code_status(self._patient(event.patient_id), event)
                return
        patient = self._patient(event.patient_id)
        match event:
            case Vitals():
                _vitals(patient, event)
            case Scores():
                _scores(patient, event)
            case Prediction():
                _prediction(patient, event)
            case Lab():
                _lab(patient, event)
            case Finding():
                self._finding(patient, event)
            case Imaging():
                _image(patient, event)
            case Directive():
                _directive(patient, event)

    def withdraw(self, row: Withdrawn | Over) -> None:
        """Take a row of the occupancy away that turned out to be none."""
        if isinstance(row, Withdrawn) and (found := self.patients.get(row.key.rpartition("\t")[2])) is not None:
            found.rows.pop(row.key, None)
            self._touch(found)

    def identity(self, key: str, identity: Identity) -> None:
        """Take a sealed identity in, of who is known or was told just now."""
        recent = self.clock.wall() - identity.changed_at.timestamp() < AFTER_S
        if recent or identity.patient_id in self.patients:
            patient = self._patient(identity.patient_id)
            if key in patient.identities or len(patient.identities) < p.MOST_IDENTITIES:
                patient.identities[key] = identity

    def control(self, control: ModelControl) -> None:
        """Take a decision about a model in."""
        self.controls[control.name] = control
        self.changed.update(self.patients)

    def hear(self, row: Row) -> bool:
        """Take a transition of an alert in; whether it is newer than what is known."""
        alert = row.alert
        before = self._alerts.get(alert.alert_id)
        life: Life | None = None
        if before is not None and before in self.patients:
            life = self.patients[before].alerts.get(alert.alert_id)
            if life is not None and alert.number <= life.row.alert.number:
                return False
            if before != alert.patient_id:  # merged: the alert goes with who survives
                self.patients[before].alerts.pop(alert.alert_id, None)
                self.changed.add(before)
        patient = self._patient(alert.patient_id)
        life = life or Life(row)
        life.row = row
        life.marks.append(Mark(alert.observed_at.timestamp(), alert.transition, alert.priority, alert.unit))
        del life.marks[: -p.MOST_MARKS]
        patient.alerts[alert.alert_id] = life
        self._alerts[alert.alert_id] = alert.patient_id
        if len(patient.alerts) > p.MOST_ALERTS:
            ended = [key for key, one in patient.alerts.items() if not one.open] or list(patient.alerts)
            self._alerts.pop(ended[0], None)
            del patient.alerts[ended[0]]
        return True

    def finding(self, finding_id: UUID) -> tuple[Patient, Finding] | None:
        """Whose a finding is, and what it says."""
        patient = self.patients.get(self._findings.get(finding_id, ""))
        found = None if patient is None else patient.findings.get(finding_id)
        return None if patient is None or found is None else (patient, found)

    def forget(self) -> None:
        """Forget what is older than a day, and who has had no bed for an hour."""
        now = self.clock.now
        without = []
        for patient in reversed(self.patients.values()):  # of those heard of at one time, the first ones go
            patient.trim(now)
            if patient.rows:
                patient.heard = now
            elif patient.heard <= now:
                without.append(patient)
            else:  # a feed's clock has begun anew
                patient.heard = now
        without.sort(key=lambda one: one.heard, reverse=True)
        for place, patient in enumerate(without):
            if place >= MOST_WITHOUT or patient.heard < now - AFTER_S:
                del self.patients[patient.patient_id]
                self.changed.add(patient.patient_id)
        self._alerts = {key: one.patient_id for one in self.patients.values() for key in one.alerts}
        self._findings = {key: one.patient_id for one in self.patients.values() for key in one.findings}

    def _patient(self, patient_id: str) -> Patient:
        patient = self.patients.get(patient_id)
        if patient is None:
            patient = self.patients[patient_id] = Patient(patient_id, self.clock.now)
            if len(self.patients) % MOST_WITHOUT == 0:
                self.forget()
                self.patients[patient_id] = patient
        self.changed.add(patient_id)
        return patient

    def _touch(self, patient: Patient) -> None:
        patient.heard = self.clock.now
        self.changed.add(patient.patient_id)

    def _occupancy(self, row: Occupancy) -> None:
        key = row_key(row.unit, row.encounter_id, row.patient_id)
        if row.state != "present":
            if (known := self.patients.get(row.patient_id)) is not None:
                known.rows.pop(key, None)
                self._touch(known)
            return
        patient = self._patient(row.patient_id)
        patient.rows[key] = row
        bed = row.bed
        before = patient.moves[-1] if patient.moves else None
        if before is None or before.unit != row.unit:
            patient.moves.append(Move(row.since.timestamp(), row.unit, bed))
        elif before.bed != bed:
            patient.moves.append(Move(row.observed_at.timestamp(), row.unit, bed))
        del patient.moves[: -p.MOST_MOVES]

    def _code_status(self, patient: Patient, event: Admission) -> None:
        at = event.observed_at.timestamp()
        known = patient.code_status
        if event.status != "cancelled" and event.code_status is not None and (known is None or known[0] <= at):
            patient.code_status = at, event.code_status

    def _finding(self, patient: Patient, event: Finding) -> None:
        if event.supersedes is not None:
            patient.findings.pop(event.supersedes, None)
        if event.status == "cancelled":
            return
        patient.findings[event.event_id] = event
        self._findings[event.event_id] = event.patient_id
        while len(patient.findings) > p.MOST_FINDINGS:
            self._findings.pop(gone := next(iter(patient.findings)), None)
            del patient.findings[gone]


def _vitals(patient: Patient, event: Vitals) -> None:
    at, mask = event.observed_at.timestamp(), 0
    if event.supersedes is not None and (before := patient.told.pop(event.supersedes)) is not None:
        _take_away(patient, *before)
    elif event.retracted:
        fields = set(event.retracted).intersection(p.VITALS)
        _take_away(patient, at, sum(1 << p.VITALS.index(name) for name in fields))
    if event.status == "cancelled":
        return
    for place, name in enumerate(p.VITALS):
        value = getattr(event, name)
        if value is not None:
            mask |= 1 << place
            line = patient.vitals.get(name)
            if line is None:
                line = patient.vitals[name] = Line()
            line.put(at, p.kept(name, value))
    patient.told.add(event.event_id, at, mask)


def _take_away(patient: Patient, at: float, mask: int) -> None:
    for place, name in enumerate(p.VITALS):
        if mask >> place & 1 and name in patient.vitals:
            patient.vitals[name].drop(at)


def _lab(patient: Patient, event: Lab) -> None:
    chain = event.supersedes or event.event_id
    known = _ANALYTES.get(event.loinc)
    name, unit = (event.loinc, event.unit) if known is None else (known.field, known.unit)
    value = event.value
    if known is not None and value is not None:
        value = convert(known, value, event.unit)
    if event.status == "cancelled" or value is None:
        for other in list(patient.labs.values()):
            other.results = [one for one in other.results if one.chain != chain]
        return
    analyte = patient.labs.get(name)
    if analyte is None:
        if len(patient.labs) >= p.MOST_ANALYTES:
            return
        analyte = patient.labs[name] = Analyte(unit)
    if analyte.unit == unit:  # of an analyte that we do not know, another unit is another curve
        at = event.observed_at.timestamp()
        analyte.put(Result(chain, at, value, event.flag, event.status == "preliminary"))


def _scores(patient: Patient, event: Scores) -> None:
    at = event.observed_at.timestamp()
    for score in event.scores:
        if score.name == "news2" and (patient.news2 is None or patient.news2[0] <= at):
            patient.news2 = at, score
        values, complete = patient.scores.setdefault(score.name, (Line(), Line()))
        if len(patient.scores) > _MOST_SCORES:
            del patient.scores[score.name]
        elif not values.times or at >= values.times[-1]:
            value = float("nan") if score.value is None else score.value
            if not values.times or (values.values[-1], complete.values[-1]) != (value, score.complete):
                values.put(at, value)
                complete.put(at, score.complete)


def _prediction(patient: Patient, event: Prediction) -> None:
    if event.status == "cancelled":
        return
    known = patient.answers.get((event.model, event.silent))
    if known is None:
        if len(patient.answers) >= p.MOST_MODELS:
            return
        known = patient.answers[event.model, event.silent] = Answers(event)
    known.put(event)


def _image(patient: Patient, event: Imaging) -> None:
    if event.supersedes is not None:
        patient.images.pop(event.supersedes, None)
    if event.status != "cancelled":
        patient.images[event.event_id] = event
        if len(patient.images) > p.MOST_FINDINGS:
            del patient.images[next(iter(patient.images))]


def _directive(patient: Patient, event: Directive) -> None:
    if event.supersedes is not None:
        patient.comfort.pop(event.supersedes, None)
    if event.kind == "comfort_care" and event.status != "cancelled":
        patient.comfort[event.event_id] = event.expires_at.timestamp()
        if len(patient.comfort) > p.MOST_MODELS:
            del patient.comfort[next(iter(patient.comfort))]
