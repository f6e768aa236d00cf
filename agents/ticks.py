"""ticks.v1: time passes → signals lapse, scores are partial, data goes stale, alerts escalate, patients are forgotten.

At the end of each hour of a stay the models are asked, and hours whose label has been waited for are told. When an hour
of the clock is over, the lane says so in every partition of occupancy.v1: once, with the first tick at its end or after
it (the clock of a feed may jump, and strike no hour). Of hours that end together the last one says it for all.
"""

from __future__ import annotations

from wardstream.agents import alert_value, risk
from wardstream.agents import metrics as m
from wardstream.agents.alerting import Judged
from wardstream.agents.occupancy import TOPIC, lose_sight
from wardstream.agents.patients import PatientBatch, Rules
from wardstream.agents.predicting import ask
from wardstream.agents.scoring import rescore
from wardstream.agents.streams.batch import Handler, Received
from wardstream.models.alerts.states import due
from wardstream.models.signals import HOUR
from wardstream.schemas.occupancy import PARTITIONS, RECEIVED_AT, over_key
from wardstream.schemas.ticks import Tick

FORGOTTEN = "nothing has been heard of the patient"


def handler(rules: Rules) -> Handler:
    """The handler of ticks.v1."""

    async def on_ticks(batch: PatientBatch) -> None:
        """Wake the patients whose time has come."""
        async for received in batch:
            event: Tick = received.event
            now = event.observed_at.timestamp()
            _tell_hour(batch, received, now // HOUR * HOUR)
            for key in batch.state.due(now):
                await batch.take_turns()
                with batch.alone(key):
                    patient = batch.state[key]
                    if rules.risk is not None:
                        risk.tell(batch, key, patient, received, now, rules.risk)
                    alert_value.judge(batch, key, patient, now, rules)
                    if patient.forget_at() <= now:
                        at = max(patient.heard, patient.scored, now)
                        Judged(batch, key, patient, received, at, rules).close(FORGOTTEN)
                        lose_sight(batch, key, patient, received)
                        batch.state.forget(key)
                        batch.count(m.EVICTIONS)
                        continue
                    changed = patient.orders_end() <= now
                    if changed:
                        patient.end_orders(now)
                    if changed or patient.lapses_at() <= now:
                        rescore(batch, key, patient, received, rules)
                    if due(patient) <= now:
                        at = max(patient.heard, patient.scored, now)
                        Judged(batch, key, patient, received, at, rules).time()
                    ended = patient.hour_ended(now)
                    if ended > patient.predicted:
                        alert_value.present(batch, patient, ended, rules)
                        patient.predicted = ended
                        if rules.sepsis is not None:
                            ask(batch, key, patient, received, ended)
                        if rules.risk is not None:
                            risk.ask(batch, key, patient, received, ended)

    return on_ticks


def _tell_hour(batch: PatientBatch, received: Received[Tick], end: float) -> None:
    """Say that the hour that ended then (s since 1970) is over: all that was received before has been applied."""
    told = batch.state.told_until
    if told is not None and end <= told:
        return
    batch.state.told_until = end
    if told is not None:
        alert_value.pass_time(batch, (end - told) / HOUR)
    headers = ((RECEIVED_AT, repr(end).encode()),)
    for partition in range(PARTITIONS):
        batch.withdraw(TOPIC, over_key(batch.outputs.lane, batch.outputs.lanes), received, headers, partition)
