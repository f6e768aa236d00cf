"""Every topic: what it carries, how it is keyed and partitioned, and how long it is kept.

**Partitions.** All topics about patients have the same number of partitions: lane p is partition p of each of them,
so that everything about a patient is handled in one place and in one order. `metrics.v1` has one partition: it is
small, and whoever reads it wants all of it. A dead-letter topic has as many as the topic whose bad input it holds.

**Retention.** What devices send is kept for a month (enough to replay an incident or a week's training), waveforms for
two days because of their size. What explains a decision or judges it later (admissions, outcomes, acknowledgements,
predictions, alerts) is kept for 400 days: a year, so that seasons can be compared and late outcomes still meet their
predictions. No topic here is compacted: each record is an event, not the latest state of its key. In particular
alerts.v1 is keyed by alert, but compaction would leave only the last transition of each.
"""

from dataclasses import dataclass
from typing import Final, Literal

from wardstream.schemas.acknowledgements import Acknowledgement
from wardstream.schemas.admissions import Admission
from wardstream.schemas.alerts import Alert
from wardstream.schemas.envelope import Event
from wardstream.schemas.imaging import Imaging
from wardstream.schemas.labs import Lab
from wardstream.schemas.medications import Medication
from wardstream.schemas.metrics import Metrics
from wardstream.schemas.notes import Note
from wardstream.schemas.outcomes import Outcome
from wardstream.schemas.predictions import Prediction
from wardstream.schemas.scores import Scores
from wardstream.schemas.ticks import Tick
from wardstream.schemas.vitals import Vitals
from wardstream.schemas.waveforms import Waveform

DAY_MS: Final = 24 * 60 * 60 * 1000
MONTH_MS: Final = 30 * DAY_MS
YEAR_MS: Final = 400 * DAY_MS

Key = Literal["patient_id", "alert_id", "process", "none"]
Role = Literal["input", "output"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One topic.

    Attributes
    ----------
    name : str
        `<plural>.v<n>`; the class is in the module of that name. A change that old consumers cannot read is a new n.
    type : type
        The record's type: an `Event`, or `Tick` or `Metrics`, which are about no patient.
    role : {"input", "output"}
        Whether others publish to it or this project does.
    keyed_by : {"patient_id", "alert_id", "process", "none"}
        The field whose UTF-8 is the record's key; none: no key, written to a partition by number.
    compacted : bool
        Whether Kafka keeps the last record of each key for ever.
    retention_ms : int or None
        How long records are kept; None: for ever.
    description : str
        What it carries, for the documents.
    """

    name: str
    type: type[Event] | type[Tick] | type[Metrics]
    role: Role
    keyed_by: Key = "patient_id"
    compacted: bool = False
    retention_ms: int | None = MONTH_MS
    description: str

    @property
    def in_lanes(self) -> bool:
        """Whether its partitions are the lanes: the patient's partition, whatever the key."""
        return self.type is not Metrics


TOPICS: Final[dict[str, Topic]] = {
    topic.name: topic
    for topic in (
        Topic(
            name="admissions.v1",
            type=Admission,
            role="input",
            retention_ms=YEAR_MS,
            description="Where patients are: admit, transfer, discharge, update, their cancellations, merge.",
        ),
        Topic(name="labs.v1", type=Lab, role="input", description="Laboratory results, one a record."),
        Topic(name="vitals.v1", type=Vitals, role="input", description="Bedside measurements at one time, any subset."),
        Topic(
            name="imaging.v1",
            type=Imaging,
            role="input",
            description="Imaging studies and instances, with a reference to their pixels.",
        ),
        Topic(
            name="waveforms.v1",
            type=Waveform,
            role="input",
            retention_ms=2 * DAY_MS,
            description="Chunks of ECG and other sampled signals.",
        ),
        Topic(name="notes.v1", type=Note, role="input", description="Clinical notes."),
        Topic(name="medications.v1", type=Medication, role="input", description="Orders and administrations of drugs."),
        Topic(
            name="outcomes.v1",
            type=Outcome,
            role="input",
            retention_ms=YEAR_MS,
            description="What really happened: the delayed labels.",
        ),
        Topic(
            name="acknowledgements.v1",
            type=Acknowledgement,
            role="input",
            retention_ms=YEAR_MS,
            description="People's answers to alerts.",
        ),
        Topic(
            name="ticks.v1",
            type=Tick,
            role="input",
            keyed_by="none",
            description="The time: one record a partition each minute.",
        ),
        Topic(name="scores.v1", type=Scores, role="output", description="Rule-based scores with their parts."),
        Topic(
            name="predictions.v1",
            type=Prediction,
            role="output",
            retention_ms=YEAR_MS,
            description="Models' answers with calibration, contributions and staleness.",
        ),
        Topic(
            name="alerts.v1",
            type=Alert,
            role="output",
            keyed_by="alert_id",
            retention_ms=YEAR_MS,
            description="Every transition of an alert's life, in the partition of its patient.",
        ),
        Topic(
            name="metrics.v1",
            type=Metrics,
            role="output",
            keyed_by="process",
            retention_ms=7 * DAY_MS,
            description="Snapshots of what each process has counted.",
        ),
    )
}
"""By name. Inputs first, in the order in which a lane handles them."""

LANE_INPUTS: Final = tuple(topic.name for topic in TOPICS.values() if topic.role == "input" and topic.in_lanes)
"""Inputs that lanes read, in handling order: where a patient is, then slow and then fast measurements, time last."""

DEAD_RETENTION_MS: Final = MONTH_MS
"""How long dead letters are kept: a month to mend a feed and replay them."""


def dead(topic_name: str) -> str:
    """Return the name of the topic that holds the bad input of `topic_name`."""
    return f"{topic_name}.dead"


def partitions_of(topic_name: str, lanes: int) -> int:
    """Return how many partitions a topic (or its dead-letter topic) has where there are `lanes` lanes.

    Parameters
    ----------
    topic_name : str
        A name in `TOPICS`, or `dead` of one.
    lanes : int
        Partitions of every topic about patients; at least 1.

    Raises
    ------
    KeyError
        For a topic that is not in `TOPICS`.
    """
    return lanes if TOPICS[topic_name.removesuffix(".dead")].in_lanes else 1
