"""Measurement sets for tests, and the plain account of them that the state is held against."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID, uuid5

from hypothesis import strategies as st

from wardstream.models.bins import Bins, MeasurementSet, Summary, summarise
from wardstream.models.patient import Patient, Taken

T0 = 1_772_352_000.0  # 2026-03-01 08:00 UTC, a full hour
MINUTE, HOUR = 60.0, 3600.0


def event_id(name: object) -> UUID:
    return uuid5(UUID(int=2), str(name))


class Said(NamedTuple):
    """A measurement set, and the event that it revises."""

    measured: MeasurementSet
    supersedes: UUID | None = None


def kept(sets: Iterable[MeasurementSet]) -> Bins:
    """The bins of a patient of whom so much was measured."""
    bins = Bins(MemoryRows())
    for one in sets:
        bins.add(one)
    return bins


class MemoryRows:
    """A patient's rows of their own, in a dictionary."""

    def __init__(self) -> None:
        self.rows: dict[str, bytes] = {}

    def get(self, name: str) -> bytes | None:
        return self.rows.get(name)

    def put(self, name: str, row: bytes | None) -> None:
        if row is None:
            self.rows.pop(name, None)
        else:
            self.rows[name] = row

    def names(self) -> list[str]:
        return list(self.rows)


def said(
    name: object,
    minutes: float,
    received: float | None = None,
    *,
    device: bool = False,
    revises: object = None,
    **values: Any,
) -> Said:
    """A set observed and received so many minutes after T0, as event `name`; without values it cancels."""
    received_at = T0 + MINUTE * (minutes if received is None else received)
    measured = MeasurementSet(T0 + MINUTE * minutes, received_at, event_id(name), device, values)
    return Said(measured, None if revises is None else event_id(revises))


def apply(history: Iterable[Said]) -> tuple[Patient, Bins, list[Taken]]:
    """A patient to whom all that happened, in this order of arrival."""
    patient, bins = Patient(), Bins(MemoryRows())
    taken = [patient.measure(bins, measured, supersedes) for measured, supersedes in history]
    return patient, bins, taken


def holding(history: list[Said]) -> list[MeasurementSet]:
    """The sets that count when everything is known, found the slow way: family by family."""
    families: list[set[UUID]] = []
    for one in history:
        mine = {one.measured.event_id} | ({one.supersedes} if one.supersedes else set())
        for other in [family for family in families if family & mine]:
            families.remove(other)
            mine |= other
        families.append(mine)
    named = {one.supersedes for one in history}
    kept = []
    for family in families:
        members = [o.measured for o in history if o.measured.event_id in family and o.measured.event_id not in named]
        kept.append(max(members, key=lambda measured: (measured.received, measured.event_id)))
    return [measured for measured in kept if measured.values]


def newest(sets: list[MeasurementSet]) -> dict[str, tuple[Any, float, float, bool]]:
    """Value, times and provenance of each signal's newest value."""
    latest: dict[str, tuple[Any, float, float, bool]] = {}
    for code in {code for measured in sets for code in measured.values}:
        saying = [measured for measured in sets if code in measured.values]
        last = max(saying, key=lambda one: (one.at, one.received, one.values[code], not one.device))
        latest[code] = (last.values[code], last.at, last.received, last.device)
    return latest


def state(patient: Patient) -> dict[str, tuple[Any, float, float, bool]]:
    return {code: (one.value, one.at, one.received, one.device) for code, one in patient.signals.items()}


def summaries(bins: Bins) -> dict[int, dict[str, Summary]]:
    return summarise(bins.sets())


_VALUES = st.fixed_dictionaries(
    {},
    optional={
        "hr": st.integers(40, 160).map(float),
        "temp": st.sampled_from([36.5, 37.0, 39.2]),
        "acvpu": st.sampled_from("ACV"),
        "o2": st.booleans(),
    },
).filter(bool)


@st.composite
def histories(draw: st.DrawFn, hours: int = 60) -> list[Said]:
    """Sets of some hours; some are corrected, also corrections, also twice; some cancelled. In no order."""
    history: list[Said] = []
    names = iter(range(1000))
    moments = st.integers(0, hours * 6).map(lambda step: step * 10.0)  # ties are wanted
    for _ in range(draw(st.integers(1, 6))):
        family: list[tuple[int, float]] = []
        for _ in range(draw(st.integers(1, 4))):
            name, minutes = next(names), draw(moments)
            target = draw(st.sampled_from(family)) if family else None
            # A revision is received after what it revises, though it may arrive before it.
            received = max(minutes, target[1] if target else 0.0) + draw(st.integers(1, 90))
            values = draw(_VALUES) if target is None or draw(st.integers(0, 3)) else {}
            revises = None if target is None else target[0]
            history.append(said(name, minutes, received, device=draw(st.booleans()), revises=revises, **values))
            family.append((name, received))
    return history
