"""What a policy would have told of recorded patients: their events through the worker's own handlers, in memory.

Only patients are judged that no served model has learnt from: those that are locked away from every training
(`models.training.splits`). A threshold that is to be fixed beforehand is fixed on others: those by whom the training
chose and calibrated, but of whom it has learnt no weight.

Somebody acknowledges each alert at once, and does nothing else about it: so what persists is told again after the
policy's reassessment interval, as it would be, and counts again. An alert that is never over is no good one for free.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from wardstream.agents.patients import Rules
from wardstream.agents.streams.clock import tick
from wardstream.agents.streams.outputs import Row
from wardstream.infra.failure import Failure
from wardstream.infra.feeds import challenge2019
from wardstream.infra.feeds.pace import Send
from wardstream.infra.feeds.records import Record, Tally
from wardstream.infra.feeds.replay import merged, timeline
from wardstream.infra.memory_lane import Line, MemoryLane
from wardstream.models import sepsis
from wardstream.models.alerts.policy import PRIORITIES, AnyKind, Policy, Rule
from wardstream.models.alerts.retrospect import HOUR, Episode, Observed, threshold_for
from wardstream.models.serving import Served
from wardstream.models.training import record, splits
from wardstream.models.training.recipe import Report
from wardstream.models.training.serving import loaded
from wardstream.models.triton import Answer
from wardstream.schemas.acknowledgements import TOPIC as ANSWERS
from wardstream.schemas.acknowledgements import Acknowledgement
from wardstream.schemas.admissions import Admission
from wardstream.schemas.alerts import Alert
from wardstream.schemas.decode import decoder_of, encode
from wardstream.schemas.envelope import Event
from wardstream.schemas.outcomes import Outcome
from wardstream.schemas.output_id import output_id
from wardstream.schemas.predictions import Contribution, Prediction
from wardstream.schemas.topics import TOPICS

AT_ONCE: Final = 200  # patients of a lane
_BUDGET_S: Final = 300.0  # for the answers of a batch: all hours of these patients end at once
OUTCOME: Final = "sepsis_onset"
HORIZON_H: Final = sepsis.HORIZON_H
_TOLD: Final = frozenset({"raised", "raised_again", "worsened"})
_ALERTS: Final = frozenset({"alerts.v1", "silent-alerts.v1"})

_TOPIC_OF: Final = {topic.type: name for name, topic in TOPICS.items() if topic.role == "input"}

_decode_alert = decoder_of(Alert)
_decode_prediction = decoder_of(Prediction)


class Patients(NamedTuple):
    """Those who are judged; those on whom thresholds are fixed; whether the data are those of the model's training."""

    judged: list[Record]
    others: list[Record]
    of_training: bool


class Replayed(NamedTuple):
    """Stays with what was told of them; probabilities with their times, by model and patient; how often a model was
    silent."""

    stays: list[Observed]
    probabilities: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]]
    unanswered: int


class Together(Policy):
    """Several policies in one pass: the conditions of each under its name and a point, so that none decides another's.

    Parameters
    ----------
    policies : mapping
        By a name without points.
    """

    def __init__(self, policies: Mapping[str, Policy]) -> None:
        conditions = {f"{of}.{name}": rule for of, one in policies.items() for name, rule in one.conditions.items()}
        super().__init__("", conditions, {}, [])
        self._policies = policies

    def rule(self, condition: str, unit: str | None) -> Rule | None:
        """As of the policy that the condition's name begins with."""
        of, _, name = condition.partition(".")
        known = self._policies[of].rule(name, unit)
        if known is None:
            return None
        place = f"{of}.{known.name}", unit
        if place not in self._rules:
            self._rules[place] = replace(known, name=place[0])
        return self._rules[place]

    def rules(self, kind: AnyKind, unit: str | None) -> tuple[Rule, ...]:
        """As of all of them."""
        names = [f"{of}.{rule.name}" for of, one in self._policies.items() for rule in one.rules(kind, unit)]
        return tuple(rule for name in names if (rule := self.rule(name, unit)) is not None)

    def stays(self, of: str, replayed: Replayed) -> list[Observed]:
        """The stays with what one of them told."""
        return [
            stay._replace(
                episodes=tuple(
                    one._replace(condition=one.condition.removeprefix(f"{of}."))
                    for one in stay.episodes
                    if one.condition.startswith(f"{of}.")
                )
            )
            for stay in replayed.stays
        ]


