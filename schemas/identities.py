"""identities.v1: who a pseudonym is, sealed; restricted to those who hold the key, and each look-up is audited.

Compacted and kept for ever: a pseudonym that cannot be traced back to a person is of no use at the bedside.

A record holds what one message said. Most results carry a number and no name, so a record that says less must not take
the place of one that says more: the key of a record that says everything is the `patient_id`; that of another is the
`patient_id`, a tab, and the names of the parts that it says, with commas. Of each part the newest record that says it
counts (`changed_at`), among all keys of the patient.
"""

from collections.abc import Sequence
from typing import Annotated, Final

from msgspec import Meta, Struct

from wardstream.schemas.envelope import Label, Moment, PatientId, check_year
from wardstream.schemas.topic import Topic

Sealed = Annotated[str, Meta(min_length=40, max_length=8192, pattern=r"^[A-Za-z0-9+/]+={0,2}$(?!\n)")]
"""Base64 of a nonce (12 bytes) and the AES-256-GCM ciphertext with its tag; bound to the patient_id."""


class Identity(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The person behind a pseudonym, as a feed last told it."""

    patient_id: Annotated[PatientId, Meta(description="The pseudonym; the Kafka key begins with it.")]
    source: Annotated[Label, Meta(description="The feed that told it.", examples=["icu"])]
    changed_at: Annotated[Moment, Meta(description="When wardstream learned it.")]
    sealed: Annotated[
        Sealed, Meta(description="Name, record number with its authority, date of birth and sex, encrypted.")
    ]

    def check(self) -> None:
        """Check that the time is sensible.

        Raises
        ------
        BadEvent
            With reason `out_of_bounds`.
        """
        check_year("changed_at", self.changed_at)


def record_key(patient_id: str, said: Sequence[str], whole: Sequence[str]) -> str:
    """Return the key of a record that says some parts of the whole."""
    return patient_id if len(said) == len(whole) else f"{patient_id}\t{','.join(said)}"


def patient_of(key: str) -> str:
    """Return whose record it is."""
    return key.partition("\t")[0]


TOPIC: Final = Topic(
    name="identities.v1",
    type=Identity,
    role="output",
    keyed_by="patient_id",
    compacted=True,
    retention_ms=None,
    description="Who a pseudonym is: encrypted, for those who hold the key.",
)
