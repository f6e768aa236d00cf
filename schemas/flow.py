"""flow.v1: hour by hour what each unit saw, and what it is likely to see: census, movements, forecasts.

A record is about one hour of one unit. The first one of an hour carries the forecast that was made when it was over.
Where a later correction changes what the hour saw, the hour is told again as `corrected`, without a forecast: whoever
keeps the last record of each unit and hour has the exact series. Hours that are more than `KEPT_DAYS` old are not told
again. A unit in which nobody is known to have been in so many days (it is closed or renamed; or the only one who came
has been taken back) is told for the last time, as `ended`, in the first hour of a day; should somebody come, it begins
anew.

**Forecasts.** At each horizon of h hours, from the end of the record's hour on: *arrivals* in the h-th hour (from
outside and from other units); *discharges*: of those who are there now, how many will have left the unit by the end of
it; *beds* needed at its end. Each is a distribution, told by its mean and its quantiles at `LEVELS`, in whole patients.
Beds needed include who will come and has no staffed bed, so they can exceed those that there are.
"""

from typing import Annotated, Final, Literal
from uuid import UUID

from msgspec import Meta, Struct

from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.envelope import Label, Moment, check_year
from wardstream.schemas.topic import YEAR_MS, Topic

LEVELS: Final = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
KEPT_DAYS: Final = 35

Number = Annotated[int, Meta(ge=0)]
Mean = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]


class Spread(Struct, frozen=True, kw_only=True):
    """A distribution of a number of patients."""

    mean: Annotated[Mean, Meta(description="Its mean.")]
    quantiles: Annotated[
        Annotated[tuple[Number, ...], Meta(min_length=len(LEVELS), max_length=len(LEVELS))],
        Meta(description="Quantiles at 2.5, 10, 25, 50, 75, 90 and 97.5 %."),
    ]


class Ahead(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is expected some hours ahead."""

    horizon_h: Annotated[Number, Meta(description="Hours ahead of the end of the record's hour.")]
    arrivals: Annotated[Spread, Meta(description="Who comes in that hour.")]
    discharges: Annotated[Spread, Meta(description="Of those who are there now: who will have left by then.")]
    beds: Annotated[Spread, Meta(description="Beds needed then.")]
    full: Annotated[
        Share | None,
        Meta(description="Probability that all staffed beds are needed, or more; null: not known how many."),
    ] = None
    shortfall: Annotated[
        Mean | None, Meta(description="Expected number of patients beyond the staffed beds; null: not known how many.")
    ] = None
    nurses: Annotated[
        Annotated[tuple[Number, ...], Meta(min_length=3, max_length=3)] | None,
        Meta(
            description="Nurses needed then (nurse hours in that hour) at 10, 50 and 90 % of patients; null: no ratio."
        ),
    ] = None


class Flow(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One hour of one unit. Carries numbers only, nothing of a patient."""

    event_id: Annotated[UUID, Meta(description="Identity of the record.")]
    source: Annotated[Label, Meta(description="wardstream.")]
    unit: Annotated[Label, Meta(description="The unit; the Kafka key.")]
    hour_from: Annotated[Moment, Meta(description="The beginning of the hour.")]
    observed_at: Annotated[Moment, Meta(description="The end of the hour.")]
    received_at: Annotated[Moment, Meta(description="The stream's time at which this was said.")]
    status: Annotated[
        Literal["final", "corrected"],
        Meta(description="corrected: what an earlier record of this hour said holds no more."),
    ] = "final"
    census: Annotated[int, Meta(description="Who was there at its end.")]
    admissions: Annotated[Number, Meta(description="Who came from outside, or nobody says from where.")] = 0
    transfers_in: Annotated[Number, Meta(description="Who came from another unit.")] = 0
    discharges: Annotated[Number, Meta(description="Who left the hospital.")] = 0
    transfers_out: Annotated[Number, Meta(description="Who left for another unit.")] = 0
    lost: Annotated[Number, Meta(description="Who was lost sight of.")] = 0
    silent: Annotated[
        bool,
        Meta(
            description="Nothing was learnt: nothing came for so long that the feed is taken to be down, or the clock "
            "went over the hour, and over two days or more at once."
        ),
    ] = False
    ended: Annotated[
        bool, Meta(description="The unit's last record: nobody is known to have been there in 35 days.")
    ] = False
    staffed: Annotated[Number | None, Meta(description="Staffed beds, as the site states them.")] = None
    peak_h: Annotated[Number | None, Meta(description="In how many hours most beds are expected to be needed.")] = None
    course: Annotated[
        Annotated[tuple[Mean, ...], Meta(max_length=48)],
        Meta(description="Mean number of beds needed at the end of each of the next 48 hours."),
    ] = ()
    ahead: Annotated[
        Annotated[tuple[Ahead, ...], Meta(max_length=16)],
        Meta(description="The forecast by horizon; empty in corrections."),
    ] = ()

    def check(self) -> None:
        """Check that times are sensible.

        Raises
        ------
        BadEvent
            With reason `inconsistent` or `out_of_bounds`.
        """
        if (self.observed_at - self.hour_from).total_seconds() != 3600 or self.received_at < self.observed_at:
            raise BadEvent("inconsistent", "hour_from", "observed_at", "received_at")
        check_year("observed_at", self.observed_at)


TOPIC: Final = Topic(
    name="flow.v1",
    type=Flow,
    role="output",
    keyed_by="unit",
    partitions=1,
    relayed=True,
    retention_ms=YEAR_MS,
    description="Hour by hour what each unit saw, and the forecasts of arrivals, discharges and beds needed.",
)
