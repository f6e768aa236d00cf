"""occupancy.v1: who is in which unit and bed, now and before: one row for each unit of each stay.

A table in a compacted topic. Whoever keeps the last record of each key, and drops a key when a record without a value
(a tombstone) comes, has the exact census of every unit: the rows whose `state` is `present`. A row is written when it
changes, and as a whole, so that redelivery, reading again from the beginning, or reading it twice counts nobody twice.

**Key.** The unit, the `encounter_id` (nothing where the source states none), and the `patient_id`, with tabs between
them (labels hold no tabs, so no two keys are alike). The patient is in it because two can have one number: senders put
an account there that mother and child share, or give numbers that are unique for a day. A stay that is given another
number while the patient lies there (a visit to the emergency department that becomes an admission), or whose patient
turns out to be another one (a merge), moves to the new key; the old one gets a tombstone.

**Partition.** murmur2 of the unit alone (`place`), among `PARTITIONS`, which do not grow with the lanes: all rows of a
unit are in one order. A transfer changes the rows of two units in one transaction; who reads partitions one after the
other may see the one a moment before the other.

**How far it goes.** When an hour is over, each of the worker's lanes writes a tombstone of a key that has no unit
(`over_key`) into every partition: all that the lane received until its end is there before it, so hours that a clock
has jumped over are over with it. For the table it means nothing; when all lanes have written it, the census of that
hour is known: of a unit in its partition, of the hospital in all.

**What the rows say.** `present`: the patient is in the unit, since `since`. `left`: was, until `left_at`, when the
patient moved to the unit `left_to`, or left the hospital (`left_to` is null). `lost`: was there when last heard of, and
has been forgotten: after 30 days of silence without a discharge, or a day after a death that no discharge followed. A
tombstone: it turned out that the patient never was there under this key (a cancelled admission or transfer, a
correction, a merge); its header `received-at` says when that was, on the stream's clock, in seconds since 1970. Who
comes back to a unit in the same stay is `present` there again; `earlier` keeps the times before, so that arrivals and
departures can be counted from the table alone.

Rows follow from the stay's admission events alone, in the order in which things happened, whatever order they came in
(`models.stay`): a patient is in one unit at a time, an outpatient appointment during a stay moves nobody, who is
registered for later is not there, who is known by an update alone is there since then (`admitted_at` is null), a
patient whose unit nobody states has no row, and a death on outcomes.v1 empties no bed before the discharge does. Rows
are revised until the patient is forgotten, a day after leaving, or 30 where a visit to come is registered.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from wardstream.schemas.admissions import Disposition, PatientClass, Sex
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.bounds import within
from wardstream.schemas.envelope import Event, Label, Moment
from wardstream.schemas.partition import partition_of
from wardstream.schemas.topic import Topic

PARTITIONS: Final = 4  # a hospital moves some thousand patients a day: this is for consumers that share units
RECEIVED_AT: Final = "received-at"  # a tombstone's header
MAX_EARLIER: Final = 16

State = Literal["present", "left", "lost"]


class Before(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An earlier time in the same unit, in the same stay."""

    since: Annotated[Moment, Meta(description="When the patient came.")]
    left_at: Annotated[Moment, Meta(description="When the patient left the unit.")]
    came_from: Annotated[Label | None, Meta(description="The unit before; null: from outside, or not known.")] = None
    left_to: Annotated[Label | None, Meta(description="The unit after; null: out of the hospital.")] = None


