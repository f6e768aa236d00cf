"""Splits: by patient, disjoint, of the same share of positives, and the same for ever."""

from __future__ import annotations

import numpy as np
import pytest

from wardstream.models.training.splits import FOLDS, LOCKED, fingerprint, split

IDS = [f"p{i:06d}" for i in range(1000)]
POSITIVE = [i % 18 == 0 for i in range(1000)]


def test_everybody_is_in_one_place_and_positives_everywhere() -> None:
    found = split(IDS, POSITIVE)
    parts = [found.locked, *found.folds]
    assert sorted(np.concatenate(parts)) == list(range(1000))
    assert len(found.folds) == FOLDS
    assert len(found.locked) == pytest.approx(LOCKED * 1000, abs=2)
    for part in parts:
        share = np.mean([POSITIVE[i] for i in part])
        assert share == pytest.approx(np.mean(POSITIVE), abs=0.01)
    for k in range(FOLDS):
        learn = found.learn(k)
        assert not set(learn) & set(found.folds[k])
        assert not set(learn) & set(found.locked)
    assert not set(found.open) & set(found.locked)


def test_it_is_fixed_by_the_ids_alone() -> None:
    found = split(IDS, POSITIVE)
    order = np.random.default_rng(1).permutation(1000)
    again = split([IDS[i] for i in order], [POSITIVE[i] for i in order])
    assert {IDS[i] for i in found.locked} == {IDS[order[i]] for i in again.locked}
    assert fingerprint([IDS[i] for i in found.locked[:5]]) == fingerprint([IDS[i] for i in found.locked[4::-1]])
    assert fingerprint([IDS[i] for i in found.locked])[:16] == "0f7e4373e81c2393", (
        "another rule would unlock the locked patients"
    )


def test_nobody_is_on_both_sides() -> None:
    with pytest.raises(ValueError, match="twice"):
        split([*IDS, IDS[0]], [*POSITIVE, True])
