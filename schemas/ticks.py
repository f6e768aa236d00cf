"""ticks.v1: the time, so that it passes for silent patients too. About no patient, hence no `Event`."""

from typing import Annotated, Final, Literal
from uuid import UUID

from msgspec import Meta, Struct

from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.envelope import Moment, check_year
from wardstream.schemas.topic import Topic


class Tick(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One minute of the stream's time has begun in this partition."""

    event_id: Annotated[UUID, Meta(description="Identity of the tick; differs between partitions.")]
    source: Annotated[
        Literal["clock", "replay", "simulator"],
        Meta(description="The live clock, or a feed that brings a time of its own; never both in one cluster."),
    ]
    observed_at: Annotated[Moment, Meta(description="The time.")]
    received_at: Annotated[Moment, Meta(description="The same, so that lanes order ticks as all else.")]

    def check(self) -> None:
        """Check that both times are one and sensible.

        Raises
        ------
        BadEvent
            With reason `inconsistent` or `out_of_bounds`.
        """
        if self.observed_at != self.received_at:
            raise BadEvent("inconsistent", "observed_at", "received_at")
        check_year("observed_at", self.observed_at)


TOPIC: Final = Topic(
    name="ticks.v1",
    type=Tick,
    role="input",
    keyed_by="none",
    description="The time: one record a partition each minute.",
)