class OnnxModel:
    """A version of `sepsis` on ONNX Runtime, asked as the model server is."""

    def __init__(self, folder: Path) -> None:
        self._run = loaded(folder / record.MODEL, sepsis.INPUTS, ("logit",))
        self._version = folder.name

    async def infer(self, model: str, inputs: Mapping[str, Any]) -> Answer:
        """Answer a batch."""
        return Answer(self._version, {"logit": self._run(inputs)[0]}, 0.0)


class Unexplained(Served):
    """Asks, and does not ask why: contributions change no alert, and are most of the work."""

    async def explain(self, rows: Sequence[Any]) -> list[tuple[Contribution, ...]]:
        """Nothing."""
        return [() for _ in rows]


def choose(path: Path, locked: str, report: Report) -> Patients:
    """Who is judged, and on whom thresholds are fixed.

    Parameters
    ----------
    locked : str
        Hash of the locked patients, of the model's record.

    Raises
    ------
    SourceError
        The path holds no records of the challenge's form, or one has faults.
    """
    found = challenge2019.records(path)
    positive = []
    for done, one in enumerate(found):
        if done % 500 == 0:
            report("labels", done, len(found))
        positive.append(one.labels is not None and 1 in one.labels().values())
    report("labels", len(found), len(found))
    ids = [patient_id(one) for one in found]
    parts = splits.split(ids, positive)
    judged, others = ([found[i] for i in places] for places in (parts.locked, parts.folds[0]))
    return Patients(judged, others, splits.fingerprint([ids[i] for i in parts.locked]) == locked)


async def replay(
    records: Sequence[Record],
    policy: Policy,
    model: Path | None,
    never_carried: frozenset[str],
    report: Report,
    task: str,
    horizon_h: float = HORIZON_H,
) -> Replayed:
    """Have recorded patients pass by a policy.

    Parameters
    ----------
    model : Path or None
        Folder of the version of `sepsis`; None: no model is asked.
    never_carried : frozenset of str
        As `Rules.never_carried`.
    horizon_h : float
        For alerts that have none of their own.

    Raises
    ------
    Failure
        An event was refused, or a handler failed.
    """
    served = None if model is None else Unexplained(OnnxModel(model), model.parent, _BUDGET_S)
    rules = Rules(never_carried, served, policy=lambda: policy)
    stays, probabilities, unanswered = list[Observed](), dict[str, dict[str, list[tuple[float, float]]]](), 0
    for begin in range(0, len(records), AT_ONCE):
        report(task, begin, len(records))
        some = records[begin : begin + AT_ONCE]
        heard = _Heard()
        events = list(merged(some, Tally()))
        by_patient = defaultdict[str, list[Event]](list)
        for event in events:
            by_patient[event.patient_id].append(event)
        await MemoryLane(rules, heard.take).take(_lines(events), heard.answers)
        for one in heard.predictions:
            if one.quality == "ok" and one.calibrated_probability is not None:
                said = probabilities.setdefault(one.model, {})
                as_of = one.observed_at.timestamp()
                said.setdefault(one.patient_id, []).append((as_of, one.calibrated_probability))
            elif one.quality == "degraded":
                unanswered += 1
        told = defaultdict[str, list[Alert]](list)
        for alert in heard.alerts:
            told[alert.patient_id].append(alert)
        for one_record in some:
            key = patient_id(one_record)
            stays.append(_observed(one_record, by_patient[key], told[key], horizon_h))
    report(task, len(records), len(records))
    return Replayed(stays, probabilities, unanswered)


