"""Delta checks: below, at and above each limit, within and beyond its window; and the limits measured anew."""

from __future__ import annotations

import doctest
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from wardstream.infra.feeds import challenge2012, challenge2019, mimic_iv
from wardstream.infra.feeds.archive import texts
from wardstream.models.labs import delta as module
from wardstream.models.labs.analytes import ANALYTES, BY_CODE, Analyte
from wardstream.models.labs.delta import DELTA, HOUR_S, MEASURED, NO_LIMIT, Limit, delta
from wardstream.models.labs.units import convert

SIDES = [
    (code, side, limit)
    for code, known in DELTA.items()
    for side, limit in (("down", known.down), ("up", known.up))
    if limit is not None
]


def after(previous: float, limit: Limit, side: str, change: float) -> float:
    """The result after a change of so much to one side."""
    step = change if limit.kind == "difference" else previous * change / 100
    return previous + step if side == "up" else previous - step


@pytest.mark.parametrize(("code", "side", "limit"), SIDES, ids=[f"{code} {side}" for code, side, _ in SIDES])
def test_below_at_and_above_each_limit(code: str, side: str, limit: Limit) -> None:
    previous, at = 100.0, 1_000_000.0
    for change, flagged in (
        (limit.change * 0.999, False),
        (limit.change, limit.on_limit),
        (limit.change * 1.001, True),
    ):
        found = delta(code, after(previous, limit, side, change), at, previous, at - limit.window_s)
        assert (found is not None) is flagged, change
        if found is not None:
            assert found == (f"delta_{side}", limit)
    large = after(previous, limit, side, limit.change * 1.001)
    assert delta(code, large, at, previous, at - limit.window_s - 1) is None
    assert delta(code, large, at, previous, at) is None  # of one moment: which came first is not known
    assert delta(code, large, at, previous, at + 1) is None


def test_a_change_that_is_not_exact_in_binary_is_on_the_limit() -> None:
    assert delta("creat", 2.3, HOUR_S, 2.0, 0.0) is not None  # 2.3 - 2.0 is 0.2999…
    assert delta("creat", 1.3, HOUR_S, 1.0, 0.0) is not None
    assert delta("creat", 1.29, HOUR_S, 1.0, 0.0) is None


def test_a_limit_that_is_stated_in_si_units_too_counts_at_the_limit_itself() -> None:
    creatinine = BY_CODE["creat"]
    for before in range(30, 400):
        first, *later = (convert(creatinine, before + rise, "umol/L") for rise in (0.0, 26.4, 26.5))
        assert first is not None
        flagged = [delta("creat", value, HOUR_S, first, 0.0) is not None for value in later if value is not None]
        assert flagged == [False, True], before


def test_a_percentage_of_nothing_is_no_number() -> None:
    assert delta("tnt", 5.0, HOUR_S, 0.0, 0.0) is None


def test_every_analyte_has_a_sourced_limit_or_a_reason() -> None:
    assert not set(DELTA) & set(NO_LIMIT)
    assert set(DELTA) | set(NO_LIMIT) == {analyte.code for analyte in ANALYTES}
    assert all(NO_LIMIT.values())
    assert all(limit.source for _, _, limit in SIDES)
    for code in NO_LIMIT:
        assert delta(code, 1e6, HOUR_S, 1.0, 0.0) is None


Series = dict[tuple[str, str], list[tuple[float, float]]]  # by patient and code: hour, value


def _possible(analyte: Analyte, value: float) -> bool:
    return analyte.low <= value <= analyte.high


def _of_2012(folder: Path) -> Iterator[tuple[str, str, float, float]]:
    found = texts(folder / "challenge2012_set-a.tar.gz", lambda names: [n for n in names if n[0].isdigit()])
    for name, text in found.items():
        for line in text.decode().splitlines()[1:]:
            time, parameter, number = line.split(",")
            analyte, value = challenge2012.LABS.get(parameter), float(number)
            if analyte is not None and _possible(analyte, value):
                hours, minutes = time.split(":")
                yield f"2012 {name}", analyte.code, int(hours) + int(minutes) / 60, value


def _of_2019(folder: Path) -> Iterator[tuple[str, str, float, float]]:
    archive = folder / "challenge2019_setB_p100001-p106500.tar.gz"
    for name, text in texts(archive, lambda names: [n for n in names if n.endswith(".psv")]).items():
        header, *rows = text.decode().splitlines()
        columns = header.split("|")
        labs = [(i, challenge2019.LABS[c]) for i, c in enumerate(columns) if c in challenge2019.LABS and c != "Calcium"]
        hour = columns.index("ICULOS")
        for row in rows:
            cells = row.split("|")
            for i, analyte in labs:
                if cells[i] != "NaN" and _possible(analyte, value := float(cells[i])):
                    yield f"2019 {name}", analyte.code, float(cells[hour]), value


def _of_mimic_iv(folder: Path) -> Iterator[tuple[str, str, float, float]]:
    parquet = pytest.importorskip("pyarrow.parquet")
    (path,) = (folder / "mimic_iv_demo_v2.2").rglob("*meds*.parquet")
    table = parquet.read_table(path, columns=["subject_id", "time", "code", "value"])
    columns = [table[name].to_pylist() for name in ("subject_id", "time", "code", "value")]
    for subject, time, code, value in zip(*columns, strict=True):
        kind, _, rest = code.partition("//")
        item, _, unit = rest.partition("//")
        listed = mimic_iv.LABS.get(item)
        if kind == "LAB" and value is not None and listed is not None and listed[1] == unit:
            analyte = listed[0]
            if _possible(analyte, value):
                yield f"mimic {subject}", analyte.code, time.timestamp() / 3600, value


def _percentile(ordered: list[float], percent: float) -> float:
    place = (len(ordered) - 1) * percent / 100
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def test_the_measured_limits_are_what_the_data_say(shared_data: Path) -> None:
    """Seven seconds: 150,000 series of results."""
    series: Series = defaultdict(list)
    for source in (_of_2012, _of_2019, _of_mimic_iv):
        for patient, code, hour, value in source(shared_data / "icu"):
            series[patient, code].append((hour, value))
    pairs: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for (_, code), results in series.items():
        results.sort()
        pairs[code] += [(old, new) for (then, old), (now, new) in pairwise(results) if 0 < now - then <= 48]
    measured, expected = {}, {}
    for code, known in MEASURED.items():
        assert known.down is not None
        assert known.up is not None
        if known.up.kind == "difference":
            changes = sorted(new - old for old, new in pairs[code])
        else:
            changes = sorted((new / old - 1) * 100 for old, new in pairs[code] if old > 0)
        measured[code] = [f"{_percentile(changes, 0.5):.2g}", f"{_percentile(changes, 99.5):.2g}"]
        expected[code] = [f"{-known.down.change:.2g}", f"{known.up.change:.2g}"]
    assert measured == expected
    enough = {
        code for code, found in Counter({code: len(found) for code, found in pairs.items()}).items() if found >= 400
    }
    assert enough == set(MEASURED)


def test_the_examples_in_the_docstrings() -> None:
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0
