"""alert-policies.v1: which alerts are raised, when, and whom they reach: the policy in force, and those before it.

A table: the row `in-force` says what holds now, and each policy that was ever applied has a row by its digest, so that
an alert can be explained by the policy that decided it. Workers follow the table and obey within two seconds.
`wardstream policy apply` writes it, after the audit.
"""

from typing import Annotated, Final

from msgspec import Meta, Struct

from wardstream.schemas.audit import Hash
from wardstream.schemas.envelope import Label, Moment, Phrase, check_year
from wardstream.schemas.scores import Name
from wardstream.schemas.topic import Topic

IN_FORCE: Final = "in-force"
"""The key of the row that holds now."""
LONGEST_TEXT: Final = 200_000
"""Characters; less than a Kafka record may have, whatever they are."""


class AlertPolicy(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One policy. Carries no patient data."""

    name: Annotated[Name, Meta(description="`in-force`, or the digest; the Kafka key.")]
    digest: Annotated[Hash, Meta(description="SHA-256 of the text in UTF-8, in hex.")]
    text: Annotated[str, Meta(max_length=LONGEST_TEXT, description="The policy, in TOML.")]
    at: Annotated[Moment, Meta(description="When it was applied (wall clock).")]
    who: Annotated[Label, Meta(description="By whom.")]
    why: Annotated[Phrase, Meta(description="The reason given.")]

    def check(self) -> None:
        """Check that the time is sensible.

        Raises
        ------
        BadEvent
            With reason `out_of_bounds`.
        """
        check_year("at", self.at)


TOPIC: Final = Topic(
    name="alert-policies.v1",
    type=AlertPolicy,
    role="output",
    keyed_by="name",
    partitions=1,
    compacted=True,
    retention_ms=None,
    description="The alert policy in force, and those before it: a table.",
)
