"""The census of every unit, from occupancy.v1 alone, is what a plain look into the hospital's tables says.

Real patients: the transfers of MIMIC-IV demo 2.2 (each row: a unit, from when to when), and the event log of an
emergency department (Mannhardt 2016: registrations, admissions, releases and returns of 1,050 patients; a quarter is
never released). Written as HL7 v2, mapped, and given to lanes as they happened, moment by moment; and then late, out of
order, twice, with mistakes that are taken back without saying which message they take back.
"""

from __future__ import annotations

import csv
import gzip
import io
import random
import tarfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import groupby, pairwise, zip_longest
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from tests.agents.bedside import MemoryRows
from tests.agents.lanes import Lanes
from tests.events import admission, tick
from wardstream.models.flow.census import Census as UnitCensus
from wardstream.models.flow.census import Kept, hour_of
from wardstream.schemas.admissions import Admission
from wardstream.schemas.decode import decoder_of
from wardstream.schemas.hl7v2 import Feed, map_message
from wardstream.schemas.occupancy import Occupancy
from wardstream.schemas.pseudonym import Pseudonyms

FEED = Feed(name="adt", timezone="UTC", authority="H", identifier_types=("MR",))
PSEUDONYMS = Pseudonyms(bytes(32))
MOMENTS = 400
FOREVER = datetime(9999, 1, 1, tzinfo=UTC)
_ESCAPES = str.maketrans({"|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\"})
Census = dict[str, set[str]]  # patients by unit


class Row(NamedTuple):
    """A time in one unit; `left` is FOREVER where the table does not say it."""

    number: str
    visit: str
    unit: str
    came: datetime
    left: datetime

    @property
    def patient(self) -> str:
        return pseudonym(self.number)


@cache
def pseudonym(number: str) -> str:
    return PSEUDONYMS.patient("H", number)


def mimic(shared_data: Path) -> Iterator[Row]:
    """The table of transfers: stays, and visits to the emergency department alone."""
    with tarfile.open(shared_data / "icu/mimic_iv_demo_v2.2/core_csv.tar.xz") as files:
        name = next(name for name in files.getnames() if name.endswith("transfers.csv"))
        file = files.extractfile(name)
        assert file is not None
        table = list(csv.DictReader(io.TextIOWrapper(file, encoding="utf-8")))
    for line in table:
        if line["eventtype"] != "discharge" and line["outtime"] and line["careunit"] not in ("", "UNKNOWN"):
            times = (datetime.fromisoformat(line[name]).replace(tzinfo=UTC) for name in ("intime", "outtime"))
            yield Row(line["subject_id"], line["hadm_id"] or line["transfer_id"], line["careunit"], *times)


def sepsis(shared_data: Path) -> Iterator[Row]:
    """The event log: who is registered is in the emergency department, then where admitted, until released."""
    with gzip.open(shared_data / "flow/sepsis_er_event_log.csv.gz", "rt", encoding="utf-8") as lines:
        table = [line | {"case_id": line["case_id"] or "NA"} for line in csv.DictReader(lines)]
    places = {"ER Registration": "ER", "Return ER": "ER", "Admission NC": "NC", "Admission IC": "IC"}
    steps = [line for line in table if line["activity"] in places or line["activity"].startswith("Release")]
    for case, some in groupby(steps, key=lambda line: line["case_id"]):
        own = sorted(some, key=lambda line: (line["timestamp"], int(line[".order"])))
        for number, line in enumerate(own):
            if line["activity"] in places:
                place = places[line["activity"]]
                unit = place if place == "ER" else f"{place} {line['resource']}"
                visit = f"{case}-return" if line["activity"] == "Return ER" else case
                came = datetime.fromisoformat(line["timestamp"]).replace(tzinfo=UTC)
                left = FOREVER
                if number + 1 < len(own):
                    left = datetime.fromisoformat(own[number + 1]["timestamp"]).replace(tzinfo=UTC)
                yield Row(case, visit, unit, came, left)


@pytest.fixture(scope="module", params=[(mimic, 150), (sepsis, 1300)], ids=["mimic", "sepsis"])
def stays(request: pytest.FixtureRequest, shared_data: Path) -> list[list[Row]]:
    """The rows of each stay in their order."""
    source, fewest = request.param
    read: Callable[[Path], Iterator[Row]] = source
    rows = sorted(read(shared_data), key=lambda row: (row.number, row.came, row.left))
    by_stay = [list(some) for _, some in groupby(rows, key=lambda row: (row.number, row.visit))]
    # One patient is in one place: stays that the table has overlap are left out.
    ends: dict[str, datetime] = {}
    seen: set[str] = set()
    kept = []
    for stay in by_stay:
        number, visit = stay[0].number, stay[0].visit
        in_turn = all(one.came < one.left <= other.came for one, other in pairwise(stay))
        alone = stay[0].came >= ends.get(number, stay[0].came) and visit not in seen
        if alone and in_turn and stay[-1].came < stay[-1].left:
            kept.append(stay)
            seen.add(visit)
            ends[number] = stay[-1].left
    assert len(kept) > fewest
    return kept


class Sent(NamedTuple):
    """A message, and when what it says happened."""

    at: datetime
    raw: bytes


def adt(trigger: str, at: datetime, row: Row, unit: str = "") -> Sent:
    visit = "|".join(("PV1", "1", "I", unit.translate(_ESCAPES), *[""] * 15, row.visit))
    time = f"{at:%Y%m%d%H%M%S}"
    header = f"MSH|^~\\&|HIS|H|WS|HUB|{time}||ADT^{trigger}|{trigger}{time}|P|2.5"
    lines = (header, f"EVN|{trigger}|{time}", f"PID|1||{row.number}^^^H^MR", visit, "")
    return Sent(at, "\r".join(lines).encode())


def read(sent: Sent, received_at: datetime) -> Admission:
    found = map_message(sent.raw, FEED, PSEUDONYMS, received_at)
    assert found.rejects == ()
    (event,) = found.events
    assert isinstance(event, Admission)
    return event


def told(stay: list[Row]) -> Iterator[Sent]:
    """What the hospital's admission system would have sent: A01, A02, A03."""
    for number, row in enumerate(stay):
        yield adt("A02" if number and stay[number - 1].left == row.came else "A01", row.came, row, row.unit)
        if row.left != FOREVER and (number + 1 == len(stay) or stay[number + 1].came != row.left):
            yield adt("A03", row.left, row)


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
        times.append((row.since, row.left_at or FOREVER))
        if any(since <= moment < left_at for since, left_at in times):
            census.setdefault(row.unit, set()).add(row.patient_id)
    return census


def moments(stays: list[list[Row]], rng: random.Random) -> list[datetime]:
    """Times at which somebody is there, as a rule: of each patient's own years."""
    rows = [row for stay in stays for row in stay]
    week = timedelta(days=7)
    return sorted(
        row.came + (week if row.left == FOREVER else row.left - row.came) * rng.random() * 1.05
        for row in rng.choices(rows, k=MOMENTS)
    )


async def test_moment_by_moment(stays: list[list[Row]]) -> None:
    lanes, waiting = Lanes(3), sorted((sent for stay in stays for sent in told(stay)), key=lambda sent: sent.at)
    compared = 0
    for moment in moments(stays, random.Random(1)):
        count = sum(sent.at <= moment for sent in waiting)
        await lanes.give(*(read(sent, sent.at) for sent in waiting[:count]))
        del waiting[:count]
        expected = truth(stays, moment)
        assert present(lanes.table()) == expected
        compared += len(expected)
    assert compared > MOMENTS / 2


async def test_bed_histories_by_the_census_of_each_unit(stays: list[list[Row]]) -> None:
    """What patient flow counts from: each patient's times in units, to the hour, are those of the table."""
    lanes = Lanes(3)
    sent = sorted((one for stay in stays for one in told(stay)), key=lambda one: one.at)
    for number in range(0, len(sent), 100):
        await lanes.give(*(read(one, one.at) for one in sent[number : number + 100]))
    units: dict[str, MemoryRows] = {}
    for record in (one for (topic, _), log in lanes.logs.items() if topic == "occupancy.v1" for one in log):
        assert record.key is not None
        key = record.key.decode()
        census = UnitCensus(units.setdefault(key.split("\t")[0], MemoryRows({})))
        if record.value is None:
            census.drop(key)
        else:
            census.put(key, decoder_of(Occupancy)(record.value))
    table = lanes.table()
    found: dict[str, list[tuple[str, int, int | None]]] = {}
    for unit, rows in units.items():
        for name in rows.names():
            kind, _, key = name.partition("/")
            row = rows.get(name)
            if kind != "day" and row is not None:
                times = [hour for hour, _ in msgspec.json.decode(row, type=Kept).movements]
                pairs = zip_longest(times[::2], times[1::2])
                found.setdefault(table[key].patient_id, []).extend((unit, came, left) for came, left in pairs)
    expected: dict[str, list[tuple[str, int, int | None]]] = {}
    for stay in stays:
        history = expected.setdefault(stay[0].patient, [])
        for number, row in enumerate(stay):
            left = None if row.left == FOREVER else hour_of(row.left.timestamp())
            before = stay[number - 1] if number else None
            if before is not None and (before.unit, before.left) == (row.unit, row.came):
                history[-1] = (row.unit, history[-1][1], left)
            else:
                history.append((row.unit, hour_of(row.came.timestamp()), left))
    assert {patient: sorted(times, key=str) for patient, times in found.items()} == {
        patient: sorted(times, key=str) for patient, times in expected.items()
    }
    present = sum(len(UnitCensus(rows).present()) for rows in units.values())
    assert present == sum(stay[-1].left == FOREVER for stay in stays)


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_the_network_and_the_clerks_do(stays: list[list[Row]], seed: int) -> None:
    rng = random.Random(seed)
    arrivals: list[tuple[datetime, Sent]] = []
    for stay in stays:
        for said in told(stay):
            for one in (said, *mistakes(said, stay[0], rng)):
                for _ in range(rng.choice([1, 1, 1, 2])):
                    delay = rng.choice([0, 0, 0, rng.uniform(0, 12)])
                    arrivals.append((one.at + timedelta(hours=delay), one))
    arrivals.sort(key=lambda arrival: (arrival[0], rng.random()))
    lanes = Lanes(3)
    for number in range(0, len(arrivals), 50):
        await lanes.give(*(read(one, at) for at, one in arrivals[number : number + 50]))
        if rng.random() < 0.2:
            lanes.restart()
    assert lanes.dead() == []
    table = lanes.table()
    assert present(table) == truth(stays, FOREVER - timedelta(days=1)), "those whom nobody has released"
    for moment in moments(stays, rng):
        assert then(table, moment) == truth(stays, moment)
    assert sum(1 + len(row.earlier) for row in table.values()) == sum(map(visits, stays))


def visits(stay: list[Row]) -> int:
    """How often the patient came into a unit: rows of one unit that follow each other are one visit."""
    return 1 + sum((one.unit, one.left) != (other.unit, other.came) for one, other in pairwise(stay))


def mistakes(said: Sent, row: Row, rng: random.Random) -> list[Sent]:
    """Now and then something is charted that did not happen, and cancelled, without saying what."""
    if rng.random() > 0.2:
        return []
    discharged = b"ADT^A03" in said.raw
    wrong, undone = rng.choice([("A02", "A12")] if discharged else [("A01", "A11"), ("A02", "A12"), ("A03", "A13")])
    second, unit = timedelta(seconds=1), "" if wrong == "A03" else rng.choice(["Nowhere", "Elsewhere"])
    return [adt(wrong, said.at + second, row, unit), adt(undone, said.at + 2 * second, row)]


async def test_a_patient_of_whom_nothing_is_heard_is_lost_not_present() -> None:
    lanes = Lanes(1)
    await lanes.give(admission("in", 0, "admit", unit="A", encounter_id="E"))
    await lanes.give(tick(30 * 24 * 60 - 1))
    assert present(lanes.table()) == {"A": {"P1"}}
    await lanes.give(tick(30 * 24 * 60))
    assert lanes.table()["A\tE\tP1"].state == "lost"
    await lanes.give(admission("moved", 31 * 24 * 60, "transfer", unit="B", encounter_id="E"))
    assert present(lanes.table()) == {"B": {"P1"}}
