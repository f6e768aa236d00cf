"""Whole lanes to workers, also while workers of two versions run."""

from __future__ import annotations

from collections import defaultdict

import pytest
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from hypothesis import given
from hypothesis import strategies as st

from wardstream.agents.streams.assignor import LaneAssignor, OneLaneAssignor

OLD = ("admissions", "vitals")
NEW = ("admissions", "notes", "vitals")


class Topics:
    """The only thing an assignor asks of a cluster."""

    def __init__(self, **partitions: int) -> None:
        self._partitions = partitions

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        count = self._partitions.get(topic)
        return None if count is None else set(range(count))


def assigned(topics: Topics, **members: tuple[str, ...]) -> dict[str, dict[str, list[int]]]:
    metadata: dict[str, ConsumerProtocolMemberMetadata] = {
        name: LaneAssignor.metadata(subscription) for name, subscription in members.items()
    }
    given_out = LaneAssignor.assign(topics, metadata)  # type: ignore[arg-type]
    return {name: dict(assignment.assignment) for name, assignment in given_out.items()}


@given(
    lanes=st.integers(1, 12),
    versions=st.lists(st.sampled_from([OLD, NEW]), min_size=1, max_size=6),
    names=st.randoms(use_true_random=False),
)
def test_a_rolling_upgrade_never_splits_a_lane(lanes: int, versions: list[tuple[str, ...]], names: object) -> None:
    members = {f"{chr(97 + i)}{i}": version for i, version in enumerate(versions)}
    result = assigned(Topics(admissions=lanes, notes=lanes, vitals=lanes), **members)
    owners = defaultdict[int, set[str]](set)
    topics = defaultdict[int, set[str]](set)
    for name, topic_lanes in result.items():
        for topic, numbers in topic_lanes.items():
            for number in numbers:
                owners[number].add(name)
                assert topic not in topics[number]  # given once
                topics[number].add(topic)
    assert sorted(owners) == list(range(lanes))
    for number, names_of_lane in owners.items():
        (owner,) = names_of_lane
        assert topics[number] == set(members[owner])  # all that its owner knows
    loads = [len({n for numbers in topic_lanes.values() for n in numbers}) for topic_lanes in result.values()]
    assert max(loads) - min(loads) <= 1


def test_a_topic_the_owner_does_not_know_waits() -> None:
    result = assigned(Topics(admissions=4, notes=4, vitals=4), a=OLD, b=NEW)
    assert result["a"] == {"admissions": [0, 1], "vitals": [0, 1]}
    assert result["b"] == {"admissions": [2, 3], "notes": [2, 3], "vitals": [2, 3]}


def test_other_counts_are_shared_out_by_themselves() -> None:
    result = assigned(
        Topics(admissions=2, vitals=2, wide=12), a=("admissions", "vitals", "wide"), b=("admissions", "vitals", "wide")
    )
    assert result["a"] == {"admissions": [0], "vitals": [0], "wide": [0, 1, 2, 3, 4, 5]}
    assert result["b"] == {"admissions": [1], "vitals": [1], "wide": [6, 7, 8, 9, 10, 11]}


def test_more_workers_than_lanes() -> None:
    result = assigned(Topics(vitals=2), a=("vitals",), b=("vitals",), c=("vitals",))
    assert sorted(len(topics) for topics in result.values()) == [0, 1, 1]


def test_a_topic_that_is_not_there_yet() -> None:
    assert assigned(Topics(vitals=1), a=("vitals", "gone")) == {"a": {"vitals": [0]}}


@pytest.mark.parametrize("members", [1, 2, 3])
def test_the_same_members_get_the_same_lanes(members: int) -> None:
    names = {chr(97 + i): NEW for i in range(members)}
    topics = Topics(admissions=5, notes=5, vitals=5)
    assert assigned(topics, **names) == assigned(topics, **dict(reversed(names.items())))


def test_a_single_lane_reads_topics_whole() -> None:
    metadata = {name: OneLaneAssignor.metadata(["occupancy"]) for name in ("b", "a")}
    given_out = OneLaneAssignor.assign(Topics(occupancy=4), metadata)  # type: ignore[arg-type]
    assert {name: dict(one.assignment) for name, one in given_out.items()} == {
        "a": {"occupancy": [0, 1, 2, 3]},
        "b": {},
    }