class _Heard:
    """What a lane writes, and what is answered to it."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []
        self.predictions: list[Prediction] = []
        self._to_answer: list[Alert] = []
        self._answered = 0

    def take(self, topic: str, row: Row) -> None:
        """Take a row; none may be a dead letter."""
        if topic.endswith(".dead"):
            raise Failure(f"an event of {topic.removesuffix('.dead')} was refused: {dict(row.headers)}")
        if topic in _ALERTS and row.value is not None:
            alert = _decode_alert(row.value)
            self.alerts.append(alert)
            if alert.transition in _TOLD:
                self._to_answer.append(alert)
        elif topic == "predictions.v1" and row.value is not None:
            self.predictions.append(_decode_prediction(row.value))

    def answers(self) -> list[Line]:
        """An acknowledgement for each alert that was told."""
        told, self._to_answer = self._to_answer, []
        lines = [Line(ANSWERS.name, self._answered + n, encode(_acknowledged(one))) for n, one in enumerate(told)]
        self._answered += len(lines)
        return lines


def _acknowledged(alert: Alert) -> Acknowledgement:
    return Acknowledgement(
        event_id=output_id(alert.event_id, "acknowledged"),
        source="replay",
        patient_id=alert.patient_id,
        observed_at=alert.observed_at,
        received_at=alert.observed_at,
        alert_id=alert.alert_id,
        action="acknowledge",
        actor="replay",
        seen=alert.number,
    )


def matched(policy: Policy, replayed: Replayed, condition: str, other: str) -> tuple[Policy, float]:
    """A policy in which a prediction raises at most as often as another condition did; and its threshold.

    Raises
    ------
    Failure
        The condition is no prediction with one threshold, or nothing was predicted.
    """
    rule = policy.conditions.get(condition)
    if rule is None or other not in policy.conditions:
        raise Failure(f"the policy has no condition {other if rule is not None else condition}")
    steps = [name for name in PRIORITIES if getattr(rule, name) is not None or rule.by_model == name]
    if rule.kind != "prediction" or len(steps) != 1:
        raise Failure(f"{condition} is no prediction with one threshold")
    said = replayed.probabilities.get(rule.of or "", {})
    most = sum(episode.condition == other for stay in replayed.stays for episode in stay.episodes)
    try:
        courses = [(said.get(stay.patient_id, ()), stay.ends) for stay in replayed.stays]
        threshold = threshold_for(courses, most, rule.end_share, rule.reassess_s)
    except ValueError:
        raise Failure(f"{rule.of} has predicted nothing") from None
    moved: dict[str, Any] = {steps[0]: threshold}
    changed = replace(rule, by_model=None, **moved)
    return Policy(policy.text, {**policy.conditions, condition: changed}, policy.units, policy.quiet), threshold


def patient_id(record: Record) -> str:
    """As the events of a record have it."""
    return f"cinc2019-{record.id}"


def _lines(events: Sequence[Any]) -> list[Line]:
    """Events, and the minutes between them, as records."""
    lines, offsets = list[Line](), dict[str, int]()
    for item in timeline(events):
        event: Any = item.event if isinstance(item, Send) else tick(item.at.timestamp())
        topic = _TOPIC_OF[type(event)]
        offset = offsets[topic] = offsets.get(topic, -1) + 1
        lines.append(Line(topic, offset, encode(event)))
    return lines


def _observed(record: Record, events: Sequence[Event], alerts: Sequence[Alert], horizon_h: float) -> Observed:
    """One stay, by its own events and alerts."""
    moves = [event.observed_at.timestamp() for event in events if isinstance(event, Admission)]
    outcomes = [event for event in events if isinstance(event, Outcome) and event.kind == OUTCOME and event.occurred]
    labels = record.labels() if record.labels is not None else {}
    return Observed(
        patient_id=events[0].patient_id,
        begins=min(moves),
        ends=max(moves),
        outcome=min((one.observed_at.timestamp() for one in outcomes), default=None),
        known=not labels or labels[min(labels)] != 1,  # of one that is positive from its first row only a bound is
        episodes=tuple(_episode(alert, horizon_h) for alert in alerts if alert.transition in _TOLD),
    )


def _episode(alert: Alert, horizon_h: float) -> Episode:
    said = alert.evidence.prediction
    hours = horizon_h if said is None else said.horizon_h
    return Episode(alert.condition, alert.priority, alert.observed_at.timestamp(), hours * HOUR)
