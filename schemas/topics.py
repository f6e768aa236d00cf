"""Every topic: what it carries, how it is keyed and partitioned, and how long it is kept.

**Partitions.** All topics about patients have the same number of partitions: lane p is partition p of each of them,
so that everything about a patient is handled in one place and in one order. `metrics.v1` has one partition: it is
small, and whoever reads it wants all of it. `audit.v1` has one because its records are a chain. `flow.v1`,
`operator-alerts.v1` and `operator-answers.v1` have one, however many lanes there are. `occupancy.v1` is about units: it
has partitions of its own, whose number does not follow that of the lanes, or the rows of a unit would be in two of
them. A dead-letter topic has as many as the topic whose bad input it holds.

**Retention.** What devices send is kept for a month (enough to replay an incident or a week's training), waveforms for
two days because of their size. What explains a decision or judges it later (admissions, outcomes, acknowledgements,
predictions, alerts) is kept for 400 days: a year, so that seasons can be compared and late outcomes still meet their
predictions. No topic of events is compacted: each record says what happened, not how its key stands. In particular
alerts.v1 is keyed by alert, but compaction would leave only the last transition of each. `occupancy.v1`,
`identities.v1`, `risk-models.v1`, `model-controls.v1`, `alert-policies.v1` and `subscriptions.v1` are tables, and
compacted; they and the audit are kept for ever.
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import Final

import wardstream.schemas
from wardstream.schemas.topic import MONTH_MS, Topic

_NOT_EVENTS: Final = {"decode", "doc", "topics"}  # they import this module


def _declared() -> list[Topic]:
    """The topics of all modules beside this one, so that a new one is added by its module alone."""
    modules = (
        module.name
        for module in iter_modules(wardstream.schemas.__path__)
        if not module.ispkg and module.name not in _NOT_EVENTS  # a package maps into events, and declares none
    )
    found = (getattr(import_module(f"wardstream.schemas.{name}"), "TOPIC", None) for name in modules)
    return [topic for topic in found if topic is not None]


TOPICS: Final[dict[str, Topic]] = {
    topic.name: topic for topic in sorted(_declared(), key=lambda topic: (topic.role, topic.name))
}
"""By name; inputs first, outputs last."""

LANE_INPUTS: Final = tuple(topic.name for topic in TOPICS.values() if topic.role != "output" and topic.in_lanes)
"""Inputs of lanes, what lanes tell lanes among them. In which order a lane handles them is the worker's to say."""

DEAD_RETENTION_MS: Final = MONTH_MS
"""How long dead letters are kept: a month to mend a feed and replay them."""


def dead(topic_name: str) -> str:
    """Return the name of the topic that holds the bad input of `topic_name`."""
    return f"{topic_name}.dead"


def partitions_of(topic_name: str, lanes: int) -> int:
    """Return how many partitions a topic (or its dead-letter topic) has where there are `lanes` lanes.

    Parameters
    ----------
    topic_name : str
        A name in `TOPICS`, or `dead` of one.
    lanes : int
        Partitions of every topic about patients; at least 1.

    Raises
    ------
    KeyError
        For a topic that is not in `TOPICS`.
    """
    return TOPICS[topic_name.removesuffix(".dead")].partitions or lanes