class Occupancy(Event, frozen=True, kw_only=True, omit_defaults=True):
    """One row; `observed_at` is the stream's time at which it came to say this."""

    state: Annotated[State, Meta(description="Whether the patient is there, has left, or was lost sight of.")]
    unit: Annotated[Label, Meta(description="The unit; the key with encounter and patient.")]
    room: Annotated[Label | None, Meta(description="Room in the unit, the last one if the patient has left.")] = None
    bed: Annotated[Label | None, Meta(description="Bed in the room or unit; null: not stated.")] = None
    patient_class: Annotated[PatientClass | None, Meta(description="Class of the stay (HL7 table 0004).")] = None
    since: Annotated[Moment, Meta(description="When the patient came into this unit, the last time.")]
    came_from: Annotated[Label | None, Meta(description="The unit before; null: from outside, or not known.")] = None
    admitted_at: Annotated[Moment | None, Meta(description="When the stay in the hospital began.")] = None
    left_at: Annotated[Moment | None, Meta(description="State left: when the patient left the unit. Else null.")] = None
    left_to: Annotated[Label | None, Meta(description="State left: the unit after; null: out of the hospital.")] = None
    disposition: Annotated[Disposition | None, Meta(description="Where a discharged patient went.")] = None
    age_years: Annotated[
        Annotated[float, within("age_years")] | None, Meta(description="Age when last stated, years.")
    ] = None
    sex: Annotated[Sex | None, Meta(description="Administrative sex: beds may be for one.")] = None
    acuity: Annotated[
        Annotated[int, Meta(ge=1, le=5)] | None, Meta(description="Triage level (ESI, KTAS): 1 most urgent, 5 least.")
    ] = None
    planned: Annotated[
        bool, Meta(description="Whether the patient was registered before coming, and did not come as an emergency.")
    ] = False
    earlier: Annotated[
        Annotated[tuple[Before, ...], Meta(max_length=MAX_EARLIER)],
        Meta(description="Earlier times in this unit in the same stay, the oldest first."),
    ] = ()

    def check(self) -> None:
        """Add to the envelope's checks: who has left has left at a time, and nobody else has."""
        Event.check(self)
        if (self.state == "left") != (self.left_at is not None):
            raise BadEvent("inconsistent", "state", "left_at")
        if self.state != "left" and (self.left_to is not None or self.disposition is not None):
            raise BadEvent("inconsistent", "state", "left_to", "disposition")


def row_key(unit: str, encounter_id: str | None, patient_id: str) -> str:
    """Return the key of a row."""
    return f"{unit}\t{encounter_id or ''}\t{patient_id}"


def place(key: bytes) -> int:
    """Return the partition of a row by its key."""
    return partition_of(key.partition(b"\t")[0].decode(), PARTITIONS)


class Withdrawn(Struct, frozen=True):
    """A tombstone: the row of this key is no more, since `received_at`."""

    key: str
    received_at: datetime

    @property
    def unit(self) -> str:
        """The unit of which the row was."""
        return self.key.partition("\t")[0]


class Over(Struct, frozen=True):
    """An hour is over for one of so many lanes: `received_at` is its end."""

    lane: int
    lanes: int
    received_at: datetime


def over_key(lane: int, lanes: int) -> str:
    """Return the key under which a lane says that an hour is over."""
    return f"\t{lane}\t{lanes}"


def tombstone(key: bytes | None, headers: Iterable[tuple[str, bytes | None]], published_ms: int) -> Withdrawn | Over:
    """Return what a record without a value says; without the header it takes the time of its publishing.

    Raises
    ------
    BadEvent
        The key is none of this table, or the time is none.
    """
    try:
        name = (key or b"").decode()
        at = datetime.fromtimestamp(float(dict(headers).get(RECEIVED_AT) or published_ms / 1000), UTC)
        if name.startswith("\t"):
            lane, lanes = map(int, name[1:].split("\t"))
            return Over(lane, lanes, at)
    except (ValueError, OverflowError, OSError):
        raise BadEvent("bad_format", "key", RECEIVED_AT) from None
    if "\t" not in name:
        raise BadEvent("bad_format", "key")
    return Withdrawn(name, at)


TOPIC: Final = Topic(
    name="occupancy.v1",
    type=Occupancy,
    role="output",
    keyed_by="unit",
    partitions=PARTITIONS,
    relayed=True,
    compacted=True,
    retention_ms=None,
    description="Who is in which unit and bed: a table, one row for each unit of each stay.",
)
