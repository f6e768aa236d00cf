"""Why an alert was told: recomputed from the log, by the worker's own handlers, to the transition that was told.

Read are the records of the alert's lane: those of the patient, up to the record that brought the transition about, and
the ticks between. They pass through a lane in memory, under the policy that the transition names. What models have said
is taken as it was recorded, and the answer that decided is asked for again where its version is at hand. What comes out
is held against what was told, field by field.

What a lane sorts in order of time may have come in another order when it was live; who was silenced then by an operator
is taken from the topic that the alert is on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import aclosing
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from wardstream.agents import predicting, risk
from wardstream.agents.alerting import Judged
from wardstream.agents.patients import PatientBatch, Rules
from wardstream.agents.streams.batch import Handler
from wardstream.agents.streams.outputs import Row
from wardstream.agents.streams.state import Work
from wardstream.infra.failure import Failure
from wardstream.infra.kafka.reading import records
from wardstream.infra.kafka.topics import lane_count
from wardstream.infra.memory_lane import Line, MemoryLane
from wardstream.infra.model_controls import RISK, read_tables, standing
from wardstream.infra.policies import read_policies
from wardstream.infra.policy_replay import OnnxModel
from wardstream.infra.worker import CLOCK_TOPIC, HANDLERS
from wardstream.models import sepsis
from wardstream.models.alerts.policy import Policy
from wardstream.models.alerts.policy_file import DEFAULT, PolicyError, parse_policy
from wardstream.models.risk.target import CHAMPION
from wardstream.models.sepsis import Prepared
from wardstream.models.serving import Answered, Served
from wardstream.models.training import record
from wardstream.schemas.alerts import Alert
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.decode import decoder, decoder_of
from wardstream.schemas.output_id import output_id
from wardstream.schemas.predictions import Prediction

TOPICS: Final = ("alerts.v1", "silent-alerts.v1")
_decode_alert = decoder_of(Alert)
_decode_prediction = decoder_of(Prediction)


class Input(NamedTuple):
    """A record that the transition stands on: its cause, or what brought a value of its evidence."""

    topic: str
    partition: int
    offset: int
    event_id: UUID
    received_at: datetime
    is_cause: bool


class Explained(NamedTuple):
    """A transition as it was told and as it was recomputed.

    Attributes
    ----------
    told, again : Alert
        None: it did not come out, or could not be recomputed; `notes` say why.
    topic, partition, offset
        Where the transition is.
    differs : tuple of str
        Fields that are not the same.
    inputs : tuple of Input
        What it stands on.
    patient_records : int
        How many records of the patient were read.
    state : str or None
        SHA-256 of the patient's state after the cause, in hex.
    model : str or None
        SHA-256 of the model's file that decided, where it is at hand.
    notes : tuple of str
        What could not be read or recomputed, and what was taken as recorded.
    """

    told: Alert
    again: Alert | None
    topic: str
    partition: int
    offset: int
    differs: tuple[str, ...]
    inputs: tuple[Input, ...]
    patient_records: int
    state: str | None
    model: str | None
    notes: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether the same came out."""
        return self.again is not None and not self.differs


class Log(NamedTuple):
    """What the log holds of a patient in a lane, and what it does not hold any more."""

    lines: list[Line]
    events: list[Any]
    predictions: dict[UUID, Prediction]
    notes: list[str]


class Site(NamedTuple):
    """What a worker of this site would be given."""

    never_carried: frozenset[str]
    models: Path


async def explain(options: Mapping[str, Any], site: Site, alert_id: UUID, number: int | None) -> Explained:
    """Explain a transition of an alert; the last one where no number is given.

    Raises
    ------
    Failure
        There is no such alert, or no such transition.
    KafkaError, TimeoutError
        The cluster does not answer.
    """
    rows = await _rows(options, alert_id)
    if not rows:
        raise Failure("there is no such alert: it was never told, or its time of retention has passed")
    topic, place, told = rows[-1] if number is None else next((row for row in rows if row[2].number == number), rows[0])
    if number is not None and told.number != number:
        raise Failure(f"the alert has transitions {', '.join(str(row[2].number) for row in rows)}")
    ids = frozenset(row[2].patient_id for row in rows)
    log = upto(await _log(options, place.partition, ids), told)
    policy, notes = await _policy(options, told)
    digests = {row[2].policy for row in rows if row[2].number <= told.number}
    if len(digests) > 1:
        notes.append("the policy changed in the alert's life: all is recomputed by that of this transition")
    rule = None if policy is None else policy.rule(told.condition, told.unit)
    thresholds = await _thresholds(options) if rule is not None and rule.of == risk.NAME else {}
    found = Recomputing(site, told, topic == TOPICS[1], thresholds)
    if policy is not None:
        await found.run(policy, log, place.partition, await lane_count(options))
    return Explained(
        told=told,
        again=found.again,
        topic=topic,
        partition=place.partition,
        offset=place.offset,
        differs=() if found.again is None else differences(told, found.again),
        inputs=inputs_of(told, log, place.partition),
        patient_records=sum(line.topic != CLOCK_TOPIC for line in log.lines),
        state=found.state,
        model=found.model,
        notes=(*notes, *log.notes, *found.notes),
    )


