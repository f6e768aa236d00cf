"""Explanations held against a net of which every contribution is known: each group adds what its last value says."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.models.training.recorded import stays
from wardstream.models.explaining import GROUPS, groups_of
from wardstream.models.sepsis import LOOK_BACK, SIGNALS, Inputs, Prepared, Who
from wardstream.models.training.explained import check, gradients
from wardstream.models.training.windows import answer

pytestmark = pytest.mark.torch

WEIGHTS = {"hr": 0.05, "rr": -0.02, "spo2": 0.01, "sbp": -0.03, "temp": 0.5, "lactate": 0.7}
MEANS = {"hr": 80.0, "rr": 16.0, "spo2": 97.0, "sbp": 120.0, "temp": 37.0, "lactate": 1.5}
KEPT = [SIGNALS.index(code) for code in WEIGHTS]


class Sum(torch.nn.Module):
    """The log-odds are a weighted sum of how far the known values lie from their means."""

    def __init__(self) -> None:
        super().__init__()
        mean, weight = torch.zeros(2, len(SIGNALS))
        mean[KEPT], weight[KEPT] = torch.tensor(list(MEANS.values())), torch.tensor(list(WEIGHTS.values()))
        self.reading, self.weight = SimpleNamespace(mean=mean), weight

    def forward(
        self, values: torch.Tensor, measured: torch.Tensor, since: torch.Tensor, about: torch.Tensor
    ) -> torch.Tensor:
        far = (values - self.reading.mean) * self.weight * (since < LOOK_BACK)
        return (far + 0 * (measured + since)).sum(dim=-1)  # a net looks at all of them


def run(made: Inputs) -> np.ndarray:  # type: ignore[type-arg]
    with torch.no_grad():
        return np.asarray(Sum()(*map(torch.from_numpy, made)).numpy())


def test_integrated_gradients_find_what_each_group_added() -> None:
    medians = np.full((5, len(SIGNALS)), np.nan)
    medians[1, SIGNALS.index("lactate")] = 4.5
    medians[4, SIGNALS.index("hr")] = 120.0
    prepared = Prepared(medians, 1, Who(0.0, 60.0, "male"), 0.0, 0.0)
    groups = [group for group in groups_of(prepared) if group in GROUPS]
    found = dict(zip(groups, gradients(Sum(), prepared, groups), strict=True))
    assert found == {"heart_rate": pytest.approx(40 * 0.05, rel=1e-3), "lactate": pytest.approx(3 * 0.7, rel=1e-3)}


def test_occlusion_agrees_with_them_and_falls_further_than_chance() -> None:
    made = stays(80)
    places = np.arange(len(made))
    found = check(Sum(), run, made, places, answer(made, places, run, lambda *_: None), seed=1)
    assert found["hours"] > 40
    assert found["rank_correlation"] == pytest.approx(1.0, abs=1e-6)
    falls = found["log_odds_fall"]
    assert falls["occlusion"] == pytest.approx(falls["integrated_gradients"], rel=1e-3)
    assert falls["occlusion"] > falls["random"] + 0.1
    without = check(None, run, made, places, answer(made, places, run, lambda *_: None), seed=1)
    assert (without["rank_correlation"], without["log_odds_fall"]["integrated_gradients"]) == (None, None)
