"""Which patients a model learns from, which choose it, and which are locked away.

By patient, never by row, and the same for every learner, so that comparisons are paired. A fifth of the patients, by a
hash of seed and id, is locked away: only the gate sees them. Whether a patient is locked depends on nothing else. So
when patients are added nobody is unlocked, nor is anybody locked that a served model has learnt from; that the locked
have the usual share of positives is left to the hash. The others are `FOLDS` folds, each with the same share of
positives; a model of fold k learns from all but fold k. Fold 0 chooses: settings, how long is learnt, the calibration
of what is served. The models of the other folds learn as long as that of fold 0 did and have seen nothing of their fold
before they are judged on it; only they are on the card.
"""

import hashlib
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

LOCKED: Final = 0.2021
"""Of all hashes. Fixed for good, as `SEED` is: another would unlock locked patients of `sepsis`, version 1."""
SEED: Final = 2019
FOLDS: Final = 5


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
    """Split patients; `positive` are the strata of the folds.

    Raises
    ------
    ValueError
        An id comes twice: the same patient would be on both sides.
    """
    if len(set(ids)) != len(ids):
        raise ValueError("a patient comes twice")
    places = [_place(name) for name in ids]
    locked = [i for i, place in enumerate(places) if place < LOCKED]
    folds: list[list[int]] = [[] for _ in range(FOLDS)]
    for stratum in (False, True):
        members = [i for i, place in enumerate(places) if place >= LOCKED and bool(positive[i]) is stratum]
        members.sort(key=places.__getitem__)
        for number, member in enumerate(members):
            folds[number % FOLDS].append(member)
    return Split(np.array(locked, np.intp), tuple(np.array(sorted(fold), np.intp) for fold in folds))


def _place(name: str) -> float:
    """A patient's place in the order of hashes, 0 to 1."""
    return int.from_bytes(hashlib.sha256(f"{SEED}:{name}".encode()).digest()[:8]) / 2**64


def fingerprint(ids: Sequence[str]) -> str:
    """A hash of who is in a set, whatever their order."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()
