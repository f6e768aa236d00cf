"""The real job's own work for the peers: what wardstream's handler of vitals.v1 does to one event, as a function.

The same decoder, checks, state, hourly bins, scores, alert rules and encoder; without its counters, its memory of
recent event ids, and its durable state.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from wardstream.models.alerts.conditions import of_score, of_staleness
from wardstream.models.alerts.life import Now, judge
from wardstream.models.alerts.policy_file import DEFAULT
from wardstream.models.bins import Bins
from wardstream.models.latest import Signals
from wardstream.models.patient import Patient
from wardstream.models.scores import rule_scores
from wardstream.models.vitals import measurements
from wardstream.schemas.alerts import Evidence
from wardstream.schemas.bounds import extremes
from wardstream.schemas.decode import decoder_of, encode
from wardstream.schemas.output_id import output_id
from wardstream.schemas.scores import Score, Scores
from wardstream.schemas.vitals import Vitals

decode = decoder_of(Vitals)


class DictRows:
    """A patient's bins in a dictionary."""

    def __init__(self) -> None:
        self.rows: dict[str, bytes] = {}

    def get(self, name: str) -> bytes | None:
        return self.rows.get(name)

    def put(self, name: str, row: bytes | None) -> None:
        if row is None:
            self.rows.pop(name, None)
        else:
            self.rows[name] = row

    def names(self) -> Iterable[str]:
        return list(self.rows)


def score(patient: Patient, bins: Bins, event: Vitals) -> bytes:
    """Take an event in; return the scores to publish."""
    extremes(event)
    measured = measurements(event)
    patient.measure(bins, measured, event.supersedes)
    at = patient.scored = max(patient.heard, patient.scored, measured.received)
    current = patient.current(at)
    scores = rule_scores(patient.observations(current))
    _judge(patient, event, scores[0], current, at)
    now = datetime.fromtimestamp(at, UTC)
    published = Scores(
        event_id=output_id(event.event_id, f"scores/{event.patient_id}"),
        source="wardstream",
        patient_id=event.patient_id,
        observed_at=now,
        received_at=now,
        provenance="derived",
        caused_by=event.event_id,
        scores=scores,
    )
    return encode(published)


def _judge(patient: Patient, event: Vitals, news2: Score, current: Signals, at: float) -> None:
    """The two conditions of the default policy that vital signs decide."""

    def shows() -> Evidence:
        return Evidence(caused_by=event.event_id, score=news2)

    for rule in DEFAULT.rules("score", None):
        verdict = of_score(patient, rule, news2, frozenset(), shows)
        if verdict is not None:
            judge(patient, verdict, rule, Now(at, event.patient_id, event.event_id))
    for rule in DEFAULT.rules("staleness", None):
        verdict = of_staleness(patient, rule, patient.signals, current, at, shows)
        if verdict is not None:
            judge(patient, verdict, rule, Now(at, event.patient_id, event.event_id))
