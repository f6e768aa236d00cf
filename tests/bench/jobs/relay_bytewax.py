"""The relay job in Bytewax: `stateful_map` with recovery (SQLite). Arguments: broker, id, input, output, folder."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import cluster_main

BROKER, NAME, INPUT, OUTPUT, FOLDER = sys.argv[1:6]
Mean = tuple[int, float]


def decode(message: Any) -> tuple[str, float]:
    event = orjson.loads(message.value)
    return event["patient_id"], event["heart_rate_bpm"]


def relay(mean: Mean | None, rate: float) -> tuple[Mean, Mean]:
    count, total = mean or (0, 0.0)
    new = (count + 1, total + rate)
    return new, new


def encode(item: tuple[str, Mean]) -> KafkaSinkMessage[bytes, bytes]:
    patient, (count, total) = item
    answer = {"patient_id": patient, "count": count, "mean": total / count}
    return KafkaSinkMessage(patient.encode(), orjson.dumps(answer))


flow = Dataflow("relay")
beats = op.input("in", flow, KafkaSource([BROKER], [INPUT], batch_size=2000))
rates = op.map("decode", beats, decode)
means = op.stateful_map("relay", rates, relay)
op.output("out", op.map("encode", means, encode), KafkaSink([BROKER], OUTPUT))

if __name__ == "__main__":
    # What `python -m bytewax.run -r FOLDER -s 1` does: by its default of 10 s hardly a snapshot would be timed.
    Path(FOLDER).mkdir(parents=True, exist_ok=True)
    init_db_dir(Path(FOLDER), 1)
    recovery = RecoveryConfig(FOLDER)
    cluster_main(flow, [], 0, epoch_interval=timedelta(seconds=1), recovery_config=recovery)
