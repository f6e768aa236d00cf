"""The life of the simulated hospital, minute by minute: who comes, worsens, is treated, moves and leaves."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random

from wardstream.infra.feeds import specimens
from wardstream.infra.feeds.bedside import chart, monitor, take_specimen
from wardstream.infra.feeds.outbox import Outbox
from wardstream.infra.feeds.physiology import Body
from wardstream.infra.feeds.stay import Role, Stay, later_course, opening_course, unit_stay
from wardstream.infra.feeds.ward import UNITS, Bed, Beds, UnitName, draw_person
from wardstream.schemas.admissions import Admission, Disposition
from wardstream.schemas.admissions import Kind as Movement
from wardstream.schemas.outcomes import Kind as OutcomeKind
from wardstream.schemas.outcomes import Outcome

MINUTE = timedelta(minutes=1)


class Hospital:
    """Patients in beds.

    Parameters
    ----------
    seed : int
        The same seed, patients and start give the same events.
    patients : int
        How many are there at the start; later admissions keep about as many.
    start : datetime
        The first minute.
    tag : str
        Part of every patient id, so that another run's patients are others.
    outbox : Outbox
        Takes the events.
    """

    def __init__(self, seed: int, patients: int, start: datetime, tag: str, outbox: Outbox) -> None:
        self._seed, self._patients, self._tag, self._out = seed, patients, tag, outbox
        self._random = Random(f"{seed}:hospital")
        self._beds, self._count, self._arrivals = Beds(patients), 0, list[datetime]()
        self.stays: list[Stay] = []
        for role, unit in _opening_scene(patients):
            bed = self._beds.take(unit)
            if bed is not None:
                self._open_with(role, bed, start)

    def advance(self, at: datetime) -> None:
        """Let one minute pass, until `at`."""
        for stay in list(self.stays):
            stay.body.advance(at)
            if not stay.silent(at):
                if stay.bed.unit.monitored:
                    monitor(stay, at, self._out)
                if at >= stay.chart_at:
                    chart(stay, at, at, self._out)
                    stay.chart_at = at + stay.chart_interval(at)
            if at.hour == 6 and at.minute == int(stay.second):
                take_specimen(stay, at, specimens.ROUTINE, self._out)
            self._care(stay, at)
            if at >= stay.leave_at:
                self._leave(stay, at)
        while self._arrivals and self._arrivals[0] <= at:
            if not self._admit(self._arrivals.pop(0), at):
                break

    # Who is where

    def _open_with(self, role: Role, bed: Bed, start: datetime) -> None:
        """Put a patient in a bed as if the stay had begun before the start; tell what is known of it."""
        random = self._next_random()
        length = unit_stay(random, bed.unit)
        elapsed = length * random.uniform(0.02, 0.98)
        if role != "well":  # nobody leaves in the first act
            length += timedelta(hours=6)
        stay = self._new_stay(random, bed, start - elapsed, start - elapsed + length, role)
        stay.body.course = opening_course(random, role, start) or later_course(
            random, start + MINUTE * 90, stay.leave_at
        )
        stay.recognised = role == "recovering"
        if role == "silent":
            stay.silent_from = start + MINUTE * random.uniform(5, 15)
            stay.silent_until = stay.silent_from + MINUTE * random.uniform(27, 40)
        stay.adjust_oxygen(stay.body.signs(start).spo2_percent, start)
        self._move(stay, "admit", stay.admitted_at, received_at=start)
        interval = stay.chart_interval(start)
        charted_at = max(start - interval * random.random(), stay.admitted_at)
        chart(stay, charted_at, start, self._out)
        stay.chart_at = charted_at + interval
        if random.random() < 0.5:
            take_specimen(stay, start - MINUTE * random.uniform(5, 35), specimens.ROUTINE, self._out)

    def _admit(self, arrived_at: datetime, at: datetime) -> bool:
        random = self._next_random()
        wanted: tuple[UnitName, ...] = ("ED", "HDU", "Ward A") if random.random() < 0.7 else ("Ward B", "ED", "Ward A")
        bed = next((bed for unit in wanted if (bed := self._beds.take(unit)) is not None), None)
        if bed is None:
            self._arrivals.insert(0, arrived_at)
            return False
        leave_at = at + unit_stay(random, bed.unit)
        stay = self._new_stay(random, bed, at, leave_at, "well")
        stay.body.course = later_course(random, at - MINUTE * 60, leave_at)
        self._move(stay, "admit", at, at)
        stay.chart_at = at + MINUTE * random.uniform(1, 5)
        take_specimen(stay, at, specimens.ROUTINE, self._out)
        return True

    def _next_random(self) -> Random:
        self._count += 1
        return Random(f"{self._seed}:{self._count}")

    def _new_stay(self, random: Random, bed: Bed, admitted_at: datetime, leave_at: datetime, role: Role) -> Stay:
        person = draw_person(random)
        while role in ("worsening", "recovering") and (person.pregnant or person.retains_co2 or person.frail):
            person = draw_person(random)  # NEWS2 is not for pregnancy; the others would blur the story
        patient_id = f"sim-{self._tag}-{self._count:05d}"
        body = Body(random, person)
        stay = Stay(
            patient_id,
            person,
            body,
            bed,
            random,
            admitted_at,
            leave_at,
            chart_at=leave_at,
            second=random.uniform(0, 57),
        )
        self.stays.append(stay)
        return stay

    def _leave(self, stay: Stay, at: datetime) -> None:
        """Move a patient on, or home; wait when too ill for that or when there is no bed."""
        severity, unit = stay.body.severity(at), stay.bed.unit.name
        goes: tuple[UnitName, ...]
        if severity > 0.3:
            goes = ("ICU", "HDU") if unit == "ED" else ()
        elif unit == "ED":
            goes = () if stay.random.random() < 0.35 else ("Ward A", "Ward B", "HDU")
        else:
            goes = {"ICU": ("HDU",), "HDU": ("Ward B", "Ward A")}.get(unit, ())  # type: ignore[assignment]
        if goes:
            if not self._transfer(stay, goes, at):
                stay.leave_at = at + MINUTE * 10
        elif severity > 0.3:
            stay.leave_at = at + MINUTE * 120
        else:
            self._discharge(stay, "home", at)

    def _transfer(self, stay: Stay, units: tuple[UnitName, ...], at: datetime) -> bool:
        bed = next((bed for unit in units if (bed := self._beds.take(unit)) is not None), None)
        if bed is None:
            return False
        self._beds.give_back(stay.bed)
        stay.bed = bed
        stay.leave_at = at + unit_stay(stay.random, bed.unit)
        stay.chart_at = min(stay.chart_at, at + MINUTE * 10)
        self._move(stay, "transfer", at, at)
        return True

    def _discharge(self, stay: Stay, disposition: Disposition, at: datetime) -> None:
        self._move(stay, "discharge", at, at, disposition)
        self._beds.give_back(stay.bed)
        self.stays.remove(stay)
        self._arrivals.append(at + MINUTE * self._random.expovariate(1 / 15))
        self._arrivals.sort()

    def _move(
        self, stay: Stay, kind: Movement, at: datetime, received_at: datetime, disposition: Disposition | None = None
    ) -> None:
        person, bed = stay.person, stay.bed
        admit = kind == "admit"
        self._out.add(
            Admission(
                event_id=self._out.new_id(),
                source="sim-adt",
                observed_at=at,
                received_at=received_at,
                kind=kind,
                age_years=person.age_years if admit else None,
                sex=person.sex if admit else None,
                pregnant=person.pregnant if admit else None,
                acuity=(2 if stay.body.severity(received_at) > 0.4 else 3) if admit else None,
                complaint=person.complaint if admit else None,
                code_status=person.code_status if admit else None,
                patient_class="emergency" if bed.unit.name == "ED" else "inpatient",
                unit=bed.unit.name,
                room=bed.room,
                bed=bed.name,
                disposition=disposition,
                **stay.envelope,
            )
        )

    # What is done, and what comes of it

    def _care(self, stay: Stay, at: datetime) -> None:
        course, random = stay.body.course, stay.random
        if course is None:
            return
        severity = course.severity(at)
        if not stay.recognised and severity > 0.5:
            stay.recognised = True
            stay.treat_at = at + MINUTE * random.uniform(45, 75)
            self._outcome(stay, "sepsis_onset" if course.illness == "sepsis" else "rapid_response", at)
            take_specimen(stay, at, specimens.ROUTINE + specimens.ACUTE, self._out)
        if stay.treat_at is not None and at >= stay.treat_at:
            self._treat(stay, at)
        if stay.dies_at is not None and at >= stay.dies_at:
            self._outcome(stay, "death", at)
            self._discharge(stay, "died", at)
        elif course.treated_at is not None and severity < 0.01:
            stay.body.course = None

    def _treat(self, stay: Stay, at: datetime) -> None:
        """Try a treatment: on the spot first, then in the ICU; when that fails too the patient dies."""
        course, random = stay.body.course, stay.random
        assert course is not None
        stay.treatments += 1
        stay.treat_at = None
        if random.random() < 0.65:
            course.treated_at, course.half_life_h = at, random.uniform(0.8, 4)
        elif stay.treatments == 1:
            if stay.bed.unit.name != "ICU" and self._transfer(stay, ("ICU",), at):
                self._outcome(stay, "icu_transfer", at)
            stay.treat_at = at + MINUTE * random.uniform(40, 90)
        else:
            stay.dies_at = at + MINUTE * random.uniform(60, 600)

    def _outcome(self, stay: Stay, kind: OutcomeKind, at: datetime) -> None:
        known_at = at + MINUTE * stay.random.uniform(2, 20)
        self._out.add(
            Outcome(
                event_id=self._out.new_id(),
                source="sim-registry",
                observed_at=at,
                available_at=known_at,
                received_at=known_at,
                kind=kind,
                definition="simulated",
                **stay.envelope,
            )
        )


def _opening_scene(patients: int) -> Iterator[tuple[Role, UnitName]]:
    """Say who lies where at the start.

    From 20 patients on: 4 or an eighth get worse, 2 or a fifteenth recover, 2 or a twentieth fall silent, all of them
    in monitored units. Fewer patients: one of each as far as they go.
    """
    parts = (
        ("worsening", max(4, patients // 8)),
        ("recovering", max(2, patients // 15)),
        ("silent", max(2, patients // 20)),
    )
    roles: list[Role] = []
    if patients >= 20:
        for role, count in parts:
            roles += [role] * count  # type: ignore[list-item]
    else:
        roles = ["worsening", "recovering", "silent"][:patients]  # type: ignore[assignment]
    places = {unit.name: round(unit.share * patients) for unit in UNITS.values()}
    monitored = [name for unit in UNITS.values() if unit.monitored for name in [unit.name] * places[unit.name]]
    wards = [name for unit in UNITS.values() if not unit.monitored for name in [unit.name] * places[unit.name]]
    # Taken in turns so that each unit has its share of the roles.
    turns = sorted(range(len(monitored)), key=lambda i: i * 7919 % max(len(monitored), 1))
    queue = [monitored[i] for i in turns] + wards
    queue += ["Ward A"] * max(0, patients - len(queue))
    for i, unit in enumerate(queue[:patients]):
        yield (roles[i] if i < len(roles) else "well"), unit
