"""Metrics: what they are split by."""

from __future__ import annotations

import pytest

from wardstream.agents.measuring import up_to
from wardstream.agents.metrics import PREDICTED


@pytest.mark.parametrize(
    ("probability", "label"),
    [
        (0.0, "0.005"),
        (0.005, "0.005"),
        (0.0051, "0.01"),
        (0.0299, "0.03"),
        (0.0305, "0.05"),
        (0.05, "0.05"),
        (0.0501, "0.1"),
        (0.1, "0.1"),
        (0.25, "0.3"),
        (0.3, "0.3"),
        (0.7, "0.7"),
        (0.91, "1.0"),
        (1.0, "1.0"),
    ],
)
def test_predictions_are_told_apart_where_alerts_begin(probability: float, label: str) -> None:
    assert up_to(probability) == label
    assert label in PREDICTED.meaning or float(label) > 0.2
