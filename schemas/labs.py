"""labs.v1: one laboratory result."""

from typing import Annotated, Final, Literal

from msgspec import Meta

from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.bounds import lab_bound
from wardstream.schemas.envelope import Event, Label, Moment, Phrase
from wardstream.schemas.topic import Topic

Loinc = Annotated[str, Meta(max_length=9, pattern=r"^[0-9]{1,7}-[0-9]$(?!\n)")]
"""A LOINC code."""
Comparator = Literal["<", "<=", ">=", ">"]
Flag = Literal["L", "H", "LL", "HH", "A", "AA", "N"]


class Lab(Event, frozen=True, kw_only=True, omit_defaults=True):
    """One result. `observed_at` is the time of the specimen when it is known, else of the result."""

    loinc: Annotated[Loinc, Meta(description="What was measured, as a LOINC code.", examples=["2823-3"])]
    value: Annotated[float | None, Meta(description="The number, in `unit`; null: the result is a text.")] = None
    text: Annotated[Phrase | None, Meta(description="The result in words; null: the result is a number.")] = None
    comparator: Annotated[
        Comparator | None, Meta(description="The result is a limit: below or above `value`; null: it is exact.")
    ] = None
    unit: Annotated[Label | None, Meta(description="UCUM unit of value and range; null: none or not stated.")] = None
    reference_low: Annotated[float | None, Meta(description="Lower end of the laboratory's range; null: open.")] = None
    reference_high: Annotated[float | None, Meta(description="Upper end of the laboratory's range; null: open.")] = None
    flag: Annotated[Flag | None, Meta(description="The laboratory's flag (HL7 table 0078); null: none given.")] = None
    specimen_at: Annotated[Moment | None, Meta(description="When the specimen was taken; null: not known.")] = None

    def check(self) -> None:
        """Add to the envelope's checks: there is a result, it is possible, and a comparator has what it compares to."""
        Event.check(self)
        value = self.value
        if value is None:
            if self.comparator is not None:
                raise BadEvent("missing_field", "value")
            if self.text is None and self.status != "cancelled":
                raise BadEvent("empty", "value", "text")
        else:
            bound = lab_bound(self.loinc, self.unit)
            if bound is not None and not bound.low <= value <= bound.high:
                raise BadEvent("out_of_bounds", "value")


TOPIC: Final = Topic(name="labs.v1", type=Lab, role="input", description="Laboratory results, one a record.")
