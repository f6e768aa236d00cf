"""outcomes.v1: what really happened: the delayed labels that models learn from and alerts are judged by."""

from typing import Annotated, Final, Literal

from msgspec import Meta

from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.envelope import Event, Label, Moment
from wardstream.schemas.topic import YEAR_MS, Topic

Kind = Literal[
    "icu_transfer",
    "cardiac_arrest",
    "respiratory_arrest",
    "intubation",
    "vasopressor_start",
    "sepsis_onset",
    "septic_shock",
    "acute_kidney_injury",
    "rapid_response",
    "death",
    "readmission",
    "arrhythmia",
    "pneumonia",
    "other",
]


class Outcome(Event, frozen=True, kw_only=True, omit_defaults=True):
    """One label. `observed_at` is when it happened, `available_at` when it became known (often days later)."""

    kind: Annotated[Kind, Meta(description="What happened.")]
    occurred: Annotated[
        bool, Meta(description="False: it is known that it did not happen between window_from and observed_at.")
    ] = True
    window_from: Annotated[
        Moment | None, Meta(description="Begin of the time that occurred=false speaks of; null: since admission.")
    ] = None
    definition: Annotated[
        Label | None, Meta(description="By which definition or coder; null: not stated.", examples=["sepsis-3"])
    ] = None

    def check(self) -> None:
        """Add to the envelope's checks: only an absence has a window, and it does not end before it begins."""
        Event.check(self)
        if self.window_from is not None and (self.occurred or self.window_from > self.observed_at):
            raise BadEvent("inconsistent", "window_from", "occurred", "observed_at")


TOPIC: Final = Topic(
    name="outcomes.v1",
    type=Outcome,
    role="input",
    retention_ms=YEAR_MS,
    description="What really happened: the delayed labels.",
)
