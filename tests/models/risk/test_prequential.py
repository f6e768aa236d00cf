"""The measures from counts agree with those of the predictions themselves."""

from __future__ import annotations

from math import isnan
from random import Random

import msgspec
import numpy as np
import pytest

from wardstream.models.risk.platt import probability
from wardstream.models.risk.prequential import (
    BLOCK,
    BLOCKS,
    BY_UNIT_FROM,
    OTHER_UNITS,
    UNITS,
    Measures,
    Prequential,
    Tally,
    loss,
    together,
)
from wardstream.models.training.measures import auprc, auroc, brier


def said(number: int, seed: int = 1, off: float = 0.0, steep: float = 1.0) -> list[tuple[float, bool]]:
    """Predictions whose log-odds are `off` too high, and `steep` times as far apart as they should be."""
    draw = Random(seed)
    truths = [draw.gauss(-2, 1.5) for _ in range(number)]
    return [(probability(steep * truth + off), draw.random() < probability(truth)) for truth in truths]


def tallied(predictions: list[tuple[float, bool]]) -> Tally:
    tally = Tally()
    for one in predictions:
        tally.add(*one)
    return tally


def test_counts_say_what_the_predictions_say() -> None:
    predictions = said(5_000)
    found = tallied(predictions).measures()
    label = np.array([happened for _, happened in predictions], np.int8)
    score = np.array([one for one, _ in predictions])
    assert found.predictions == 5_000
    assert found.positives == label.sum()
    assert found.auroc == pytest.approx(auroc(label, score), abs=1e-3)
    assert found.auprc == pytest.approx(auprc(label, score), abs=5e-3)
    assert found.brier == pytest.approx(brier(label, score))
    assert found.log_loss == pytest.approx(np.mean([loss(*one) for one in predictions]))


def test_calibration() -> None:
    right = tallied(said(20_000)).measures()
    assert right.slope == pytest.approx(1, abs=0.06)
    assert right.expected == pytest.approx(1, abs=0.05)
    assert right.ece < 0.01
    too_sure = tallied(said(20_000, steep=2.0, off=2.0)).measures()
    assert too_sure.slope == pytest.approx(0.5, abs=0.04)
    too_high = tallied(said(20_000, off=1.0)).measures()
    assert too_high.slope == pytest.approx(1, abs=0.06)
    assert too_high.expected > 1.3
    assert too_high.ece == pytest.approx(
        np.mean([one for one, _ in said(20_000, off=1.0)]) - np.mean([yes for _, yes in said(20_000)]), abs=0.01
    )


@pytest.mark.parametrize("steep", [0.2, 5.0])
def test_a_slope_that_is_far_from_one_is_found(steep: float) -> None:
    found = tallied(said(20_000, steep=steep, off=3.0)).measures()
    assert found.slope == pytest.approx(1 / steep, rel=0.15)


def test_of_nothing_and_of_one_kind_nothing_is_said() -> None:
    for predictions in ([], [(0.1, False)] * 9, [(0.1, True)] * 9):
        found = tallied(predictions).measures()
        assert isnan(found.auroc)
        assert isnan(found.slope)
    assert isnan(tallied([]).measures().brier)
    assert tallied([(0.0, True), (1.0, False)]).measures().log_loss == pytest.approx(13.8, abs=0.1)  # not infinite


def test_perfectly_separated_has_no_slope() -> None:
    assert isnan(tallied([(0.1, False)] * 50 + [(0.9, True)] * 50).measures().slope)


def test_parts_add_up() -> None:
    predictions = said(999)
    whole = tallied(predictions)
    parts = together([tallied(predictions[:400]), tallied(predictions[400:])])
    assert (parts.negative, parts.positive, parts.count) == (whole.negative, whole.positive, whole.count)
    assert parts.losses == pytest.approx(whole.losses)


def test_lately_forgets_and_start_does_not() -> None:
    watch = Prequential()
    for one, happened in said(2 * BLOCK):  # the worst of predictions
        watch.add(one, not happened, None)
    for one, happened in said(BLOCK * BLOCKS, seed=2):
        watch.add(one, happened, None)
    assert watch.lately().predictions == BLOCK * BLOCKS
    assert watch.lately() == pytest.approx(tallied(said(BLOCK * BLOCKS, seed=2)).measures())
    assert watch.start.measures().predictions == BLOCK * (BLOCKS + 2)
    assert watch.start.measures().auroc < watch.lately().auroc


def test_units() -> None:
    watch = Prequential()
    for index, (one, happened) in enumerate(said(4_000)):
        watch.add(one, happened, "4B" if index % 20 else "rare")
    watch.add(0.5, True, None)
    found = watch.by_unit()
    assert "4B" in found
    assert found.keys() == {unit for unit, one in watch.units.items() if enough(one.measures())}
    for index in range(2 * UNITS):
        watch.add(0.5, True, f"unit {index}")
    assert len(watch.units) == UNITS + 1
    assert watch.units[OTHER_UNITS].count == UNITS + 2


def enough(measures: Measures) -> bool:
    return measures.predictions >= BY_UNIT_FROM[0] and measures.positives >= BY_UNIT_FROM[1]


def test_it_comes_back_exactly() -> None:
    watch = Prequential()
    for one, happened in said(1_234):
        watch.add(one, happened, "4B")
    again = msgspec.json.decode(msgspec.json.encode(watch), type=Prequential)
    assert again == watch
    again.add(0.3, True, "4B")
    watch.add(0.3, True, "4B")
    assert again == watch


def test_bins_hold_each_prediction_once_and_add_up() -> None:
    edges = (0.01, 0.1, 0.5, 1.0)
    predictions = [*said(3_000), (0.0, False), (1.0, True), (0.999999, False)]
    bins = tallied(predictions).bins(edges)
    assert sum(one.predictions for one in bins) == len(predictions)
    assert sum(one.positives for one in bins) == sum(happened for _, happened in predictions)
    assert sum(one.expected for one in bins) == pytest.approx(sum(one for one, _ in predictions), rel=0.01)
    for low, high, one in zip((0.0, *edges), edges, bins, strict=False):
        assert low * 0.97 <= one.expected / one.predictions <= high * 1.03
    halves = tallied(predictions[::2]).bins(edges), tallied(predictions[1::2]).bins(edges)
    for whole, first, second in zip(bins, *halves, strict=True):
        assert (whole.predictions, whole.positives) == tuple(
            a + b for a, b in zip(first[::2], second[::2], strict=True)
        )
        assert whole.expected == pytest.approx(first.expected + second.expected)
