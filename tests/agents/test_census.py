"""The census of every unit, from occupancy.v1 alone, is what a plain look into the hospital's tables says.

Real patients: the transfers of MIMIC-IV demo 2.2 (each row: a unit, from when to when). As they happened, moment by
moment; and then late, out of order, twice, with mistakes that are taken back.
"""

from __future__ import annotations

import csv
import io
import random
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.agents.lanes import Lanes
from tests.events import admission, at, event_id, tick
from wardstream.schemas.admissions import Admission
from wardstream.schemas.occupancy import Occupancy

ARCHIVE = "icu/mimic_iv_demo_v2.2/core_csv.tar.xz"
MOMENTS = 400
Census = dict[str, set[str]]  # patients by unit


class Row(NamedTuple):
    """One row of the table of transfers."""

    patient: str
    encounter: str
    unit: str
    came: datetime
    left: datetime


@pytest.fixture(scope="module")
def stays(shared_data: Path) -> list[list[Row]]:
    """The rows of each stay in their order: of an admission, or of a visit to the emergency department alone."""
    with tarfile.open(shared_data / ARCHIVE) as files:
        name = next(name for name in files.getnames() if name.endswith("transfers.csv"))
        file = files.extractfile(name)
        assert file is not None
        table = list(csv.DictReader(io.TextIOWrapper(file, encoding="utf-8")))
    rows = [
        Row(
            f"P{line['subject_id']}",
            f"E{line['hadm_id'] or line['transfer_id']}",
            line["careunit"],
            datetime.fromisoformat(line["intime"]).replace(tzinfo=UTC),
            datetime.fromisoformat(line["outtime"]).replace(tzinfo=UTC),
        )
        for line in table
        if line["eventtype"] != "discharge" and line["outtime"] and line["careunit"] not in ("", "UNKNOWN")
    ]
    rows.sort(key=lambda row: (row.patient, row.came, row.left))
    by_stay = [list(some) for _, some in groupby(rows, key=lambda row: (row.patient, row.encounter))]
    # One patient is in one place: stays that the table has overlap are left out.
    ends: dict[str, datetime] = {}
    seen: set[str] = set()
    kept = []
    for stay in by_stay:
        patient, encounter = stay[0].patient, stay[0].encounter
        in_turn = all(one.came < one.left <= other.came for one, other in pairwise(stay))
        alone = stay[0].came >= ends.get(patient, stay[0].came) and encounter not in seen
        if alone and in_turn and stay[-1].came < stay[-1].left:
            kept.append(stay)
            seen.add(encounter)
            ends[patient] = stay[-1].left
    assert len(kept) > 150
    return kept


def told(stay: list[Row]) -> Iterator[Admission]:
    """What the hospital's admission system would have sent: A01, A02, A03."""
    for number, row in enumerate(stay):
        kind = "transfer" if number and stay[number - 1].left == row.came else "admit"
        yield event(f"{row.encounter} in {number}", row.came, kind, row, unit=row.unit, patient_class="inpatient")
        if number + 1 == len(stay) or stay[number + 1].came != row.left:
            yield event(f"{row.encounter} out {number}", row.left, "discharge", row)


def event(name: str, when: datetime, kind: str, row: Row, **fields: Any) -> Admission:
    minutes = (when - at(0)) / timedelta(minutes=1)
    return admission(name, minutes, kind, patient_id=row.patient, encounter_id=row.encounter, **fields)


def truth(stays: list[list[Row]], moment: datetime) -> Census:
    """The plain look into the table."""
    census: Census = {}
    for stay in stays:
        for row in stay:
            if row.came <= moment < row.left:
                census.setdefault(row.unit, set()).add(row.patient)
    return census


def present(table: dict[str, Occupancy]) -> Census:
    """Who is there, by the table of occupancy."""
    census: Census = {}
    for row in table.values():
        if row.state == "present":
            census.setdefault(row.unit, set()).add(row.patient_id)
    return census


