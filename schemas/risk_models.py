"""risk-models.v1: snapshots of the risk model, signed, the newest of each name.

A table in a compacted topic of one partition. `learner` is the learner's own newest snapshot, from which it goes on
after a restart: it says which examples it has learned from. A snapshot is signed (Ed25519) by the learner's key; who
does not hold the public one, or finds that the signature does not hold, must not open it (`models.risk.snapshots`).
"""

from typing import Annotated, Final

from msgspec import Meta, Struct

from wardstream.schemas.envelope import Label, Moment, check_year
from wardstream.schemas.scores import Name
from wardstream.schemas.topic import Topic


class RiskModel(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One snapshot. Carries no patient data: counts, means, weights and a tree."""

    name: Annotated[Name, Meta(description="What it is kept as; the Kafka key.", examples=["learner"])]
    version: Annotated[Label, Meta(description="Version of the inputs, a point, and how many examples it has seen.")]
    at: Annotated[Moment, Meta(description="When it was taken (wall clock).")]
    key_id: Annotated[Label, Meta(description="Which key signed it: the beginning of the SHA-256 of the public key.")]
    signature: Annotated[bytes, Meta(min_length=64, max_length=64, description="Ed25519, in base64.")]
    payload: Annotated[bytes, Meta(max_length=950_000, description="What was signed, in base64.")]

    def check(self) -> None:
        """Check that the time is sensible; whether the signature holds is for who has the key.

        Raises
        ------
        BadEvent
            With reason `out_of_bounds`.
        """
        check_year("at", self.at)


TOPIC: Final = Topic(
    name="risk-models.v1",
    type=RiskModel,
    role="output",
    keyed_by="name",
    partitions=1,
    compacted=True,
    retention_ms=None,
    description="Snapshots of the risk model, signed: a table, one row a name.",
)
