"""A lane without Kafka: handlers run as Faust agents, as the lanes run them, and what they leave behind is kept."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.agents.apps import unconnected_app
from tests.events import topic_of
from wardstream.agents import predicting
from wardstream.agents.patients import Rules
from wardstream.agents.risk import Risk
from wardstream.agents.streams.batch import Batch, Received, lane_agent
from wardstream.agents.streams.outputs import Outputs
from wardstream.agents.streams.state import LaneState, Work
from wardstream.infra.worker import HANDLERS
from wardstream.models.alerts.policy import Policy
from wardstream.models.alerts.policy_file import DEFAULT
from wardstream.models.bins import Bins, MeasurementSet
from wardstream.models.labs.history import LabBins
from wardstream.models.patient import Patient, PatientCodec
from wardstream.models.risk.target import Target
from wardstream.models.serving import Served
from wardstream.schemas.alerts import Alert
from wardstream.schemas.decode import decoder, decoder_of, encode
from wardstream.schemas.envelope import Event
from wardstream.schemas.occupancy import Occupancy
from wardstream.schemas.predictions import Prediction
from wardstream.schemas.scores import Score, Scores
from wardstream.schemas.silent_alerts import SilentAlert
from wardstream.schemas.ticks import Tick
from wardstream.schemas.training_examples import TrainingExample


@dataclass
class Said:
    """What a batch has written and counted."""

    scores: list[Scores] = field(default_factory=list)
    predictions: list[Prediction] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    silent_alerts: list[SilentAlert] = field(default_factory=list)
    examples: list[TrainingExample] = field(default_factory=list)
    occupancy: dict[str, Occupancy | None] = field(default_factory=dict)
    counts: Counter[tuple[str, tuple[str, ...]]] = field(default_factory=Counter)
    observed: list[tuple[str, tuple[str, ...], float]] = field(default_factory=list)
    changelog: dict[bytes, bytes | None] = field(default_factory=dict)

    def transitions(self) -> list[tuple[str, str]]:
        """Condition and transition of each alert."""
        return [(alert.condition, alert.transition) for alert in self.alerts]

    def news2(self) -> Score:
        """NEWS2 of the last record."""
        return self.scores[-1].scores[0]

    def __iadd__(self, other: Said) -> Said:
        self.scores += other.scores
        self.predictions += other.predictions
        self.alerts += other.alerts
        self.silent_alerts += other.silent_alerts
        self.examples += other.examples
        self.occupancy |= other.occupancy
        self.counts.update(other.counts)
        self.observed += other.observed
        self.changelog |= other.changelog
        return self


class Bedside:
    """One lane's state, and the worker's table of handlers to change it with.

    Attributes
    ----------
    rows : the compacted changelog.
    """

    def __init__(
        self,
        never_carried: frozenset[str] = frozenset(),
        sepsis: Served | None = None,
        risk: Risk | None = None,
        is_silent: Callable[[str, str | None], bool] = lambda model, unit: False,
        policy: Callable[[], Policy] = lambda: DEFAULT,
        judging: Target = Target(horizon_h=24),  # noqa: B008 - frozen
    ) -> None:
        rules, app = Rules(never_carried, sepsis, risk, is_silent, policy, judging), unconnected_app()
        self._agents = {topic: lane_agent(app, topic, make(rules), 1) for topic, make in HANDLERS.items()}
        self._at_end = predicting.at_end(rules)
        app.finalize()
        app.flow_control.resume()
        self.rows: dict[bytes, bytes] = {}
        self.state: LaneState[Patient] = LaneState(PatientCodec(), {})
        self._offset = 0

    async def give(self, *events: Event | Tick) -> Said:
        """Apply events, each run of one topic as one batch; those whose id is known are left out, as lanes do."""
        said, run = Said(), list[Any]()
        for event, following in zip(events, [*events[1:], None], strict=True):
            run.append(event)
            if following is None or topic_of(following) != topic_of(event):
                said += await self._apply(topic_of(event), run)
                run = []
        return said

    async def _apply(self, topic: str, events: list[Any]) -> Said:
        work, outputs = Work(self.state), Outputs(0)
        received = []
        for event in events:
            self._offset += 1
            if isinstance(event, Event) and not work.first_sight(event.patient_id, event.event_id):
                continue
            received.append(Received(event, self._offset, 1_700_000_000_000 + self._offset))
        batch: Batch[Any, Patient] = Batch(topic, received, work, outputs, encode)
        batch.handled = asyncio.get_running_loop().create_future()
        async with self._agents[topic].test_context() as running:
            await running.put(batch, wait=False)
            async with asyncio.timeout(60):
                await batch.handled
        if outputs.left:
            await self._at_end(Batch("", (), work, outputs, encode))
        changelog = dict(self.state.absorb(work))
        for key, row in changelog.items():
            if row is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = row
        return _read(outputs, changelog)

    def restart(self) -> None:
        """Forget everything but the changelog, as a worker that dies does."""
        self.state = LaneState(PatientCodec(), self.rows)

    def patient(self, key: str = "P1") -> Patient:
        """The patient's state, from its row."""
        return PatientCodec().decode(self.rows[b"p\0" + key.encode()])

    def sets(self, key: str = "P1") -> list[MeasurementSet]:
        """What the patient's bins hold."""
        rows = {
            name.removeprefix("bin/"): row for name, row in self.state.children(key).items() if name.startswith("bin/")
        }
        return sorted(Bins(MemoryRows(rows)).sets(), key=lambda measured: (measured.at, measured.event_id))

    def lab_bins(self, key: str = "P1") -> LabBins:
        """The patient's bins and results."""
        rows = self.state.children(key).items()
        kinds = (
            {name.removeprefix(kind): row for name, row in rows if name.startswith(kind)} for kind in ("bin/", "lab/")
        )
        return LabBins(*map(MemoryRows, kinds))


class MemoryRows:
    """A patient's rows of their own, in a dictionary."""

    def __init__(self, rows: dict[str, bytes]) -> None:
        self.rows = rows

    def get(self, name: str) -> bytes | None:
        return self.rows.get(name)

    def put(self, name: str, row: bytes | None) -> None:
        if row is None:
            self.rows.pop(name, None)
        else:
            self.rows[name] = row

    def names(self) -> list[str]:
        return list(self.rows)


def _read(outputs: Outputs, changelog: dict[bytes, bytes | None]) -> Said:
    """Decode what was written as any consumer would."""
    said = Said(changelog=changelog)
    said.counts = Counter({(metric.name, labels): count for (metric, labels), count in outputs.counts.items()})
    said.observed = [(metric.name, labels, value) for metric, labels, value in outputs.observed]
    for (topic, partition), rows in outputs.rows.items():
        assert partition == 0 or topic == "occupancy.v1", "outputs belong to the patient's lane"
        for row in rows:
            if topic == "occupancy.v1":
                assert row.key is not None
                if row.key.startswith(b"\t"):
                    continue  # an hour is over
                said.occupancy[row.key.decode()] = None if row.value is None else decoder_of(Occupancy)(row.value)
                continue
            assert row.value is not None
            message: Any = decoder(topic)(row.value)
            assert row.key == str(message.alert_id if topic.endswith("alerts.v1") else message.patient_id).encode()
            assert row.timestamp_ms is not None
            kept = {
                "scores.v1": said.scores,
                "predictions.v1": said.predictions,
                "alerts.v1": said.alerts,
                "silent-alerts.v1": said.silent_alerts,
                "training-examples.v1": said.examples,
            }
            kept[topic].append(message)  # type: ignore[attr-defined]
    return said
