"""Sentences of contributions."""

from __future__ import annotations

import pytest

from wardstream.infra.board.words import sentence
from wardstream.schemas.predictions import Contribution


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (
            Contribution(feature="respiratory_rate_per_min", value=28.0, contribution=0.7, age_s=720.0),
            "Respiratory rate 28/min (12 min old) raises the risk",
        ),
        (
            Contribution(feature="lactate_mmol_per_l", value=4.25, contribution=-0.1, age_s=10_800.0),
            "Lactate 4.25 mmol/L (3 h old) lowers the risk",
        ),
        (
            Contribution(feature="creatinine_mg_per_dl_change", value=0.8, contribution=0.2, age_s=4 * 86_400.0),
            "Change of creatinine since the result before 0.8 mg/dL (4 d old) raises the risk",
        ),
        (
            Contribution(feature="kidneys", contribution=0.3, text="creatinine 2.1 mg/dL (3 h ago)"),
            "Creatinine 2.1 mg/dL (3 h ago): raises the risk",
        ),
        (
            Contribution(feature="lactate_mmol_per_l", contribution=0.1),
            "Lactate is not known: raises the risk",
        ),
        (Contribution(feature="male", value=0.0, contribution=-0.1), "Female sex lowers the risk"),
        (Contribution(feature="new_thing", value=1.0, contribution=0.0), "New thing 1 does not change the risk"),
    ],
)
def test_a_contribution_in_words(one: Contribution, told: str) -> None:
    assert sentence(one) == told
