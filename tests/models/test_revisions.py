"""Which of several events holds, where all are at hand."""

from __future__ import annotations

from itertools import permutations
from typing import NamedTuple
from uuid import UUID

import pytest

from wardstream.models.revisions import standing


class Report(NamedTuple):
    event_id: UUID
    supersedes: UUID | None
    received_at: int


def report(number: int, revises: int | None = None, received: int | None = None) -> Report:
    return Report(UUID(int=number), None if revises is None else UUID(int=revises), received or number)


@pytest.mark.parametrize(
    ("reports", "holds"),
    [
        pytest.param([report(1), report(2)], {1, 2}, id="two events"),
        pytest.param([report(1), report(2, 1)], {2}, id="a correction"),
        pytest.param([report(1), report(2, 1), report(3, 2)], {3}, id="a correction of a correction"),
        pytest.param([report(1), report(2, 1), report(3, 1)], {3}, id="two corrections: the one received last"),
        pytest.param([report(1), report(2, 1, received=9), report(3, 1)], {2}, id="whatever their ids"),
        pytest.param([report(2, 1), report(3, 1)], {3}, id="of an event that never came"),
        pytest.param([report(1), report(2, 1), report(3, 2), report(4, 1)], {4}, id="a branch"),
        pytest.param(
            [report(1), report(2, 1, received=9), report(3, 2)], {3}, id="named never holds, though received last"
        ),
        pytest.param([report(1, 2), report(2, 1)], set(), id="a circle"),
    ],
)
def test_one_of_a_family_holds_in_any_order(reports: list[Report], holds: set[int]) -> None:
    for order in permutations(reports):
        assert {one.event_id.int for one in standing(order)} == holds
