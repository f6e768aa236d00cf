"""handovers.v1: what lanes tell each other when two patient ids turn out to be one patient. Not for publishers.

A merge (kind `merge` of admissions.v1) says that one id survives and another ceases, and their states may be in
different lanes. The survivor's lane asks the other one; that one gives all it keeps, in parts that Kafka takes, and
forgets it in the same transaction. `agents.handovers` has the rules.

`observed_at` and `received_at` are those of the merge, in an ask and in what answers it: with `merge_id` they say which
of two merges is the newer one.
"""

from typing import Annotated, Final, Literal
from uuid import UUID

from msgspec import Meta, field

from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.envelope import Event, PatientId
from wardstream.schemas.topic import Topic

Kind = Literal["ask", "give"]
_Row = Annotated[str, Meta(max_length=1_000_000)]
_Name = Annotated[str, Meta(max_length=256)]


class Handover(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A request for a patient's state, or a part of it; `patient_id` is whom it is addressed to."""

    kind: Annotated[Kind, Meta(description="ask: give me what you know. give: a part of it.")]
    other_patient_id: Annotated[
        PatientId, Meta(description="ask: the id that survives and asks. give: the id that has ceased.")
    ]
    merge_id: Annotated[UUID, Meta(description="event_id of the merge.")]
    part: Annotated[Annotated[int, Meta(ge=1)], Meta(description="give: number of this part, from 1.")] = 1
    parts: Annotated[Annotated[int, Meta(ge=1)], Meta(description="give: how many there are.")] = 1
    rows: Annotated[
        Annotated[dict[_Name, _Row], Meta(max_length=10_000)],
        Meta(description="give: rows of the state as its lane kept them, by name; the patient's own has none."),
    ] = field(default_factory=dict)
    ids: Annotated[
        Annotated[str, Meta(max_length=4096, pattern=r"^[0-9a-f]*$(?!\n)")],
        Meta(description="give: digests of the newest event ids in hexadecimal, so that a resend is known."),
    ] = ""

    def check(self) -> None:
        """Add to the envelope's checks: only what gives has rows, and no part lies behind the last."""
        Event.check(self)
        if self.kind == "ask" and (self.rows or self.ids):
            raise BadEvent("inconsistent", "kind", "rows", "ids")
        if self.part > self.parts:
            raise BadEvent("inconsistent", "part", "parts")


TOPIC: Final = Topic(
    name="handovers.v1",
    type=Handover,
    role="internal",
    description="What lanes tell each other when two patient ids are merged.",
)
