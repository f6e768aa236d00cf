"""Which patients a model learns from, which choose it, and which are locked away.

By patient, never by row; with the same share of positive patients everywhere; and the same for every learner, so that
comparisons are paired. A fifth of the patients (`LOCKED`) is seen by the gate only. The others are `FOLDS` folds; a
model of fold k learns from all but fold k. Fold 0 chooses: settings, how long is learnt, the calibration of what is
served. The models of the other folds learn as long as that of fold 0 did and have seen nothing of their fold before
they are judged on it; only they are on the card. The order within a stratum is that of a hash of seed and id, so that
it depends on nothing else.
"""

import hashlib
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

LOCKED: Final = 0.2
FOLDS: Final = 5
SEED: Final = 2019
"""Fixed for good: another seed would unlock the locked patients."""


class Split(NamedTuple):
    """Places of patients in the order in which they were given: `folds` are disjoint, and so is `locked`."""

    locked: npt.NDArray[np.intp]
    folds: tuple[npt.NDArray[np.intp], ...]

    def learn(self, fold: int) -> npt.NDArray[np.intp]:
        """All but the locked and one fold."""
        return np.sort(np.concatenate([rest for k, rest in enumerate(self.folds) if k != fold]))

    @property
    def judged(self) -> npt.NDArray[np.intp]:
        """All but the locked and those of the fold that chooses."""
        return np.sort(np.concatenate(self.folds[1:]))

    @property
    def open(self) -> npt.NDArray[np.intp]:
        """All that are not locked."""
        return np.sort(np.concatenate(self.folds))


def split(ids: Sequence[str], positive: Sequence[bool]) -> Split:
    """Split patients; `positive` are the strata.

    Raises
    ------
    ValueError
        An id comes twice: the same patient would be on both sides.
    """
    if len(set(ids)) != len(ids):
        raise ValueError("a patient comes twice")
    locked: list[int] = []
    folds: list[list[int]] = [[] for _ in range(FOLDS)]
    for stratum in (False, True):
        members = [i for i, is_positive in enumerate(positive) if bool(is_positive) is stratum]
        members.sort(key=lambda i: hashlib.sha256(f"{SEED}:{ids[i]}".encode()).digest())
        cut = round(len(members) * LOCKED)
        locked += members[:cut]
        for place, member in enumerate(members[cut:]):
            folds[place % FOLDS].append(member)
    return Split(np.array(sorted(locked), np.intp), tuple(np.array(sorted(fold), np.intp) for fold in folds))


def fingerprint(ids: Sequence[str]) -> str:
    """A hash of who is in a set, whatever their order."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()
