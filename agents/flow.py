"""Rows of occupancy.v1 → the census of each unit, hour by hour, on flow.v1; corrections tell hours again.

In a group of its own, with one lane, for a hospital's units belong together: who is in the emergency department will be
in a ward. The lane reads all partitions of occupancy.v1, and their order among each other is chance. So a row waits in
the state until the hour in which it was received is closed (`agents.closing`), which is when every lane of patients has
said in every partition that it is over. All that is told follows from the rows of closed hours: neither from how far
apart lanes and partitions were, nor from restarts.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from wardstream.agents.patients import SOURCE, PatientRows
from wardstream.agents.streams.batch import Batch, Received
from wardstream.models.flow.census import DAY_H, HOUR_S, MOVEMENTS, Census, Kept, changed_hours, hour_of
from wardstream.models.flow.emergency import Departure
from wardstream.models.flow.site import FlowRow, Site
from wardstream.schemas.decode import decoder_of
from wardstream.schemas.flow import KEPT_DAYS, Flow
from wardstream.schemas.occupancy import Occupancy, Withdrawn, row_key
from wardstream.schemas.output_id import output_id

TOPIC: Final = "flow.v1"
HOSPITAL: Final = ""  # the name of its row: no unit has none
WAITING: Final = "waiting/"  # rows of the hospital's own: of the table, received in an hour that is not closed
CORRECTED: Final = 1000  # hours of a unit that are told again at once, the newest: six weeks, more than is kept

FlowBatch = Batch[Any, FlowRow]
_decode = decoder_of(Occupancy)


def census_of(batch: FlowBatch, unit: str) -> Census:
    """A unit's census."""
    return Census(PatientRows(batch, unit, ""), batch.state[unit].first)


def wait(batch: FlowBatch, received: Received[Any]) -> None:
    """Keep a row until its hour is closed."""
    event = received.event
    hour = hour_of(event.received_at.timestamp())
    key = event.key if isinstance(event, Withdrawn) else key_of(event)
    at = repr(event.received_at.timestamp())
    name = f"{WAITING}{hour:08}/{received.offset:016}/{at}/{key}"
    batch.state.put_child(HOSPITAL, name, received.record.value or b"")


def take_in_waiting(batch: FlowBatch, site: Site, hour: int, told: Corrections) -> None:
    """Take in the rows that were received in an hour or before it; those of one key in the order of its partition."""
    for name in sorted(batch.state.children(HOSPITAL)):
        if not name.startswith(WAITING):
            continue
        then, _, at, key = name.removeprefix(WAITING).split("/", 3)
        if int(then) > hour:
            break
        row = batch.state.child(HOSPITAL, name)
        event = _decode(row) if row else Withdrawn(key, datetime.fromtimestamp(float(at), UTC))
        with batch.alone(event.unit):  # no row keeps an hour from being closed
            take_in(batch, site, event, told)
        batch.state.put_child(HOSPITAL, name, None)


def take_in(batch: FlowBatch, site: Site, event: Occupancy | Withdrawn, told: Corrections) -> None:
    """Count a row; who leaves an emergency department is something to learn from."""
    hospital, row = batch.state[HOSPITAL], batch.state[event.unit]
    if event.unit not in hospital.units:
        hospital.units = tuple(sorted((*hospital.units, event.unit)))
        row.first = 0 if hospital.closed is None else kept_from(hospital.closed)
    if isinstance(event, Withdrawn):
        told.add(event.unit, census_of(batch, event.unit).drop(event.key), None)
        return
    before, after = census_of(batch, event.unit).put(key_of(event), event)
    told.add(event.unit, before, after)
    if event.state == "left" and (before is None or not _has_left(before)) and site.unit(event.unit).emergency:
        left = Departure(after.since, after.age_years, after.acuity, after.sex, after.left_to)
        hospital.departed = (*hospital.departed, left)


def kept_from(hour: int) -> int:
    """The first hour whose movements are kept when an hour is closed, at the beginning of a day."""
    return (hour // DAY_H - KEPT_DAYS) * DAY_H


def key_of(row: Occupancy) -> str:
    """The key of a row."""
    return row_key(row.unit, row.encounter_id, row.patient_id)


def _has_left(kept: Kept) -> bool:
    return sum(kind < 2 for _, kind in kept.movements) == sum(kind >= 2 for _, kind in kept.movements)


class Corrections:
    """Closed hours that rows have changed, to be told again, and those that were skipped, to be told at all."""

    def __init__(self, batch: FlowBatch) -> None:
        self._batch = batch
        self._hours: dict[str, set[int]] = {}
        self._skipped = range(0)

    def skip(self, unit: str, skipped: range) -> None:
        """Take note of hours that were closed all at once; nothing is learnt of them."""
        self._skipped = skipped
        self._hours.setdefault(unit, set()).update(skipped[-CORRECTED:])

    def add(self, unit: str, before: Kept | None, after: Kept | None) -> None:
        """Take note of what a revision changes."""
        closed = self._batch.state[HOSPITAL].closed
        if closed is not None:
            first = max(self._batch.state[unit].first, closed - CORRECTED)
            hours = changed_hours(before, after, closed)
            self._hours.setdefault(unit, set()).update(range(max(hours.start, first), min(hours.stop, closed + 1)))

    def publish(self, cause: Received[Any]) -> None:
        """Tell the hours."""
        for unit, hours in sorted(self._hours.items()):
            if not hours:
                continue
            first = min(hours)
            series = census_of(self._batch, unit).series(first, max(hours) - first + 1)
            for hour in sorted(hours):
                at = hour - first
                movements, census = series.movements[at].tolist(), int(series.census[at])
                said = about(self._batch, unit, hour, movements, census)
                flow = Flow(silent=True, **said) if hour in self._skipped else Flow(status="corrected", **said)
                self._batch.emit(TOPIC, unit, flow, cause)


def about(batch: FlowBatch, unit: str, hour: int, movements: list[int], census: int) -> dict[str, Any]:
    """What every record of an hour says that is told when an hour, this one or a later one, is closed."""
    closed = batch.state[HOSPITAL].closed
    assert closed is not None
    closing = closed + 1
    return {
        "event_id": output_id(UUID(int=0), f"flow/{unit}/{hour}/{closing}"),
        "source": SOURCE,
        "unit": unit,
        "hour_from": datetime.fromtimestamp(hour * HOUR_S, UTC),
        "observed_at": datetime.fromtimestamp((hour + 1) * HOUR_S, UTC),
        "received_at": datetime.fromtimestamp((closing + 1) * HOUR_S, UTC),
        "census": census,
        **{name: max(count, 0) for name, count in zip(MOVEMENTS, movements, strict=True)},
    }
