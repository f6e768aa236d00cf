"""The state space keeps what it knows of special days by their names."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from tests.models.flow.test_unit import step, ward
from wardstream.models.flow.calendar import Calendar
from wardstream.models.flow.snapshot import dump, load
from wardstream.models.flow.state_space import StateSpace
from wardstream.models.flow.unit import Unit

FIRST = int(datetime(2026, 1, 5, tzinfo=UTC).timestamp()) // 3600
CLOSED = (date(2026, 1, 14), date(2026, 1, 21), date(2026, 1, 28))
NEXT = date(2026, 2, 4)  # a Wednesday, as the others
NOON = int(datetime(2026, 2, 4, 12, tzinfo=UTC).timestamp()) // 3600


def calendar(*names: str, on_next: str | None = None) -> Calendar:
    days = {day: names for day in CLOSED} | ({NEXT: (on_next,)} if on_next else {})
    return Calendar(ZoneInfo("UTC"), days)


def learnt(known: Calendar) -> StateSpace:
    """Ten an hour, one on the days that are special."""
    space = StateSpace(known)
    for hour in range(FIRST, FIRST + 24 * 29):
        closed = datetime.fromtimestamp(hour * 3600, UTC).date() in CLOSED
        space.learn(hour, 1.0 if closed else 10.0)
    return space


def restored(space: StateSpace, known: Calendar) -> StateSpace:
    other = StateSpace.__new__(StateSpace)
    other.__setstate__(space.__getstate__() | {"_calendar": known})
    return other


def rate(space: StateSpace) -> float:
    last = FIRST + 24 * 29 - 1
    return float(space.forecast(last, [NOON - last])[0][0])


@pytest.mark.parametrize("names", [("closed", "zoo"), ("arch", "closed"), ("closed",)])
def test_effects_follow_their_names(names: tuple[str, ...]) -> None:
    space = learnt(calendar("closed", "never"))
    closed = rate(restored(space, calendar("closed", "never", on_next="closed")))
    assert closed < 6.0 < rate(space)
    other = restored(space, calendar(*names, on_next="closed"))
    assert rate(other) == pytest.approx(closed, rel=1e-6)
    other.learn(FIRST + 24 * 29, 10.0)


def test_a_new_name_has_no_effect_yet() -> None:
    space = learnt(calendar("closed"))
    renamed = restored(space, calendar("shut", on_next="shut"))
    assert rate(renamed) == pytest.approx(rate(space), rel=0.02)


def test_a_restored_unit_goes_on_with_other_special_days() -> None:
    hours = list(ward(24 * 4))
    unit = Unit(calendar("closed"))
    for hour, arrived, present in hours[:-5]:
        step(unit, hour, arrived, present)
    other = load(dump(unit), calendar("closed", "new"), Unit)
    for hour, arrived, present in hours[-5:]:
        said = step(other, hour, arrived, present)
        assert all(np.isfinite(pmf).all() for pmf in said.needed)
