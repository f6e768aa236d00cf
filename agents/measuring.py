"""How what models say is counted: the bounds of probabilities, and what became of a request."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final

from wardstream.agents import metrics as m

if TYPE_CHECKING:  # it brings gRPC
    from wardstream.models.triton import Outcome

UP_TO: Final = (0.005, 0.01, 0.02, 0.03, 0.05, *(tenth / 10 for tenth in range(1, 11)))
"""Finer where alerts begin: `sepsis`, version 1, alerts from .0305."""


def up_to(probability: float) -> str:
    """The label of `metrics.PREDICTED` for a calibrated probability: the first of `UP_TO` that it does not exceed."""
    return str(UP_TO[min(bisect_left(UP_TO, probability), len(UP_TO) - 1)])


def measure_model(meters: m.Meters, outcome: Outcome) -> None:
    """Count what became of a request to the model server."""
    if outcome.reason is not None:
        meters.count(m.MODEL_FAILURES, (outcome.model, outcome.reason))
        return
    meters.observe(m.MODEL_SECONDS, outcome.took_s, (outcome.model,))
    meters.observe(m.MODEL_ROWS, outcome.rows, (outcome.model,))