def inputs_of(told: Alert, log: Log, partition: int) -> tuple[Input, ...]:
    """The records that a transition stands on."""
    evidence = told.evidence
    causes = {told.caused_by, evidence.caused_by}
    times = {reading.observed_at for reading in evidence.values.values()}
    behind = {None if evidence.result is None else evidence.result.result_id}
    behind.add(None if evidence.finding is None else evidence.finding.event_id)
    return tuple(
        Input(line.topic, partition, line.offset, event.event_id, event.received_at, event.event_id in causes)
        for line, event in zip(log.lines, log.events, strict=True)
        if event.event_id in causes | behind or (line.topic in ("vitals.v1", "labs.v1") and event.observed_at in times)
    )


def differences(told: Alert, again: Alert) -> tuple[str, ...]:
    """The fields in which two transitions differ, by path."""
    one, other = _flat("", msgspec.to_builtins(told)), _flat("", msgspec.to_builtins(again))
    return tuple(sorted(path for path in one.keys() | other.keys() if one.get(path) != other.get(path)))


class Recomputing:
    """One transition, once more.

    Parameters
    ----------
    told : Alert
        As it was told.
    silent : bool
        Whether nobody was told.
    thresholds : mapping
        From which probability versions of `risk` alert.
    """

    def __init__(self, site: Site, told: Alert, silent: bool, thresholds: Mapping[str, float | None]) -> None:
        self.again: Alert | None = None
        self.state: str | None = None
        self.model: str | None = None
        self.notes: list[str] = []
        self._site = site
        self._told = told
        self._silent = silent
        self._thresholds = thresholds
        self._came: list[str] = []
        self._asked: Prepared | None = None

    async def run(self, policy: Policy, log: Log, partition: int, lanes: int) -> None:
        """Have the log pass by the policy."""
        told, folder = self._told, self._site.models / sepsis.NAME
        rule = policy.rule(told.condition, told.unit)
        of = None if rule is None or rule.kind != "prediction" else rule.of
        said = told.evidence.prediction
        served = Served(_Nobody(), folder)
        threshold = self._thresholds.get if of == risk.NAME else served.threshold
        if of is not None and rule is not None and rule.by_model and said and threshold(said.version) is None:
            self.notes.append(f"{of} {said.version} is not at hand, and so not its threshold: nothing was recomputed")
            return
        rules = Rules(
            self._site.never_carried,
            served if of == sepsis.NAME else None,
            risk.Risk() if of == risk.NAME else None,
            lambda model, unit: self._silent,
            lambda: policy,
        )
        at_end = self._recorded(log.predictions, rules, threshold)
        lane = MemoryLane(rules, self._written, partition, lanes, at_end)
        await lane.take(log.lines)
        kept = Work(lane.state).rows(told.patient_id)
        self.state = sha256(b"".join(b"%s\0%s\0" % (name.encode(), kept[name]) for name in sorted(kept))).hexdigest()
        if self.again is None:
            came = ", ".join(self._came) or "none of this alert"
            self.notes.append(f"recomputed, this transition does not come out; what comes out is {came}")
        if said is not None and of == sepsis.NAME:
            await self._ask_again(folder / said.version, said.calibrated_probability)
        elif said is not None:
            self.notes.append(f"the answer of {said.model} {said.version} is taken as recorded")

    async def _ask_again(self, folder: Path, recorded: float) -> None:
        """The deciding answer, from the model's version itself."""
        try:
            served = Served(OnnxModel(folder), folder.parent, budget_s=60.0)
            self.model = record.file_hash(folder / record.MODEL)
        except (FileNotFoundError, ModuleNotFoundError, ValueError):
            self.notes.append(f"version {folder.name} is not at hand: its answer is taken as recorded")
            return
        answers = await served.ask([] if self._asked is None else [self._asked])
        if not answers or not isinstance(answers[0], Answered) or answers[0].calibrated is None:
            self.notes.append("the model was not asked this: its answer is taken as recorded")
            return
        now = answers[0].calibrated
        self.notes.append(f"the model answers {now:.4f} again; recorded: {recorded:.4f}")

    def _written(self, topic: str, row: Row) -> None:
        if topic in TOPICS and row.key == str(self._told.alert_id).encode() and row.value is not None:
            alert = _decode_alert(row.value)
            self._came.append(f"{alert.number} {alert.transition}")
            if alert.number == self._told.number:
                self.again = alert

    def _recorded(
        self, predictions: Mapping[UUID, Prediction], rules: Rules, threshold: Callable[[str], float | None]
    ) -> Handler:
        """What stands at the end of a batch in place of the models: their answers, as they were recorded."""

        async def tell(batch: PatientBatch) -> None:
            said = self._told.evidence.prediction
            for one in batch.outputs.left:
                name = sepsis.NAME if isinstance(one, predicting.Asked) else risk.NAME
                answer = predictions.get(output_id(one.cause.event.event_id, f"predictions/{name}/{one.key}"))
                if answer is None or one.key not in batch.state:
                    continue
                if said is not None and answer.event_id == said.event_id and name == sepsis.NAME:
                    self._asked = one.prepared if isinstance(one.prepared, Prepared) else None
                words = f"{answer.target.replace('_', ' ')} within {answer.horizon_h:g} h"
                judged = Judged(batch, one.key, batch.state[one.key], one.cause, one.at, rules)
                judged.prediction(answer, predicting.WORDS if name == sepsis.NAME else words, threshold(answer.version))

        return tell


