"""Made-up stays for tests: those with sepsis have a rising heart rate and lactate before the label turns."""

from __future__ import annotations

import numpy as np

from wardstream.models.sepsis import SIGNALS
from wardstream.models.training.stays import Recorded, Stays

MEASURED = (
    ("hr", 80, 8, 0.9),
    ("rr", 16, 3, 0.9),
    ("spo2", 97, 1, 0.9),
    ("sbp", 120, 12, 0.9),
    ("temp", 37, 0.4, 0.4),
    ("lactate", 1.5, 0.4, 0.1),
)
"""Signal, mean, spread, share of hours."""


def stays(patients: int = 200, seed: int = 1, septic_share: float = 0.3, long_ones: int = 4) -> Stays:
    """Stays of 8 to 40 hours, a few of 60; label 1 from 6 h before onset to 3 h after it."""
    rng = np.random.default_rng(seed)
    grids, labels, starts = [], [], [0]
    for i in range(patients):
        hours = 60 if i < long_ones else int(rng.integers(20, 41))
        septic = i % round(1 / septic_share) == 1
        grid = np.full((hours, len(SIGNALS)), np.nan)
        for code, mean, sd, share in MEASURED:
            column = rng.normal(mean, sd, hours)
            grid[:, SIGNALS.index(code)] = np.where(rng.random(hours) < share, column, np.nan)
        label = np.zeros(hours, np.int8)
        if septic:
            onset = int(rng.integers(14, hours - 2))
            label[onset - 7 :] = 1
            grid[onset - 10 :, SIGNALS.index("hr")] += 30
            grid[onset - 8 :, SIGNALS.index("lactate")] += 2
            grid, label = grid[: onset + 3], label[: onset + 3]
        grids.append(grid)
        labels.append(label)
        starts.append(starts[-1] + len(label))
    return Stays(
        np.array([f"p{seed}-{i}" for i in range(patients)]),
        np.array(starts, np.int64),
        np.concatenate(grids).astype(np.float32),
        np.concatenate(labels),
        rng.uniform(20, 90, patients),
        np.array([("male", "female")[i % 2] for i in range(patients)]),
    )


def recorded(patients: int = 200, unlabelled: int = 20) -> Recorded:
    """Both kinds of stays."""
    return Recorded(stays(patients), stays(unlabelled, seed=2), "d" * 64, "c" * 64)
