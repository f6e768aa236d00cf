"""ticks.v1: time passes → signals lapse, scores become partial, data goes stale, patients long gone are forgotten.

At the end of each hour of a stay the models are asked, and hours whose label has been waited for are told. When an hour
of the clock is over, the lane says so in every partition of occupancy.v1.
"""

from __future__ import annotations

from wardstream.agents import metrics as m
from wardstream.agents import risk
from wardstream.agents.occupancy import TOPIC, lose_sight
from wardstream.agents.predicting import ask
from wardstream.agents.scoring import PatientBatch, Rules, expire, rescore
from wardstream.agents.streams.batch import Handler
from wardstream.models.signals import HOUR
from wardstream.schemas.occupancy import PARTITIONS, RECEIVED_AT, over_key
from wardstream.schemas.ticks import Tick


def handler(rules: Rules) -> Handler:
    """The handler of ticks.v1."""

    async def on_ticks(batch: PatientBatch) -> None:
        """Wake the patients whose time has come."""
        async for received in batch:
            event: Tick = received.event
            now = event.observed_at.timestamp()
            if now % HOUR == 0:  # all that was received before has been applied
                lane, lanes = batch.outputs.lane, batch.outputs.lanes
                for partition in range(PARTITIONS):
                    headers = ((RECEIVED_AT, repr(now).encode()),)
                    batch.withdraw(TOPIC, over_key(lane, lanes), received, headers, partition)
            for key in batch.state.due(now):
                await batch.take_turns()
                with batch.alone(key):
                    patient = batch.state[key]
                    if rules.risk is not None:
                        risk.tell(batch, key, patient, received, now, rules.risk)
                    if patient.forget_at() <= now:
                        expire(batch, key, patient, received, "nothing has been heard of the patient")
                        lose_sight(batch, key, patient, received)
                        batch.state.forget(key)
                        batch.count(m.EVICTIONS)
                        continue
                    if patient.lapses_at() <= now:
                        rescore(batch, key, patient, received, rules)
                    ended = patient.hour_ended(now)
                    if ended > patient.predicted:
                        patient.predicted = ended
                        if rules.sepsis is not None:
                            ask(batch, key, patient, received, ended)
                        if rules.risk is not None:
                            risk.ask(batch, key, patient, received, ended)

    return on_ticks
