"""model-controls.v1: what operators have decided about the models that the stream asks: a table, one row a model.

A row says which snapshot of risk-models.v1 answers, whether learning is frozen, and where the model is silent. Workers
and the learner follow it and obey within two seconds; `wardstream model` writes it, after the audit. A decision names a
snapshot by its digest: whoever changed the snapshot afterwards, with the learner's key or without, has another one.
"""

from typing import Annotated, Final

from msgspec import Meta, Struct

from wardstream.schemas.audit import Hash
from wardstream.schemas.envelope import Label, Moment, Phrase, check_year
from wardstream.schemas.predictions import Probability
from wardstream.schemas.scores import Name
from wardstream.schemas.topic import Topic


class Approval(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A snapshot that may answer."""

    snapshot: Annotated[Name, Meta(description="Its name on risk-models.v1.")]
    version: Annotated[Label, Meta(description="Its version.")]
    digest: Annotated[Hash, Meta(description="SHA-256 of what was signed, in hex.")]
    kind: Annotated[Name, Meta(description="Which of its models answers.", examples=["logistic", "tree"])]
    alert_from: Annotated[
        Probability | None, Meta(description="Calibrated probability from which it alerts; null: it raises none.")
    ] = None
    at: Annotated[Moment, Meta(description="When it was approved (wall clock).")]
    who: Annotated[Label, Meta(description="By whom.")]
    withdrawn: Annotated[
        bool, Meta(description="Another one was gone back to: it answers again only if it is named.")
    ] = False


class ModelControl(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How things stand with one model. Carries no patient data."""

    name: Annotated[Name, Meta(description="Which model; the Kafka key.", examples=["risk", "sepsis"])]
    at: Annotated[Moment, Meta(description="When it was last changed (wall clock).")]
    who: Annotated[Label, Meta(description="By whom.")]
    why: Annotated[Phrase, Meta(description="The reason given.")]
    serving: Annotated[Approval | None, Meta(description="What answers; null: nothing does, or files decide.")] = None
    approved: Annotated[
        Annotated[tuple[Approval, ...], Meta(max_length=32)],
        Meta(description="What has been approved and can be gone back to, in the order of approval."),
    ] = ()
    frozen: Annotated[bool, Meta(description="Whether learning rests.")] = False
    silent: Annotated[bool, Meta(description="Whether the model is silent everywhere.")] = False
    silent_units: Annotated[
        Annotated[tuple[Label, ...], Meta(max_length=1024)], Meta(description="Units in which it is silent.")
    ] = ()

    def check(self) -> None:
        """Check that the time is sensible.

        Raises
        ------
        BadEvent
            With reason `out_of_bounds`.
        """
        check_year("at", self.at)

    def is_silent(self, unit: str | None) -> bool:
        """Whether it is silent in a unit; None: the unit is not known."""
        return self.silent or (unit is not None and unit in self.silent_units)


TOPIC: Final = Topic(
    name="model-controls.v1",
    type=ModelControl,
    role="output",
    keyed_by="name",
    partitions=1,
    compacted=True,
    retention_ms=None,
    description="What operators have decided about models: a table, one row a model.",
)
