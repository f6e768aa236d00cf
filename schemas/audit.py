"""audit.v1: who did what to whose data, when and why.

Hash-chained: each record holds the SHA-256 of the bytes of the one before, and they count from 0 in the topic's one
partition. A record that was changed, removed or put between others breaks the chain (`wardstream audit verify`); to
notice that the last ones were cut off, note the hash that it prints elsewhere. Kept for ever.
"""

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.envelope import Label, Moment, PatientId, Phrase, check_year
from wardstream.schemas.topic import Topic

Hash = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
BEGIN: Final = "0" * 64
"""What the first record has in place of a hash."""

What = Literal[
    "identity_shown",
    "identity_refused",
    "model_promoted",
    "model_promoted_by_force",
    "model_rolled_back",
    "model_frozen",
    "model_unfrozen",
    "model_silenced",
    "model_unsilenced",
    "model_refused",
    "model_begun_anew",
    "policy_applied",
    "alert_acknowledged",
    "alert_snoozed",
    "alert_resolved",
    "alert_handed_over",
    "alert_rated",
    "directive_given",
    "subscription_made",
    "subscription_changed",
    "subscription_ended",
    "patient_shown",
]
"""What was done, or refused: `identity_refused` and `model_refused`."""


class AuditRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One deed, written before it is done, or one that was refused."""

    sequence: Annotated[Annotated[int, Meta(ge=0)], Meta(description="Number of the record, from 0 without a gap.")]
    previous: Annotated[Hash, Meta(description="SHA-256 of the record before, in hex; zeros in the first.")]
    at: Annotated[Moment, Meta(description="When (wall clock).")]
    who: Annotated[
        Label,
        Meta(description="Name of the token that was shown, or the process; the Kafka key.", examples=["m.garcia"]),
    ]
    what: Annotated[What, Meta(description="What was done.")]
    patient_id: Annotated[PatientId | None, Meta(description="Whose data, by pseudonym; null: nobody's.")] = None
    model: Annotated[Label | None, Meta(description="Which model, its version or units; null: none.")] = None
    about: Annotated[
        Label | None, Meta(description="Which alert, policy or subscription, by its id or digest; null: none.")
    ] = None
    why: Annotated[Phrase, Meta(description="The reason given.")]

    def check(self) -> None:
        """Check that the time is sensible, and that only the first record has no predecessor.

        Raises
        ------
        BadEvent
            With reason `inconsistent` or `out_of_bounds`.
        """
        check_year("at", self.at)
        if (self.sequence == 0) != (self.previous == BEGIN):
            raise BadEvent("inconsistent", "sequence", "previous")


TOPIC: Final = Topic(
    name="audit.v1",
    type=AuditRecord,
    role="output",
    keyed_by="who",
    partitions=1,
    retention_ms=None,
    description="Who did what to whose data, when and why; hash-chained.",
)
