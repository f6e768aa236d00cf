"""Stays as arrays: what the events of recorded patients come to, hour by hour, for models that answer every hour.

There is no second way to read data: the arrays are made from the same events, by the same functions, as a patient's
state (`vitals.measurements`, `labs.units`) and by the same features as serving (`sepsis.hourly`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from wardstream.models.bins import MeasurementSet, Value
from wardstream.models.labs.analytes import BY_LOINC
from wardstream.models.labs.units import convert
from wardstream.models.sepsis import SIGNALS, Who, hour_of, hourly
from wardstream.models.vitals import measurements
from wardstream.schemas.admissions import Admission
from wardstream.schemas.envelope import Event
from wardstream.schemas.labs import Lab
from wardstream.schemas.vitals import Vitals

UNLABELLED = -1


class Course(NamedTuple):
    """One stay: who, what was measured, and the labels by hour of the stay (empty: there are none)."""

    patient_id: str
    who: Who
    sets: tuple[MeasurementSet, ...]
    labels: Mapping[int, int]


def result(event: Lab) -> MeasurementSet:
    """A laboratory result as a measurement set; without values where it is no number, or of an unknown unit."""
    values: dict[str, Value] = {}
    analyte = BY_LOINC.get(event.loinc)
    if analyte is not None and event.value is not None and event.comparator is None and event.status != "cancelled":
        value = convert(analyte, event.value, event.unit)
        if value is not None:
            values[analyte.code] = value
    return MeasurementSet(event.observed_at.timestamp(), event.received_at.timestamp(), event.event_id, False, values)


def course(events: Iterable[Event], labels: Mapping[int, int]) -> Course:
    """What the events of one stay come to; the first admission says who and since when.

    Raises
    ------
    ValueError
        There is no admission.
    """
    admitted: Admission | None = None
    sets: list[MeasurementSet] = []
    for event in events:
        if isinstance(event, Admission) and event.kind == "admit" and admitted is None:
            admitted = event
        elif isinstance(event, Vitals):
            sets.append(measurements(event))
        elif isinstance(event, Lab) and (one := result(event)).values:
            sets.append(one)
    if admitted is None:
        raise ValueError("a stay without an admission")
    who = Who(admitted.observed_at.timestamp(), admitted.age_years, admitted.sex)
    return Course(admitted.patient_id, who, tuple(sets), labels)


@dataclass(frozen=True)
class Stays:
    """Many stays, one after the other.

    Attributes
    ----------
    ids : list of str
        Patients, each once.
    starts : (stays + 1,)
        Where each begins in `grid` and `label`.
    grid : (hours, 34) float32
        Medians by hour of the stay, from hour 1; NaN where nothing was measured.
    label : (hours,)
        1, 0, or `UNLABELLED`: no row of the data stands for this hour.
    age, sex : (stays,)
        Years, NaN unknown; male, female or "".
    """

    ids: npt.NDArray[np.str_]
    starts: npt.NDArray[np.int64]
    grid: npt.NDArray[np.float32]
    label: npt.NDArray[np.int8]
    age: npt.NDArray[np.float64]
    sex: npt.NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.ids)

    def who(self, i: int) -> Who:
        """Who a stay is of. Hours are counted from admission, so its time is 0."""
        return Who(0.0, None if np.isnan(self.age[i]) else float(self.age[i]), str(self.sex[i]) or None)

    def rows(self, i: int) -> npt.NDArray[np.float32]:
        """The grid of one stay."""
        return self.grid[self.starts[i] : self.starts[i + 1]]

    def labels(self, i: int) -> npt.NDArray[np.int8]:
        """The labels of one stay, from hour 1."""
        return self.label[self.starts[i] : self.starts[i + 1]]

    @property
    def positive(self) -> list[bool]:
        """Whether each stay has a positive row."""
        return [bool((self.labels(i) == 1).any()) for i in range(len(self))]

    def onset(self, i: int) -> float:
        """Hour of onset (first positive row + 6); NaN without one, or when the first row is positive already."""
        labelled = np.flatnonzero(self.labels(i) != UNLABELLED)
        positive = np.flatnonzero(self.labels(i) == 1)
        if not len(positive) or positive[0] == labelled[0]:
            return float("nan")
        return float(positive[0] + 1 + 6)

    @property
    def labelled(self) -> bool:
        """Whether any hour has a label."""
        return bool((self.label != UNLABELLED).any())

    def take(self, places: Sequence[int] | npt.NDArray[np.intp]) -> "Stays":
        """Some of the stays."""
        chosen = [int(i) for i in places]
        grids, labels = [self.rows(i) for i in chosen], [self.labels(i) for i in chosen]
        return Stays(
            self.ids[chosen],
            np.cumsum([0, *map(len, labels)]).astype(np.int64),
            np.concatenate(grids) if grids else self.grid[:0],
            np.concatenate(labels) if labels else self.label[:0],
            self.age[chosen],
            self.sex[chosen],
        )

    def save(self, path: Path) -> None:
        """Write all arrays into one file; it is there whole or not at all."""
        part = path.with_suffix(".part.npz")
        np.savez_compressed(part, **{field.name: getattr(self, field.name) for field in fields(self)})
        part.replace(path)

    @staticmethod
    def load(path: Path) -> "Stays":
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as found:
            arrays: dict[str, Any] = {field.name: found[field.name] for field in fields(Stays)}
        return Stays(**arrays)


class Recorded(NamedTuple):
    """Stays and where they are from.

    Attributes
    ----------
    stays : Stays
        Those of a source with labels of sepsis.
    unlabelled : Stays
        Those of other sources: for learning without labels.
    data_hash, code_hash : str
        Of the files, and of the code that reads them.
    """

    stays: Stays
    unlabelled: Stays
    data_hash: str
    code_hash: str


def stack(courses: Iterable[Course]) -> Stays:
    """Courses as arrays. A stay lasts to its last label, or without labels to its last measurement."""
    ids, ages, sexes = list[str](), list[float](), list[str]()
    grids, labels = [np.zeros((0, len(SIGNALS)), np.float32)], [np.zeros(0, np.int8)]
    for one in courses:
        admitted_at = one.who.admitted_at or 0.0
        last = max(one.labels, default=0) or max((hour_of(m.at, admitted_at) for m in one.sets), default=0)
        if not last:
            continue
        grids.append(hourly(one.sets, admitted_at, 1, last).astype(np.float32))
        hours = np.full(last, UNLABELLED, np.int8)
        for hour, label in one.labels.items():
            hours[hour - 1] = label
        labels.append(hours)
        ids.append(one.patient_id)
        ages.append(float("nan") if one.who.age_years is None else one.who.age_years)
        sexes.append(one.who.sex or "")
    starts = np.cumsum([0, *map(len, labels[1:])]).astype(np.int64)
    return Stays(
        np.array(ids, str), starts, np.concatenate(grids), np.concatenate(labels), np.array(ages), np.array(sexes, str)
    )
