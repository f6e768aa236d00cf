"""waveforms.v1: a chunk of sampled signals, such as ten seconds of ECG.

Samples stay the device's integers, a scale beside them, as in WFDB and ISO 11073: half the bytes of decimal fractions
and nothing rounded. Limits keep a chunk far below Kafka's record size; a source with more sends more chunks.
"""

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.envelope import Event, Label
from wardstream.schemas.topic import DAY_MS, Topic

MAX_LEADS: Final = 16
MAX_SAMPLES: Final = 60_000
"""Of one lead: a minute at 1 kHz."""

Signal = Literal["ecg", "pleth", "arterial_pressure", "venous_pressure", "capnogram", "respiration", "eeg", "other"]
Count = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]


class Lead(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One channel. Physical value = (sample − baseline_counts) / counts_per_unit, in `unit`."""

    name: Annotated[Label, Meta(description="Lead or channel.", examples=["II", "V1", "MLII"])]
    unit: Annotated[Label, Meta(description="UCUM unit of the physical value.", examples=["mV"])]
    counts_per_unit: Annotated[
        Annotated[float, Meta(gt=0)], Meta(description="Gain: counts of the converter a physical unit.")
    ]
    baseline_counts: Annotated[Count, Meta(description="The count that means zero.")] = 0
    samples: Annotated[
        Annotated[tuple[Count | None, ...], Meta(min_length=1, max_length=MAX_SAMPLES)],
        Meta(description="Counts, evenly spaced; null: lost (lead off, saturated)."),
    ]


class Waveform(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A chunk; `observed_at` is the time of the first sample."""

    signal: Annotated[Signal, Meta(description="What is sampled.")]
    rate_hz: Annotated[
        Annotated[float, Meta(gt=0, le=20_000)], Meta(description="Samples a second of every lead in the chunk.")
    ]
    device: Annotated[Label | None, Meta(description="Pseudonym of the device; null: not stated.")] = None
    sequence: Annotated[
        Annotated[int, Meta(ge=0, le=2**53 - 1)] | None,
        Meta(description="Number of the chunk in its recording, so that a gap shows; null: not numbered."),
    ] = None
    leads: Annotated[
        Annotated[tuple[Lead, ...], Meta(max_length=MAX_LEADS)],
        Meta(description="Channels sampled together, equally long; empty only in a cancellation."),
    ]

    def check(self) -> None:
        """Add to the envelope's checks: there are leads, named once each, and equally long."""
        Event.check(self)
        if not self.leads:
            if self.status != "cancelled":
                raise BadEvent("empty", "leads")
            return
        if len({lead.name for lead in self.leads}) != len(self.leads):
            raise BadEvent("inconsistent", "leads[].name")
        if len({len(lead.samples) for lead in self.leads}) != 1:
            raise BadEvent("inconsistent", "leads[].samples")


TOPIC: Final = Topic(
    name="waveforms.v1",
    type=Waveform,
    role="input",
    retention_ms=2 * DAY_MS,
    description="Chunks of ECG and other sampled signals.",
)
