"""Where the inputs of a lane lie.

An input is a topic, of which lane p reads partition p; or one partition of a topic, whatever the lane: `topic/3`. A
group with a single lane reads a topic whole by naming each of its partitions; its place in each is kept apart.
"""

from __future__ import annotations

from collections.abc import Iterable

from faust.types import TP

_MARK = "/"  # in no topic's name


def place(name: str, lane: int) -> TP:
    """The partition that is a lane's input of this name."""
    topic, mark, partition = name.partition(_MARK)
    return TP(topic, int(partition) if mark else lane)


def whole(topic: str, partitions: int) -> tuple[str, ...]:
    """The inputs by which one lane reads all of a topic."""
    return tuple(f"{topic}{_MARK}{number}" for number in range(partitions))


def reads_whole(names: Iterable[str]) -> bool:
    """Whether these are the inputs of a single lane."""
    return any(_MARK in name for name in names)
