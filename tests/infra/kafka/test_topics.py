"""Wishes and drift of topics, without a broker."""

from __future__ import annotations

from wardstream.infra.kafka.topics import Drift, Partition, Present, Wish, drift, wishes
from wardstream.schemas.topics import LANE_INPUTS, TOPICS, dead

WISH = Wish("t", 2, 3, {"cleanup.policy": "delete", "retention.ms": "1000"})


def present(partitions: int, replicas: tuple[int, ...], **configs: str) -> Present:
    parts = tuple(Partition(number, 1, replicas, replicas) for number in range(partitions))
    return Present("t", parts, {name.replace("_", "."): value for name, value in configs.items()}, frozenset())


def test_every_topic_and_the_dead_letters_of_inputs_are_wished() -> None:
    wanted = {wish.name: wish for wish in wishes(lanes=5, replication=3)}
    inputs = {name for name, topic in TOPICS.items() if topic.role != "output" or topic.relayed}
    assert wanted.keys() == TOPICS.keys() | {dead(name) for name in inputs}
    assert {wanted[name].partitions for name in LANE_INPUTS} == {5}
    assert wanted["vitals.v1.dead"].partitions == 5
    assert wanted["metrics.v1"].partitions == 1
    assert wanted["occupancy.v1"].partitions == 4
    assert wanted["occupancy.v1"].configs["cleanup.policy"] == "compact"
    for name, topic in TOPICS.items():
        expected = -1 if topic.compacted or topic.retention_ms is None else topic.retention_ms
        assert wanted[name].configs["retention.ms"] == str(expected)
        assert wanted[name].configs["cleanup.policy"] == ("compact" if topic.compacted else "delete")


def test_acknowledged_records_survive_a_broker_where_there_are_three() -> None:
    assert {wish.configs["min.insync.replicas"] for wish in wishes(4, 3)} == {"2"}
    assert {wish.configs["min.insync.replicas"] for wish in wishes(4, 1)} == {"1"}


def test_no_drift() -> None:
    assert drift(WISH, present(2, (1, 2, 3), cleanup_policy="delete", retention_ms="1000", other="x")) == []


def test_every_difference_is_drift() -> None:
    assert drift(WISH, present(4, (1,), cleanup_policy="compact")) == [
        Drift("t", "partitions", "2", "4"),
        Drift("t", "replication", "3", "1"),
        Drift("t", "cleanup.policy", "delete", "compact"),
        Drift("t", "retention.ms", "1000", ""),
    ]
