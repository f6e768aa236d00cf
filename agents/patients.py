"""What handlers of events about patients share: the rules of the site, the batch, and what every output carries."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from wardstream.agents.meters import Names
from wardstream.agents.streams.batch import Batch
from wardstream.models.alerts.policy import Policy
from wardstream.models.alerts.policy_file import DEFAULT
from wardstream.models.labs.history import LabBins
from wardstream.models.patient import Patient
from wardstream.models.risk.labels import Report, together
from wardstream.models.risk.target import Target
from wardstream.models.scores import Observations
from wardstream.models.serving import Served
from wardstream.schemas.envelope import Event

if TYPE_CHECKING:  # it imports this module
    from wardstream.agents.risk import Risk

SOURCE = "wardstream"
OUTCOMES_ROW: Final = "outcomes"
PatientBatch = Batch[Any, Patient]

decode_reports = msgspec.json.Decoder(tuple[Report, ...]).decode


@dataclass(frozen=True)
class Rules:
    """What a site declares, and what handlers ask.

    `never_carried` are parts of NEWS2 that none of its feeds carries. `sepsis` is the served model; None: there is
    none, and nothing is predicted. `risk` is what is learned online; None: nothing is. `is_silent` says of a model and
    a unit (None: not known) whether nobody is to be told of what it raises there. `policy` is the alert policy in
    force. `judging` says which outcomes make an alert a true one, within how long where the alert does not say, and
    how late they may become known; `units` are those that are counted by name.
    """

    never_carried: frozenset[str] = frozenset()
    sepsis: Served | None = None
    risk: Risk | None = None
    is_silent: Callable[[str, str | None], bool] = lambda model, unit: False
    policy: Callable[[], Policy] = lambda: DEFAULT
    judging: Target = field(default_factory=lambda: Target(horizon_h=24))
    units: Names = field(default_factory=Names)

    def __post_init__(self) -> None:
        unknown = self.never_carried.difference(Observations.__struct_fields__)
        if unknown:  # a slip of the pen would keep alerts open for ever
            raise ValueError(f"never_carried names no part of a score: {', '.join(sorted(unknown))}")


class PatientRows:
    """A patient's rows of their own of one kind, as `Bins` wants them."""

    __slots__ = ("_batch", "_key", "_kind")

    def __init__(self, batch: Batch[Any, Any], key: str, kind: str) -> None:
        self._batch = batch
        self._key = key
        self._kind = kind

    def get(self, name: str) -> bytes | None:
        return self._batch.state.child(self._key, self._kind + name)

    def put(self, name: str, row: bytes | None) -> None:
        self._batch.state.put_child(self._key, self._kind + name, row)

    def names(self) -> list[str]:
        kind = self._kind
        return [name[len(kind) :] for name in self._batch.state.children(self._key) if name.startswith(kind)]


def bins_of(batch: PatientBatch, key: str, event: Event | None = None) -> LabBins:
    """The hourly bins of a patient, and the results of each analyte; `event` is what will be put into them."""
    preliminary = event.event_id if event is not None and event.status == "preliminary" else None
    return LabBins(PatientRows(batch, key, "bin/"), PatientRows(batch, key, "lab/"), preliminary)


def reports_of(batch: PatientBatch, key: str) -> tuple[Report, ...]:
    """What has been reported of the patient's outcomes."""
    row = batch.state.child(key, OUTCOMES_ROW)
    return () if row is None else decode_reports(row)


def keep_reports(batch: PatientBatch, key: str, more: Iterable[Report]) -> None:
    """Keep some more reports."""
    reports = together((*reports_of(batch, key), *more))
    batch.state.put_child(key, OUTCOMES_ROW, msgspec.json.encode(reports))


def envelope(key: str, patient: Patient, event: Any, at: float) -> dict[str, Any]:
    """What every output about a patient carries, as of a time (s since 1970)."""
    about = event if isinstance(event, Event) else None  # a tick is about no patient
    now = datetime.fromtimestamp(at, UTC)  # never later than received_at, or consumers would refuse it as of the future
    return {
        "source": SOURCE,
        "facility": patient.facility,
        "patient_id": key,
        "encounter_id": patient.stay.encounter_id if about is None else about.encounter_id or patient.stay.encounter_id,
        "observed_at": now,
        "received_at": now,
        "provenance": "derived",
        "trace": None if about is None else about.trace,
    }
