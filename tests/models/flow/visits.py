"""Invented visits: the old, the urgent and those with one of two complaints are admitted more often."""

from __future__ import annotations

import numpy as np

from wardstream.infra.feeds.nhamcs import TriagedVisit
from wardstream.models.flow.admission import Triage, sigmoid

CODES = tuple(str(10_000 + 500 * i) for i in range(12))


def visits_of(number: int, year: int, *, seed: int = 1, more: float = 0.0) -> list[TriagedVisit]:
    """Visits of a year; `more` is added to the log-odds of each."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(number):
        age, level, code = float(rng.integers(0, 95)), int(rng.integers(1, 6)), int(rng.integers(12))
        ambulance = bool(rng.random() < 0.2)
        logit = -1.5 + (age - 50.0) / 20.0 - 0.9 * (level - 3) + 1.5 * (code < 2) + ambulance + more
        triage = Triage(
            age_years=age,
            sex="f" if rng.random() < 0.5 else "m",
            hour=int(rng.integers(24)),
            weekday=int(rng.integers(7)),
            month=int(rng.integers(1, 13)),
            ambulance=ambulance,
            acuity=level,
            heart_rate_bpm=float(rng.normal(85, 15)),
            complaints=(CODES[code],),
            conditions=("chf",) if rng.random() < 0.1 else (),
        )
        found.append(TriagedVisit(year, triage, bool(rng.random() < sigmoid(logit)), float(rng.uniform(1e3, 9e3))))
    return found
