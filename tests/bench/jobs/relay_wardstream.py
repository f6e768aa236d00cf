"""The relay job on lanes: exactly once, state in the lane's changelog. Arguments: broker, id, input, output."""

from __future__ import annotations

import gc
import logging
import sys
from datetime import datetime
from functools import lru_cache, partial
from typing import Any
from uuid import UUID

import faust
import msgspec

from wardstream.agents.streams.batch import Batch, lane_agent
from wardstream.agents.streams.dead_letters import DeadLetters
from wardstream.agents.streams.lane import LaneSettings
from wardstream.agents.streams.transport import lane_transport
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.partition import partition_of

BROKER, NAME, INPUT, OUTPUT = sys.argv[1:5]
LANES = int(sys.argv[5]) if len(sys.argv) > 5 else 4


class Beat(msgspec.Struct, frozen=True):
    event_id: UUID
    patient_id: str
    received_at: datetime
    heart_rate_bpm: float


class Mean(msgspec.Struct):
    count: int = 0
    total: float = 0.0


class MeanCodec:
    def __init__(self) -> None:
        self.encode = msgspec.json.Encoder().encode
        self.decode = msgspec.json.Decoder(Mean).decode

    def new(self, key: str) -> Mean:
        return Mean()

    def due(self, entity: Mean) -> float:
        return float("inf")


_typed = msgspec.json.Decoder(Beat).decode


def decode(raw: bytes) -> Beat:
    try:
        return _typed(raw)
    except msgspec.MsgspecError:
        bad = BadEvent("malformed_json")
    raise bad


async def relay(batch: Batch[Beat, Mean]) -> None:
    """The running mean of a patient's heart rate."""
    for received in batch:
        event = received.event
        mean = batch.state[event.patient_id]
        mean.count += 1
        mean.total += event.heart_rate_bpm
        answer = {"patient_id": event.patient_id, "count": mean.count, "mean": mean.total / mean.count}
        batch.emit(OUTPUT, event.patient_id, answer, received)


app = faust.App(
    NAME,
    broker=f"kafka://{BROKER}",
    store="memory://",
    topic_allow_declare=False,
    topic_disable_leader=True,
    stream_wait_empty=False,
    web_enabled=False,
    broker_max_poll_records=4_000,
    consumer_max_fetch_size=2 << 20,
)
settings = LaneSettings(
    app_id=NAME,
    client={"bootstrap_servers": BROKER},
    topics=(INPUT,),
    clock_topic=None,
    changelog=f"{NAME}-lanes",
    decoders={INPUT: decode},
    encode=msgspec.json.Encoder().encode,
    codec=MeanCodec(),
    dead_letters=DeadLetters(bytes(32)),
    lanes=LANES,
    lane_of=lru_cache(maxsize=200_000)(partial(partition_of, partitions=LANES)),
)
app.transport = app.producer_transport = lane_transport(app, settings)
agent: Any = lane_agent(app, INPUT, relay, LANES)

if __name__ == "__main__":
    gc.set_threshold(50_000, 20, 50)  # as `wardstream worker` does
    logging.getLogger("aiokafka").setLevel(logging.WARNING)  # Faust leaves its debug messages on: 2 % of lanes' time
    faust.Worker(app, loglevel="warning", redirect_stdouts=False).execute_from_commandline()
