"""Each limit of each score from below, at and above, against the tables as published (written out here again)."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardstream.models.scores import Observations, mews, news, news2, qsofa, shock_index, sirs
from wardstream.schemas.bounds import BOUNDS

ON_OXYGEN = {"supplemental_oxygen": True}
SCALE_2_AIR = {"spo2_scale_2": True}
SCALE_2_OXYGEN = {"spo2_scale_2": True, "supplemental_oxygen": True}


class Table(NamedTuple):
    """One row of a published chart: its columns as (first value, points), the first from the lowest value up."""

    rule: Any
    changes: dict[str, Any]
    field: str
    columns: tuple[tuple[str, int], ...]
    resolution: str = "1"

    def points(self, value: float) -> int:
        """Round as a chart is filled in, half up, and look up the column."""
        charted = Decimal(repr(float(value))).quantize(Decimal(self.resolution), ROUND_HALF_UP)
        return [points for first, points in self.columns if Decimal(first) <= charted][-1]

    def scored(self, well: Observations, value: float) -> float:
        """Return the points that our rule gives."""
        score = self.rule(msgspec.structs.replace(well, **self.changes, **{self.field: value}))
        assert score.complete
        assert score.value == sum(score.parts.values())
        return float(score.parts[self.field])


def _news_tables(rule: Any) -> list[Table]:
    return [
        Table(rule, {}, "respiratory_rate_per_min", (("-1", 3), ("9", 1), ("12", 0), ("21", 2), ("25", 3))),
        Table(rule, {}, "spo2_percent", (("-1", 3), ("92", 2), ("94", 1), ("96", 0))),
        Table(rule, ON_OXYGEN, "spo2_percent", (("-1", 3), ("92", 2), ("94", 1), ("96", 0))),
        Table(rule, {}, "systolic_mmhg", (("-1", 3), ("91", 2), ("101", 1), ("111", 0), ("220", 3))),
        Table(rule, {}, "heart_rate_bpm", (("-1", 3), ("41", 1), ("51", 0), ("91", 1), ("111", 2), ("131", 3))),
        Table(rule, {}, "temperature_celsius", (("-1", 3), ("35.1", 1), ("36.1", 0), ("38.1", 1), ("39.1", 2)), "0.1"),
    ]


TABLES = [
    *_news_tables(news2),
    *_news_tables(news),
    Table(news2, SCALE_2_AIR, "spo2_percent", (("-1", 3), ("84", 2), ("86", 1), ("88", 0))),
    Table(
        news2,
        SCALE_2_OXYGEN,
        "spo2_percent",
        (("-1", 3), ("84", 2), ("86", 1), ("88", 0), ("93", 1), ("95", 2), ("97", 3)),
    ),
    Table(qsofa, {}, "respiratory_rate_per_min", (("-1", 0), ("22", 1))),
    Table(qsofa, {}, "systolic_mmhg", (("-1", 1), ("101", 0))),
    Table(sirs, {}, "temperature_celsius", (("-1", 1), ("36.0", 0), ("38.1", 1)), "0.1"),
    Table(sirs, {}, "heart_rate_bpm", (("-1", 0), ("91", 1))),
    Table(sirs, {}, "respiratory_rate_per_min", (("-1", 0), ("21", 1))),
    Table(mews, {}, "systolic_mmhg", (("-1", 3), ("71", 2), ("81", 1), ("101", 0), ("200", 2))),
    Table(mews, {}, "heart_rate_bpm", (("-1", 2), ("41", 1), ("51", 0), ("101", 1), ("111", 2), ("130", 3))),
    Table(mews, {}, "respiratory_rate_per_min", (("-1", 2), ("9", 0), ("15", 1), ("21", 2), ("30", 3))),
    Table(mews, {}, "temperature_celsius", (("-1", 2), ("35.0", 0), ("38.5", 2)), "0.1"),
]
LIMITS = [(table, number) for table in TABLES for number in range(1, len(table.columns))]


def _name(value: object) -> str:
    return f"{value.rule.__name__}-{value.field}" if isinstance(value, Table) else str(value)


@pytest.mark.parametrize(("table", "number"), LIMITS, ids=_name)
def test_each_limit_of_each_row(well: Observations, table: Table, number: int) -> None:
    first, above = table.columns[number]
    below = table.columns[number - 1][1]
    step = Decimal(table.resolution)
    limit = Decimal(first)
    assert table.scored(well, float(limit - step)) == below
    assert table.scored(well, float(limit - step / 2 - step / 100)) == below, "rounds down to the column below"
    assert table.scored(well, float(limit - step / 2)) == above, "half-way rounds up"
    assert table.scored(well, float(limit)) == above
    assert table.scored(well, float(limit + step)) == above


@given(table=st.sampled_from(TABLES), data=st.data())
def test_any_value_scores_as_charted(well: Observations, table: Table, data: st.DataObject) -> None:
    bound = BOUNDS[table.field]
    value = data.draw(st.floats(bound.low, bound.high) | st.decimals(bound.low, bound.high, places=2).map(float))
    assert table.scored(well, value) == table.points(value)


@given(table=st.sampled_from(TABLES), data=st.data())
def test_points_only_grow_away_from_the_normal_column(well: Observations, table: Table, data: st.DataObject) -> None:
    bound = BOUNDS[table.field]
    lower, higher = sorted(data.draw(st.tuples(*[st.floats(bound.low, bound.high)] * 2)))
    normal = next(float(first) for first, points in table.columns if points == 0)
    if lower >= normal:
        assert table.scored(well, lower) <= table.scored(well, higher)
    if higher < normal:
        assert table.scored(well, lower) >= table.scored(well, higher)


def test_a_temperature_converted_from_fahrenheit_is_what_was_charted(well: Observations) -> None:
    converted = (100.4 - 32) * (5 / 9)
    assert converted > 38
    warm = msgspec.structs.replace(well, temperature_celsius=converted)
    assert sirs(warm).value == news2(warm).value == 0


@pytest.mark.parametrize(
    ("rate", "paco2", "expected"),
    [
        (20, None, 0),
        (21, None, 1),
        (20, 32, 0),
        (20, 31.9, 1),
        (21, 40, 1),
        (None, 31.9, 1),
        (None, 32, None),
        (None, None, None),
    ],
)
def test_sirs_respiration(well: Observations, rate: float | None, paco2: float | None, expected: int | None) -> None:
    score = sirs(msgspec.structs.replace(well, respiratory_rate_per_min=rate, paco2_mmhg=paco2))
    assert score.parts.get("respiratory_rate_per_min") == expected
    assert score.missing == (("respiratory_rate_per_min",) if expected is None else ())


@pytest.mark.parametrize(
    ("count", "bands", "expected"),
    [
        (3.99, None, 1),
        (4, None, 0),
        (12, None, 0),
        (12.01, None, 1),
        (8, 10, 0),
        (8, 10.1, 1),
        (3, 5, 1),
        (None, 10.1, 1),
        (None, 10, None),
        (None, None, None),
    ],
)
def test_sirs_white_cells(well: Observations, count: float | None, bands: float | None, expected: int | None) -> None:
    score = sirs(msgspec.structs.replace(well, wbc_10e9_per_l=count, bands_percent=bands))
    assert score.parts.get("wbc_10e9_per_l") == expected
    assert score.missing == (("wbc_10e9_per_l",) if expected is None else ())


@pytest.mark.parametrize(
    ("rate", "pressure", "index", "band"),
    [
        (49, 100, 0.49, "low"),
        (50, 100, 0.5, "normal"),
        (70, 100, 0.7, "normal"),
        (71, 100, 0.71, "raised"),
        (89.9, 100, 0.899, "raised"),
        (90, 100, 0.9, "alert"),
        (63, 70, 0.9, "alert"),
        (140, 70, 2, "alert"),
        (0, 100, 0, "low"),
    ],
)
def test_shock_index(rate: float, pressure: float, index: float, band: str) -> None:
    score = shock_index(Observations(heart_rate_bpm=rate, systolic_mmhg=pressure))
    assert score.value == pytest.approx(index)
    assert score.parts == {"ratio": score.value}
    assert (score.band, score.complete, score.missing) == (band, True, ())


def test_shock_index_without_an_input_or_a_pressure() -> None:
    cases: tuple[tuple[dict[str, Any], tuple[str, ...]], ...] = (
        ({}, ("heart_rate_bpm", "systolic_mmhg")),
        ({"heart_rate_bpm": 80.0}, ("systolic_mmhg",)),
        ({"systolic_mmhg": 80.0}, ("heart_rate_bpm",)),
    )
    for known, missing in cases:
        score = shock_index(Observations(**known))
        assert (score.value, score.parts, score.band, score.complete) == (None, {}, None, False)
        assert score.missing == missing
    score = shock_index(Observations(heart_rate_bpm=80, systolic_mmhg=0))
    assert (score.value, score.not_applicable) == (None, "no systolic pressure to divide by")
