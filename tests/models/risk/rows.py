"""Synthetic patient-hours for tests of the risk model: who deteriorates has a higher NEWS2 and heart rate."""

from __future__ import annotations

from collections.abc import Iterator
from math import exp
from random import Random

from wardstream.models.risk.features import Known
from wardstream.models.risk.learner import Example


def examples(number: int, seed: int = 1, rate: float = -3.0) -> Iterator[Example]:
    """Hours of patients who stay a day each, the hours of several of them in turn."""
    draw = Random(seed)
    for index in range(number):
        score, pulse = max(0.0, draw.gauss(4, 3)), draw.gauss(90, 15)
        inputs = {
            "news2": Known(round(score, 4), round(draw.random(), 2)),
            "heart_rate_bpm": Known(round(pulse, 4), round(draw.random(), 2)),
            "age_years": Known(float(draw.randint(18, 95))),
        }
        if draw.random() < 0.3:
            inputs["lactate_mmol_per_l"] = Known(round(draw.lognormvariate(0.5, 0.5), 4), round(6 * draw.random(), 2))
        odds = rate + 0.35 * (score - 4) + 0.03 * (pulse - 90)
        happened = draw.random() < 1 / (1 + exp(-odds))
        yield Example(
            patient_id=f"p{index // 120 * 5 + index % 5}",
            hour=index // 5 % 24 + 1,
            inputs=inputs,
            happened=happened,
            unit=draw.choice(["ICU", "4B"]),
        )