class _Nobody:
    async def infer(self, model: str, inputs: Mapping[str, Any]) -> Any:
        """Answers are taken from the log."""
        raise AssertionError("nobody is asked")


async def _rows(options: Mapping[str, Any], alert_id: UUID) -> list[tuple[str, Any, Alert]]:
    """The transitions of an alert with their records, in their order."""
    key, found = str(alert_id).encode(), list[tuple[str, Any, Alert]]()
    for topic in TOPICS:
        async with aclosing(records(options, topic)) as lines:
            async for line in lines:
                if line.key == key and line.value is not None:
                    found.append((topic, line, _decode_alert(line.value)))
    return sorted(found, key=lambda row: row[2].number)


async def _log(options: Mapping[str, Any], partition: int, ids: frozenset[str]) -> Log:
    """What there is of some patients in a lane; ticks from the first of it on."""
    keys, log = frozenset(name.encode() for name in ids), Log([], [], {}, [])
    begins: datetime | None = None
    for topic in (*(name for name in HANDLERS if name != CLOCK_TOPIC), CLOCK_TOPIC):
        decode, first = decoder(topic), True
        async with aclosing(records(options, topic, partition)) as lines:
            async for line in lines:
                if first and line.offset > 0:
                    log.notes.append(f"{topic}: what was before offset {line.offset} is not kept any more")
                first = False
                if topic != CLOCK_TOPIC and line.key not in keys:
                    continue
                try:
                    event = decode(line.value)
                except BadEvent:  # a dead letter
                    continue
                if topic == CLOCK_TOPIC and (begins is None or event.received_at < begins):
                    continue
                if topic != CLOCK_TOPIC:
                    begins = event.received_at if begins is None else min(begins, event.received_at)
                headers = tuple((name, value) for name, value in line.headers)
                log.lines.append(Line(topic, line.offset, line.value, line.key, headers, line.timestamp))
                log.events.append(event)
    async with aclosing(records(options, "predictions.v1", partition)) as lines:
        async for line in lines:
            if line.key in keys and line.value is not None:
                said = _decode_prediction(line.value)
                log.predictions[said.event_id] = said
    return log


def upto(log: Log, told: Alert) -> Log:
    """The log up to the record that brought a transition about; nothing that came later was known then."""
    causes = [event.received_at for event in log.events if event.event_id == told.caused_by]
    end = max(causes, default=told.observed_at)
    kept = [place for place, event in enumerate(log.events) if event.received_at <= end]
    notes = log.notes if causes else [*log.notes, "what brought it about is not in the log any more"]
    return Log([log.lines[i] for i in kept], [log.events[i] for i in kept], log.predictions, notes)


async def _policy(options: Mapping[str, Any], told: Alert) -> tuple[Policy | None, list[str]]:
    """The policy that decided; None: it is not to be had, which the notes say."""
    if told.policy == DEFAULT.digest:
        return DEFAULT, []
    row = (await read_policies(options)).get(told.policy or "")
    if row is None:
        return None, ["its policy is not on alert-policies.v1, nor built in: nothing was recomputed"]
    try:
        return parse_policy(row.text), []
    except PolicyError:
        return None, ["this version cannot read its policy: nothing was recomputed"]


async def _thresholds(options: Mapping[str, Any]) -> dict[str, float | None]:
    """From which probability versions of `risk` alert, by the version's name on predictions."""
    approved = standing(await read_tables(options), RISK).approved
    return {one.version if one.kind == CHAMPION else f"{one.version}-{one.kind}": one.alert_from for one in approved}


def _flat(path: str, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return {name: one for key, inner in value.items() for name, one in _flat(f"{path}.{key}", inner).items()}
    if isinstance(value, list):
        return {name: one for key, inner in enumerate(value) for name, one in _flat(f"{path}[{key}]", inner).items()}
    return {path.removeprefix("."): value}
