"""Which of several events about the same thing holds: corrections, cancellations, and corrections of those.

A revision names the event that it revises. That may be a revision itself; several may name the same event (many senders
always repeat the first id); and any of them may come before what it revises. Events that are so connected are one
family. In a family an event that another one names never holds; of the others the one received last does. A
cancellation that holds says: nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar
from uuid import UUID

from msgspec.structs import replace

from wardstream.models.bins import MeasurementSet


class Revisable(Protocol):
    """What may revise another of its kind."""

    @property
    def event_id(self) -> UUID: ...
    @property
    def supersedes(self) -> UUID | None: ...
    @property
    def received_at(self) -> Any: ...


T = TypeVar("T", bound=Revisable)


def standing(events: Iterable[T]) -> list[T]:
    """The event of each family that holds, where all events are at hand."""
    known = {event.event_id: event for event in events}
    named = {event.supersedes for event in known.values()}
    holds: dict[UUID, T] = {}
    for event in known.values():
        if event.event_id not in named:
            root = _root(event, known)
            other = holds.get(root)
            if other is None or (event.received_at, event.event_id) > (other.received_at, other.event_id):
                holds[root] = event
    return list(holds.values())


def lasting(events: Sequence[T], ended: Callable[[T], bool]) -> tuple[T, ...]:
    """All events but those of families of which the event that holds has ended.

    A family goes as a whole: what a revision has ended sooner would hold again without it.
    """
    known = {event.event_id: event for event in events}
    over = {_root(event, known) for event in standing(events) if ended(event)}
    return tuple(event for event in events if _root(event, known) not in over)


def _root(event: T, known: Mapping[UUID, T]) -> UUID:
    """The first id of the event's family, known or not."""
    root, seen = event, {event.event_id}
    while root.supersedes is not None:
        parent = known.get(root.supersedes)
        if parent is None or parent.event_id in seen:  # a circle is nonsense, but must end
            return root.supersedes
        seen.add(parent.event_id)
        root = parent
    return root.event_id


def settle(found: Sequence[MeasurementSet], measured: MeasurementSet, supersedes: UUID | None) -> MeasurementSet:
    """The set of a family that holds, where only those that held so far are at hand.

    Parameters
    ----------
    found : the sets connected with the new one; each knows in `revised` what it stands in for.
    measured, supersedes : the new set, and what it revises.

    Returns
    -------
    MeasurementSet
        One of them; its `revised` names all others of the family.
    """
    if supersedes is not None:
        measured = replace(measured, revised=(*measured.revised, supersedes))
    return held((*found, measured))


def held(family: Sequence[MeasurementSet]) -> MeasurementSet:
    """The set that holds of those of one family; its `revised` names all others, known or not."""
    named = {event_id for one in family for event_id in one.revised}
    holds = [one for one in family if one.event_id not in named] or [family[-1]]
    best = max(holds, key=lambda one: (one.received, one.event_id))
    others = (named | {one.event_id for one in family}) - {best.event_id}
    return replace(best, revised=tuple(sorted(others)))
