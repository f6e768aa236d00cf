"""notices.v1: what operators must know: something began that needs them, and it ended.

A notice has two records: `raised` and, with the same `notice_id`, `resolved`; it is open while the second has not come
(`wardstream feed notices` prints those that are). A record may come twice, as after a crash.
"""

from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

from msgspec import Meta, Struct

from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.envelope import Label, Moment, Phrase, check_year
from wardstream.schemas.topic import YEAR_MS, Topic

FeedCondition = Literal["silent", "rejects"]
Condition = Literal[FeedCondition, "drift"]
Transition = Literal["raised", "resolved"]


class Notice(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One transition. Carries no patient data."""

    notice_id: Annotated[UUID, Meta(description="Identity of the notice over its life; the Kafka key.")]
    condition: Annotated[
        Condition,
        Meta(
            description="silent: nothing comes from the feed. rejects: too much that comes cannot be used. "
            "drift: what a model is given, or how good it is, has changed."
        ),
    ]
    feed: Annotated[
        Label, Meta(description="Which feed, as its settings name it, or which model.", examples=["lab", "risk"])
    ]
    transition: Annotated[Transition, Meta(description="Whether it began or ended.")]
    raised_at: Annotated[Moment, Meta(description="When it began (wall clock).")]
    at: Annotated[Moment, Meta(description="When this was said (wall clock); of the first record, raised_at.")]
    reason: Annotated[Phrase, Meta(description="One sentence for a person.")]
    since: Annotated[
        Moment | None, Meta(description="Condition silent: when the last message came; null: of others, or not known.")
    ] = None

    @property
    def received_at(self) -> datetime:
        """When it was said: by it lanes order what they read."""
        return self.at

    def check(self) -> None:
        """Check that times are sensible.

        Raises
        ------
        BadEvent
            With reason `inconsistent` or `out_of_bounds`.
        """
        if self.raised_at > self.at:
            raise BadEvent("inconsistent", "raised_at", "at")
        check_year("at", self.at)


TOPIC: Final = Topic(
    name="notices.v1",
    type=Notice,
    role="output",
    keyed_by="notice_id",
    partitions=1,
    relayed=True,
    retention_ms=YEAR_MS,
    description="What operators must know: a silent feed, one of which too much cannot be used, a model's drift.",
)