def then(table: dict[str, Occupancy], moment: datetime) -> Census:
    """Who was there at a time, by the same table."""
    census: Census = {}
    for row in table.values():
        times = [(one.since, one.left_at) for one in row.earlier]
        times.append((row.since, row.left_at or datetime.max.replace(tzinfo=UTC)))
        if any(since <= moment < left_at for since, left_at in times):
            census.setdefault(row.unit, set()).add(row.patient_id)
    return census


def moments(stays: list[list[Row]], rng: random.Random) -> list[datetime]:
    """Times at which somebody is there, as a rule: of each patient's own years."""
    rows = [row for stay in stays for row in stay]
    return sorted(row.came + (row.left - row.came) * rng.random() * 1.05 for row in rng.choices(rows, k=MOMENTS))


async def test_moment_by_moment(stays: list[list[Row]]) -> None:
    lanes, waiting = Lanes(3), sorted((e for stay in stays for e in told(stay)), key=lambda e: e.observed_at)
    compared = 0
    for moment in moments(stays, random.Random(1)):
        count = sum(event.observed_at <= moment for event in waiting)
        await lanes.give(*waiting[:count])
        del waiting[:count]
        expected = truth(stays, moment)
        assert present(lanes.table()) == expected
        compared += len(expected)
    assert compared > MOMENTS / 2


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_the_network_and_the_clerks_do(stays: list[list[Row]], seed: int) -> None:
    rng = random.Random(seed)
    arrivals: list[tuple[datetime, Admission]] = []
    for stay in stays:
        for said in told(stay):
            sent = [said, *mistakes(said, rng)]
            for one in sent:
                for _ in range(rng.choice([1, 1, 1, 2])):
                    delay = rng.choice([0, 0, 0, rng.uniform(0, 12)])
                    arrivals.append((one.observed_at + timedelta(hours=delay), one))
    arrivals.sort(key=lambda arrival: (arrival[0], rng.random()))
    lanes = Lanes(3)
    for number in range(0, len(arrivals), 50):
        await lanes.give(*(one for _, one in arrivals[number : number + 50]))
        if rng.random() < 0.2:
            lanes.restart()
    assert lanes.dead() == []
    table = lanes.table()
    assert present(table) == {}, "everybody has left in the end"
    for moment in moments(stays, rng):
        assert then(table, moment) == truth(stays, moment)
    assert sum(1 + len(row.earlier) for row in table.values()) == sum(map(visits, stays))


def visits(stay: list[Row]) -> int:
    """How often the patient came into a unit: rows of one unit that follow each other are one visit."""
    return 1 + sum((one.unit, one.left) != (other.unit, other.came) for one, other in pairwise(stay))


def mistakes(said: Admission, rng: random.Random) -> list[Admission]:
    """Now and then something is charted that did not happen, and taken back."""
    if rng.random() > 0.2:
        return []
    kind = rng.choice(["transfer", "discharge", "admit"]) if said.kind != "discharge" else "transfer"
    at_once = timedelta(seconds=1)
    about = {"patient_id": said.patient_id, "encounter_id": said.encounter_id}
    minutes = (said.observed_at + at_once - at(0)) / timedelta(minutes=1)
    fields = {} if kind == "discharge" else {"unit": rng.choice(["Nowhere", "Elsewhere"])}
    name = f"{said.event_id} mistake"
    wrong = admission(name, minutes, kind, **about, **fields)
    undone = admission(f"{name} undone", minutes + 1 / 60, f"cancel_{kind}", supersedes=name, **about)
    assert event_id(name) == wrong.event_id
    return [wrong, undone]


async def test_a_patient_of_whom_nothing_is_heard_is_lost_not_present() -> None:
    lanes = Lanes(1)
    await lanes.give(admission("in", 0, "admit", unit="A", encounter_id="E"))
    await lanes.give(tick(30 * 24 * 60 - 1))
    assert present(lanes.table()) == {"A": {"P1"}}
    await lanes.give(tick(30 * 24 * 60))
    assert lanes.table()["A\tE"].state == "lost"
    await lanes.give(admission("moved", 31 * 24 * 60, "transfer", unit="B", encounter_id="E"))
    assert present(lanes.table()) == {"B": {"P1"}}
