"""directives.v1: what a clinician has ordered about one patient's alerts: comfort care, or other thresholds.

Each order ends by itself, after a week at the most. Only comfort care keeps alerts from being raised; resuscitation
status (admissions.v1) is shown with alerts and suppresses nothing.
"""

from datetime import timedelta
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.envelope import Event, Label, Moment, Phrase
from wardstream.schemas.scores import Name
from wardstream.schemas.topic import YEAR_MS, Topic

MAX_DURATION: Final = timedelta(days=7)
"""An order that nobody renews is an order that nobody remembers."""

Kind = Literal["comfort_care", "thresholds"]


class Thresholds(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """From which value of its condition an alert has a priority; absent: as the policy says."""

    low: Annotated[float | None, Meta(description="From here low.")] = None
    medium: Annotated[float | None, Meta(description="From here medium.")] = None
    high: Annotated[float | None, Meta(description="From here high.")] = None


class Directive(Event, frozen=True, kw_only=True, omit_defaults=True):
    """One order; `observed_at` is when it was given. status cancelled (or corrected) with supersedes takes it back."""

    kind: Annotated[Kind, Meta(description="What is ordered.")]
    expires_at: Annotated[Moment, Meta(description="When it ends: a week after observed_at at the latest.")]
    ordered_by: Annotated[Label, Meta(description="Pseudonym of the clinician, never a name.")]
    condition: Annotated[
        Name | None, Meta(description="Kind thresholds: of which condition of the policy; null: of none.")
    ] = None
    thresholds: Annotated[Thresholds | None, Meta(description="Kind thresholds: the patient's own; null: none.")] = None
    why: Annotated[Phrase | None, Meta(description="The reason given; null: none.")] = None
    unit: Annotated[
        Label | None, Meta(description="Where the patient was then: its clinicians may revise it; null: not known.")
    ] = None

    def check(self) -> None:
        """Add to the envelope's checks: an order ends in time, and thresholds say of what and which."""
        Event.check(self)
        if not timedelta(0) < self.expires_at - self.observed_at <= MAX_DURATION:
            raise BadEvent("out_of_bounds", "expires_at")
        if self.kind == "comfort_care":
            if self.condition is not None or self.thresholds is not None:
                raise BadEvent("inconsistent", "kind", "thresholds")
            return
        if self.condition is None:
            raise BadEvent("missing_field", "condition")
        if self.thresholds is None:
            raise BadEvent("missing_field", "thresholds")
        limits = [limit for limit in _steps(self.thresholds) if limit is not None]
        if not limits:
            raise BadEvent("missing_field", "thresholds")
        if limits != sorted(limits):
            raise BadEvent("inconsistent", "thresholds.low", "thresholds.medium", "thresholds.high")


def _steps(thresholds: Thresholds) -> tuple[float | None, ...]:
    return thresholds.low, thresholds.medium, thresholds.high


TOPIC: Final = Topic(
    name="directives.v1",
    type=Directive,
    role="input",
    retention_ms=YEAR_MS,
    description="Clinicians' orders about one patient's alerts: comfort care, thresholds.",
)
