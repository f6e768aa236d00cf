"""What is published already → operators' alerts, on operator-alerts.v1: silent feeds, degraded models, stale data,
short beds.

In a group of its own, with one lane: what it reads is small, and about the whole hospital. Records only change what is
known of feeds, models and units; each minute a tick judges it all, so that time alone raises, escalates and expires,
and a policy that changes is obeyed with the next tick. Answers are obeyed at once.

notices.v1 says which feeds are silent, metrics.v1 what models answered, flow.v1 who is in a unit and which beds will be
needed, alerts.v1 whose data are stale.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from wardstream.agents import metrics as m
from wardstream.agents.streams.batch import Batch, Handler, Received
from wardstream.agents.transitions import moment, told
from wardstream.models.alerts import answers, life
from wardstream.models.alerts.life import Change, Now
from wardstream.models.alerts.policy import Policy, Rule
from wardstream.models.alerts.states import pinned
from wardstream.models.operations import HUB, KINDS, Ahead, Counts, Process, Row, Trouble, judged
from wardstream.schemas.alerts import ENDED, State
from wardstream.schemas.flow import Flow
from wardstream.schemas.metrics import Metrics
from wardstream.schemas.notices import Notice
from wardstream.schemas.operator_alerts import OperatorAlert
from wardstream.schemas.operator_answers import OperatorAnswer
from wardstream.schemas.ticks import Tick

TOPIC: Final = "operator-alerts.v1"
SOURCE: Final = "wardstream"
STALE: Final = "stale/"  # rows of the hub's own: the unit of each open alert of kind staleness
NEW_S: Final = 60.0  # what a process had counted when it was first heard of is new, if it is no older
GONE_S: Final = 3600.0  # a process that has said nothing for so long has ended

RowBatch = Batch[Any, Row]
PolicyNow = Callable[[], Policy]
"""The policy that is in force."""


class StaleAlert(msgspec.Struct, frozen=True):
    """Of a record of alerts.v1 what is needed here: nothing of the patient."""

    alert_id: UUID
    kind: str
    state: State
    unit: str | None
    received_at: datetime


def tick_handler(policy: PolicyNow) -> Handler:
    """The handler of ticks.v1."""

    async def on_ticks(batch: RowBatch) -> None:
        """Judge every feed, model and unit; of a minute that comes in several partitions, once."""
        async for received in batch:
            event: Tick = received.event
            now, hub = event.observed_at.timestamp(), batch.state[HUB]
            if hub.clock is not None and now <= hub.clock:
                continue
            hub.clock = now
            for key in sorted(batch.state.due(now)):
                await batch.take_turns()
                with batch.alone(key):
                    _judge(batch, key, received, now, policy())

    return on_ticks


def notice_handler(policy: PolicyNow) -> Handler:
    """The handler of notices.v1."""

    async def on_notices(batch: RowBatch) -> None:
        """Note what is wrong with feeds and models, and that it ended; a record may come twice."""
        async for received in batch:
            event: Notice = received.event
            key, name = f"{'model' if event.condition == 'drift' else 'feed'}/{event.feed}", str(event.notice_id)
            row = _heard(batch, key, received)
            if event.transition == "resolved":
                row.troubles = {other: one for other, one in row.troubles.items() if other != name}
            elif name not in row.troubles:
                before = (event.at - (event.since or event.raised_at)).total_seconds()
                row.troubles = {**row.troubles, name: Trouble(event.condition, row.heard - max(0.0, before))}

    return on_notices


def metrics_handler(policy: PolicyNow) -> Handler:
    """The handler of metrics.v1."""

    async def on_metrics(batch: RowBatch) -> None:
        """Count what models answered since their process last said so."""
        async for received in batch:
            event: Metrics = received.event
            hub, at, counts = batch.state[HUB], event.at.timestamp(), counts_of(event)
            before = hub.processes.get(event.process)
            if before is not None and at <= before.at:  # a record that comes twice
                continue
            others = {name: one for name, one in hub.processes.items() if one.at > at - GONE_S}
            hub.processes = {**others, event.process: Process(at, counts)}
            if before is None:
                is_new = at - event.started_at.timestamp() <= NEW_S
                before = Process(at, {} if is_new else counts)
            for model, counted in counts.items():
                new = counted.plus(before.counts.get(model, Counts()), -1)
                if new != Counts():
                    row = _heard(batch, f"model/{model}", received)
                    row.count(row.heard, new)

    return on_metrics


def flow_handler(policy: PolicyNow) -> Handler:
    """The handler of flow.v1."""

    async def on_flow(batch: RowBatch) -> None:
        """Note who is in a unit, and which beds will be needed; corrections have no forecast."""
        async for received in batch:
            event: Flow = received.event
            row, at = _heard(batch, f"unit/{event.unit}", received), event.observed_at.timestamp()
            if event.ended:
                row.census, row.ahead = None, ()
            elif at >= row.census_at:
                row.census, row.census_at = max(0, event.census), at
            if event.ahead and at >= row.ahead_at:
                row.ahead = tuple(Ahead(one.horizon_h, one.full, one.shortfall) for one in event.ahead)
                row.ahead_at = at

    return on_flow


def staleness_handler(policy: PolicyNow) -> Handler:
    """The handler of alerts.v1."""

    async def on_alerts(batch: RowBatch) -> None:
        """Count open alerts of kind staleness by unit; one may move with its patient."""
        async for received in batch:
            event: StaleAlert = received.event
            if event.kind != "staleness":
                continue
            name = f"{STALE}{event.alert_id}"
            kept = batch.state.child(HUB, name)
            before, unit = None if kept is None else kept.decode(), None if event.state in ENDED else event.unit
            if unit == before:
                continue
            for there, more in ((before, -1), (unit, 1)):
                if there is not None:
                    _heard(batch, f"unit/{there}", received).stale += more
            batch.state.put_child(HUB, name, None if unit is None else unit.encode())

    return on_alerts


def answer_handler(policy: PolicyNow) -> Handler:
    """The handler of operator-answers.v1."""

    async def on_answers(batch: RowBatch) -> None:
        """Take answers in."""
        async for received in batch:
            event: OperatorAnswer = received.event
            now, outcome = _now(batch, received), "unknown"
            for key in sorted(batch.state.due(now)):
                if _knows(batch.state[key], event.alert_id):
                    outcome, changes = answers.answer(
                        batch.state[key], event, _rule_of(policy(), key), Now(now, key, event.event_id)
                    )
                    _publish(batch, key, received, now, policy(), changes)
            batch.count(m.ANSWERS, (event.action, outcome))

    return on_answers


_SERIES: Final = re.compile(r"(predictions_total|findings_total|model_failures_total|model_seconds)\{(.*)\}")
_LABEL: Final = re.compile(r'([a-z_]+)="([^"]*)"')


def counts_of(snapshot: Metrics) -> dict[str, Counts]:
    """What a process has counted of each model since it started."""
    found: dict[str, Counts] = {}
    totals = [*snapshot.counters.items(), *((name, one.count) for name, one in snapshot.histograms.items())]
    for series, total in totals:
        parts = _SERIES.fullmatch(series)
        if parts is None:
            continue
        name, text = parts.groups()
        labels: dict[str, str] = dict(_LABEL.findall(text))
        what = _FIELD.get(labels.get("quality", name))
        if what is not None and "model" in labels:
            model = labels["model"]
            found[model] = found.get(model, Counts()).plus(Counts(**{what: total}))
    return found


_FIELD: Final = {"ok": "ok", "degraded": "degraded", "model_seconds": "answered", "model_failures_total": "failed"}


def _now(batch: RowBatch, received: Received[Any]) -> float:
    """The stream's time; before the first tick, the record's own."""
    clock = batch.state[HUB].clock
    at: float = received.event.received_at.timestamp() if clock is None else clock
    return at


def _heard(batch: RowBatch, key: str, received: Received[Any]) -> Row:
    """The row of a subject of which something was heard."""
    now, row = _now(batch, received), batch.state[key]
    row.heard = max(row.heard, now)
    return row


def _rule_of(policy: Policy, key: str) -> Callable[[str], Rule | None]:
    sort, _, name = key.partition("/")

    def rule_of(condition: str) -> Rule | None:
        rule = policy.rule(condition, name)
        return rule if rule is not None and rule.kind in KINDS[sort] else None

    return rule_of


def _judge(batch: RowBatch, key: str, cause: Received[Tick], at: float, policy: Policy) -> None:
    row, (sort, _, name) = batch.state[key], key.partition("/")
    row.forget_answers(at)
    now, changes = Now(at, key, cause.event.event_id), list[Change]()
    for kind in KINDS[sort]:
        for rule in policy.rules(kind, name):
            changes += life.judge(row, judged(rule, name, row, at, now.caused_by), rule, now)
    changes += life.pass_time(row, _rule_of(policy, key), now)
    _publish(batch, key, cause, at, policy, changes)
    if row.is_forgotten(at):
        batch.state.forget(key)


def _knows(row: Row, alert_id: UUID) -> bool:
    known = [*row.alerts.values(), *(one.alert for one in row.ended)]
    return any(alert.alert_id == alert_id for alert in known)


def _publish(
    batch: RowBatch, key: str, cause: Received[Any], at: float, policy: Policy, changes: Sequence[Change]
) -> None:
    for change in changes:
        alert = change.alert
        evidence = change.evidence or pinned(alert)
        transition = OperatorAlert(
            **told(change, _rule_of(policy, key)(change.condition), cause.event.event_id, policy.digest),
            source=SOURCE,
            observed_at=moment(at),
            subject=key.partition("/")[2],
            values={name: float(one.value) for name, one in evidence.values.items()},
        )
        batch.emit(TOPIC, str(alert.alert_id), transition, cause)
        batch.count(m.OPERATOR_ALERTS, (change.condition, change.transition))
