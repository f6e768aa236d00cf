"""occupancy.v1 → flow.v1: when an hour is over for every lane it is closed: counted, learnt, and forecast from.

First every unit learns the hour (score before learning), then the emergency departments say whom they will send, and
with it every unit says what it expects. A unit's model is a row of the state, read and written with each hour: what is
restored after a kill is what would have been read anyway.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from time import monotonic
from typing import Any, Final

from wardstream.agents import metrics as m
from wardstream.agents.flow import (
    HOSPITAL,
    TOPIC,
    Corrections,
    FlowBatch,
    about,
    census_of,
    kept_from,
    take_in_waiting,
    wait,
)
from wardstream.agents.meters import Names
from wardstream.agents.patients import PatientRows
from wardstream.agents.streams.batch import Handler, Received
from wardstream.agents.streams.places import place
from wardstream.models.flow.arrivals import HORIZONS
from wardstream.models.flow.beds import pressure
from wardstream.models.flow.census import DAY_H, MOVEMENTS, Kept, Rows, hour_of
from wardstream.models.flow.counts import Doubles, mean_of, quantile
from wardstream.models.flow.emergency import Emergency
from wardstream.models.flow.measures import PIT_BINS, Score
from wardstream.models.flow.site import Site, UnitRules
from wardstream.models.flow.snapshot import BadSnapshot, Learnt, dump, load
from wardstream.models.flow.unit import FORECAST, Came, Inflow, Outlook, Present, Unit
from wardstream.schemas.flow import LEVELS, Ahead, Flow, Spread
from wardstream.schemas.occupancy import PARTITIONS, Occupancy, Over, Withdrawn

log = logging.getLogger(__name__)

MODEL: Final = "model/"  # rows of the unit's own; of the hospital's, what is known of admissions from emergency
PART_BYTES: Final = 500_000
_units: Final = Names()  # of this process: those that are counted by name
SILENT: Final = 12.0  # arrivals expected while nobody came or left: by chance once in 160,000 times at the most
GAP_H: Final = 48  # hours that are closed one by one, with forecasts, although the clock has jumped over them


def handler(site: Site) -> Handler:
    """The handler of occupancy.v1 in the group of patient flow."""

    async def on_occupancy(batch: FlowBatch) -> None:
        """Have rows wait until their hour is over; close the hours that are over for every lane."""
        async for received in batch:
            event: Occupancy | Withdrawn | Over = received.event
            if isinstance(event, Over):
                await _over(batch, site, event, received)
            else:
                wait(batch, received)

    return on_occupancy


async def _over(batch: FlowBatch, site: Site, event: Over, cause: Received[Any]) -> None:
    """An hour is over for a lane, as far as one partition goes."""
    hospital = batch.state[HOSPITAL]
    partition, hour = place(cause.topic, 0).partition, hour_of(event.received_at.timestamp()) - 1
    known = {name: last for name, last in hospital.over.items() if int(name.partition("/")[2]) < event.lanes}
    name = f"{partition}/{event.lane}"
    hospital.over = known | {name: max(hour, known.get(name, hour))}
    if len(hospital.over) < event.lanes * PARTITIONS:
        return
    over = min(hospital.over.values())
    skipped = range(0)
    if hospital.closed is None:
        hospital.closed = over - 1
    elif over - hospital.closed > GAP_H:
        skipped = range(hospital.closed + 1, over)
        log.warning("the clock went on by %d hours at once: they are told without forecasts", len(skipped))
        hospital.closed = over - 1
    while hospital.closed < over:
        began = monotonic()
        await _close(batch, site, hospital.closed + 1, skipped, cause)
        batch.observe(m.FLOW_CLOSE, monotonic() - began)
        skipped = range(0)


async def _close(batch: FlowBatch, site: Site, hour: int, skipped: range, cause: Received[Any]) -> None:
    """Close one hour: take in what was received before its end, tell again what that changes, and forecast.

    Hours before it that were skipped are told as they are known now.
    """
    hospital = batch.state[HOSPITAL]
    told = Corrections(batch)
    for name in hospital.units:
        if skipped:
            told.skip(name, skipped)
            batch.count(m.FLOW_HOURS, ("skipped",), len(skipped))
    take_in_waiting(batch, site, hour, told)
    told.publish(cause)
    units: dict[str, Unit] = {}
    for name in hospital.units:
        with batch.alone(name):
            units[name] = _learn(batch, site, name, hour, len(skipped))
        await asyncio.sleep(0)  # a close takes a while, and a worker has a heart to beat
    inflows, ended = _inflows(batch, site, units, hour), set()
    for name in hospital.units:
        with batch.alone(name):
            if hour % DAY_H == 0 and _ends(batch, name, hour, cause):
                ended.add(name)
                continue
            outlook = None
            if name in units and units[name].present is not None:
                outlook = units[name].say(hour, inflows.get(name, ()))
                batch.state[name].expected = float(mean_of(outlook.arrivals[0]))
            _publish(batch, site, name, hour, outlook, cause)
            if name in units:
                _keep(batch, name, dump(units[name]))
        await asyncio.sleep(0)
    hospital.units = tuple(name for name in hospital.units if name not in ended)
    hospital.closed = hour


def _ends(batch: FlowBatch, name: str, hour: int, cause: Received[Any]) -> bool:
    """Forget what is of long ago; a unit of which nothing is left is told for the last time, and forgotten."""
    row, census = batch.state[name], census_of(batch, name)
    row.first = kept_from(hour)
    census.forget(row.first)
    if not census.empty:
        return False
    batch.emit(TOPIC, name, Flow(ended=True, **about(batch, name, hour, [0] * len(MOVEMENTS), 0)), cause)
    batch.state.forget(name)
    return True


def _learn(batch: FlowBatch, site: Site, name: str, hour: int, skipped: int) -> Unit:
    """What a unit has learnt with an hour, before which so many were skipped."""
    row, census = batch.state[name], census_of(batch, name)
    unit = learnt(snapshot_of(PatientRows(batch, name, MODEL)), site, Unit)
    there = census.present()
    present = {key: _present(kept) for key, kept in there.items() if kept.since < hour + 1}
    moved = census.series(hour - skipped, skipped + 1).movements
    movements = moved[-1].tolist()
    came = _came(there.values(), hour, movements, site)
    expected = 0.0 if site.is_closed(name, hour) else row.expected
    if skipped:  # of which there is no forecast
        expected += unit.rate * sum(not site.is_closed(name, one) for one in range(hour - skipped, hour))
    if unit.arrivals.hour is not None:
        unit.go_to(hour)
    told = moved[:, :-1].any()  # no feed says who is lost sight of
    row.quiet = 0.0 if told else row.quiet + expected
    if row.quiet > SILENT:
        unit.miss(hour)
        batch.count(m.FLOW_HOURS, ("silent",))
        return unit
    scores = unit.learn(hour, came, present)
    batch.count(m.FLOW_HOURS, ("learnt",))
    for what, score in scores:
        _measure(batch, name, what, score)
    return unit


def snapshot_of(rows: Rows) -> bytes | None:
    """A snapshot from its parts."""
    parts = sorted(rows.names(), key=int)
    return b"".join(rows.get(part) or b"" for part in parts) if parts else None


def _keep(batch: FlowBatch, name: str, snapshot: bytes) -> None:
    """Write a snapshot in parts that Kafka takes."""
    rows = PatientRows(batch, name, MODEL)
    parts = {str(at // PART_BYTES): snapshot[at : at + PART_BYTES] for at in range(0, len(snapshot), PART_BYTES)}
    for part in {*rows.names(), *parts}:
        rows.put(part, parts.get(part))


def learnt(snapshot: bytes | None, site: Site, kind: type[Learnt]) -> Learnt:
    """What was learnt until now; of a snapshot that another version has made, nothing."""
    if snapshot is not None:
        try:
            return load(snapshot, site.calendar, kind)
        except BadSnapshot as refused:
            log.warning("what was learnt of patient flow begins anew: %s", refused)
    return kind(site.calendar)


def _present(kept: Kept) -> Present:
    return Present(kept.since, kept.age_years, kept.acuity, kept.sex)


def _came(there: Iterable[Kept], hour: int, movements: Sequence[int], site: Site) -> Came:
    departments, new = site.departments, [kept for kept in there if int(kept.since) == hour]
    planned = sum(kept.planned and kept.came_from is None for kept in new)
    sent = min(sum(kept.came_from in departments for kept in new), movements[1]) if departments else None
    return Came(movements[0] + movements[1], min(planned, movements[0]), sent)


def _inflows(batch: FlowBatch, site: Site, units: dict[str, Unit], hour: int) -> dict[str, list[Inflow]]:
    """Whom the emergency departments will send, by unit; learns from who has left them."""
    if not site.departments:
        return {}
    hospital = batch.state[HOSPITAL]
    emergency = learnt(snapshot_of(PatientRows(batch, HOSPITAL, MODEL)), site, Emergency)
    emergency.learn(hospital.departed)
    hospital.departed = ()
    _keep(batch, HOSPITAL, dump(emergency))
    return inflows_of(emergency, site, units, hour)


def inflows_of(emergency: Emergency, site: Site, units: dict[str, Unit], hour: int) -> dict[str, list[Inflow]]:
    """Whom the emergency departments will send, by unit."""
    found: dict[str, list[Inflow]] = {}
    for name in sorted(site.departments & units.keys()):
        if units[name].present is not None:
            for to, inflow in emergency.inflows(units[name], hour).items():
                if to not in site.departments:
                    found.setdefault(to, []).append(inflow)
    return found


def _publish(batch: FlowBatch, site: Site, name: str, hour: int, outlook: Outlook | None, cause: Received[Any]) -> None:
    series = census_of(batch, name).series(hour, 1)
    told = about(batch, name, hour, series.movements[0].tolist(), int(series.census[0]))
    if outlook is None:
        batch.emit(TOPIC, name, Flow(silent=True, **told), cause)
    else:
        batch.emit(TOPIC, name, Flow(**told, **forecast_of(outlook, site.unit(name))), cause)
        batch.count(m.FLOW_FORECASTS)


def forecast_of(outlook: Outlook, rules: UnitRules) -> dict[str, Any]:
    """A forecast as the record says it."""
    return {
        "staffed": rules.staffed,
        "peak_h": outlook.peak_h,
        "course": tuple(round(float(beds), 3) for beds in outlook.expected),
        "ahead": tuple(_ahead(outlook, row, rules) for row in range(len(HORIZONS))),
    }


def _ahead(outlook: Outlook, row: int, rules: UnitRules) -> Ahead:
    beds = outlook.needed[row]
    found = pressure(beds, rules.staffed, rules.patients_per_nurse)
    return Ahead(
        horizon_h=HORIZONS[row],
        arrivals=_spread(outlook.arrivals[row]),
        discharges=_spread(outlook.leaving[row]),
        beds=_spread(beds),
        full=None if found.full is None else round(found.full, 4),
        shortfall=None if found.shortfall is None else round(found.shortfall, 4),
        nurses=found.nurses,
    )


def _spread(pmf: Doubles) -> Spread:
    return Spread(
        mean=round(float(mean_of(pmf)), 3), quantiles=tuple(int(quantile(pmf[None], level)[0]) for level in LEVELS)
    )


def _measure(batch: FlowBatch, unit: str, what: str, score: Score) -> None:
    labels = (what, score.forecaster, str(score.horizon_h))
    batch.count(m.FLOW_SCORED, labels)
    batch.count(m.FLOW_ERROR, labels, score.absolute)
    batch.count(m.FLOW_CRPS, labels, score.crps)
    batch.count(m.FLOW_PINBALL, labels, score.pinball)
    for percent, within in (("80", score.within_80), ("95", score.within_95)):
        if within:
            batch.count(m.FLOW_COVERED, (*labels, percent))
    if score.forecaster == FORECAST:
        of_unit = (_units(unit), what, str(score.horizon_h))
        batch.count(m.FLOW_UNIT_SCORED, of_unit)
        batch.count(m.FLOW_UNIT_ERROR, of_unit, score.absolute)
        if score.within_80:
            batch.count(m.FLOW_UNIT_COVERED, of_unit)
    batch.count(m.FLOW_PIT, (*labels, f"{(score.pit + 1) / PIT_BINS:.1f}"))
