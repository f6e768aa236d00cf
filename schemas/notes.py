"""notes.v1: a clinical note."""

from typing import Annotated, Final, Literal

from msgspec import Meta

from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.envelope import Event, Label, Phrase
from wardstream.schemas.labs import Loinc
from wardstream.schemas.topic import Topic

Kind = Literal[
    "triage", "nursing", "progress", "consult", "history", "operative", "radiology", "discharge", "dialogue", "other"
]


class Note(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A note; `observed_at` is when it was written or, for a dialogue, held."""

    kind: Annotated[Kind, Meta(description="Type of the note.")]
    loinc: Annotated[Loinc | None, Meta(description="LOINC document type; null: not coded.")] = None
    title: Annotated[Phrase | None, Meta(description="Title; null: none.")] = None
    author_role: Annotated[Label | None, Meta(description="Role of the author, never a name; null: not stated.")] = None
    language: Annotated[
        Annotated[str, Meta(max_length=35, pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$(?!\n)")] | None,
        Meta(description="BCP 47 tag of the language; null: not stated."),
    ] = None
    text: Annotated[
        Annotated[str, Meta(min_length=1, max_length=200_000)] | None,
        Meta(description="The text; null only in a cancellation."),
    ] = None

    def check(self) -> None:
        """Add to the envelope's checks: there is a text."""
        Event.check(self)
        if self.text is None and self.status != "cancelled":
            raise BadEvent("empty", "text")


TOPIC: Final = Topic(name="notes.v1", type=Note, role="input", description="Clinical notes.")
