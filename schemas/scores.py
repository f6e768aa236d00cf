"""scores.v1: every rule-based score of one patient at one time."""

from typing import Annotated, Final, Literal
from uuid import UUID

from msgspec import Meta, Struct

from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.envelope import Event, Label, Moment, Phrase
from wardstream.schemas.labs import Comparator
from wardstream.schemas.topic import Topic

Name = Annotated[str, Meta(min_length=1, max_length=64)]
"""The name of a score, condition, model or signal in snake_case. Open: a newer producer may know more than this
consumer. No pattern, because a record has fifty of them and msgspec takes 0.5 µs for each."""


class Score(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One score and how good it is."""

    name: Annotated[Name, Meta(description="Which score.", examples=["news2"])]
    version: Annotated[Label, Meta(description="Edition of the rule and of its code.", examples=["rcp-2017.1"])]
    value: Annotated[
        float | None, Meta(description="The score; a lower bound unless complete; null: not computable.")
    ] = None
    complete: Annotated[bool, Meta(description="Whether every part was known and recent enough.")]
    parts: Annotated[
        Annotated[dict[Name, float], Meta(max_length=64)], Meta(description="Points (or ratio) each known part gave.")
    ] = {}
    missing: Annotated[
        Annotated[tuple[Name, ...], Meta(max_length=64)], Meta(description="Parts unknown or too old: never assumed.")
    ] = ()
    band: Annotated[Label | None, Meta(description="The rule's own risk band; null: it has none.")] = None
    not_applicable: Annotated[
        Phrase | None, Meta(description="Why the score must not be used here (age, pregnancy); null: it may.")
    ] = None


class Reading(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One signal's value and when it was true."""

    value: Annotated[
        float | bool | Annotated[str, Meta(max_length=128)],
        Meta(description="In the unit the signal's name ends with."),
    ]
    observed_at: Annotated[Moment, Meta(description="When it was true.")]


FlagKind = Literal["critical_low", "critical_high", "delta_down", "delta_up"]


class Flag(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Why somebody should look at a result."""

    kind: Annotated[FlagKind, Meta(description="At or beyond a critical limit; or far from the previous result.")]
    limit: Annotated[float, Meta(description="The limit: of the value, or of the change from the previous one.")]
    percent: Annotated[bool, Meta(description="Whether the limit of a change is a percentage of the previous one.")] = (
        False
    )
    source: Annotated[Phrase, Meta(description="Where the limit comes from.")]


class Result(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The newest result of one laboratory analyte, and what it calls for."""

    name: Annotated[Name, Meta(description="The analyte's signal.", examples=["potassium_mmol_per_l"])]
    value: Annotated[
        float | None, Meta(description="In the unit the name ends with; null: there is no result any more.")
    ] = None
    comparator: Annotated[
        Comparator | None,
        Meta(description="The result is below or above `value`, beyond what was measured; null: exact."),
    ] = None
    observed_at: Annotated[Moment | None, Meta(description="When the specimen was taken; null: no result.")] = None
    result_id: Annotated[UUID | None, Meta(description="event_id of the result; null: no result.")] = None
    preliminary: Annotated[bool, Meta(description="Whether the final result is still to come.")] = False
    flags: Annotated[
        Annotated[tuple[Flag, ...], Meta(max_length=8)], Meta(description="Empty: the flags of before have ended.")
    ] = ()
    previous: Annotated[Reading | None, Meta(description="The final result before it; null: none is known.")] = None


class Scores(Event, frozen=True, kw_only=True, omit_defaults=True):
    """All scores of the bedside after one input event, those of organs that it changed, and what it says of results.

    `provenance` is derived.
    """

    caused_by: Annotated[UUID, Meta(description="event_id of the input event after which they were computed.")]
    scores: Annotated[Annotated[tuple[Score, ...], Meta(max_length=64)], Meta(description="One entry a score.")]
    results: Annotated[
        Annotated[tuple[Result, ...], Meta(max_length=64)],
        Meta(description="Laboratory results that the input event flagged, or whose flags it ended."),
    ] = ()

    def check(self) -> None:
        """Add to the envelope's checks: no score twice, complete ones have a value and nothing missing."""
        Event.check(self)
        if len({score.name for score in self.scores}) != len(self.scores):
            raise BadEvent("inconsistent", "scores[].name")
        for score in self.scores:
            if score.complete and score.missing:
                raise BadEvent("inconsistent", "scores[].complete", "scores[].missing")


TOPIC: Final = Topic(name="scores.v1", type=Scores, role="output", description="Rule-based scores with their parts.")
