"""Splits: by patient, disjoint, of the same share of positives, and the same for ever, whoever is added."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from wardstream.infra.feeds import challenge2019
from wardstream.models.training import record
from wardstream.models.training.splits import FOLDS, LOCKED, fingerprint, split

ARCHIVE = "icu/challenge2019_setB_p100001-p106500.tar.gz"

IDS = [f"p{i:06d}" for i in range(1000)]
POSITIVE = [i % 18 == 0 for i in range(1000)]


def test_everybody_is_in_one_place_and_positives_everywhere() -> None:
    found = split(IDS, POSITIVE)
    parts = [found.locked, *found.folds]
    assert sorted(np.concatenate(parts)) == list(range(1000))
    assert len(found.folds) == FOLDS
    assert len(found.locked) == pytest.approx(LOCKED * 1000, abs=50)  # four standard deviations
    for part in found.folds:
        share = np.mean([POSITIVE[i] for i in part])
        assert share == pytest.approx(np.mean([POSITIVE[i] for i in found.open]), abs=0.01)
    assert np.mean([POSITIVE[i] for i in found.locked]) == pytest.approx(np.mean(POSITIVE), abs=0.05)
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
    assert fingerprint([IDS[i] for i in found.locked])[:16] == "c0b69f895dc852f1", (
        "another rule would unlock the locked patients"
    )


def test_who_is_locked_does_not_depend_on_the_others() -> None:
    """Patients are added and taken away, and labels are corrected: nobody is unlocked, and nobody newly locked."""
    before = {IDS[i] for i in split(IDS, POSITIVE).locked}
    more = [*(f"new{i}" for i in range(500)), *IDS]
    assert {more[i] for i in split(more, [True] * 500 + POSITIVE).locked} & set(IDS) == before
    for fewer in (IDS[:300], IDS[1::2]):
        assert {fewer[i] for i in split(fewer, [False] * len(fewer)).locked} == before & set(fewer)


def test_the_locked_patients_of_what_serves_are_still_those(shared_data: Path) -> None:
    found = challenge2019.records(shared_data / ARCHIVE)
    ids = [f"cinc2019-{one.id}" for one in found]
    locked = [ids[i] for i in split(ids, [False] * len(ids)).locked]
    assert fingerprint(locked) == record.load(ROOT / "models" / "repository" / "sepsis" / "1").locked


def test_nobody_is_on_both_sides() -> None:
    with pytest.raises(ValueError, match="twice"):
        split([*IDS, IDS[0]], [*POSITIVE, True])
