"""The relay job as Faust's own guide writes it: a table, `async for`, `send`. Arguments: broker, id, input, output."""

from __future__ import annotations

import logging
import sys
from typing import Any

import faust

BROKER, NAME, INPUT, OUTPUT = sys.argv[1:5]

app = faust.App(NAME, broker=f"kafka://{BROKER}", store="memory://", topic_partitions=4, web_enabled=False)
beats = app.topic(INPUT, key_type=str, value_serializer="json")
means = app.topic(OUTPUT, key_type=str, value_serializer="json")
table: Any = app.Table("means", default=lambda: [0, 0.0], key_type=str, partitions=4)


@app.agent(beats)
async def relay(stream: Any) -> None:
    async for patient, event in stream.items():
        count, total = table[patient]
        count, total = count + 1, total + event["heart_rate_bpm"]
        table[patient] = [count, total]
        await means.send(key=patient, value={"patient_id": patient, "count": count, "mean": total / count})


if __name__ == "__main__":
    logging.getLogger("aiokafka").setLevel(logging.WARNING)  # Faust leaves its debug messages on: 2 % of lanes' time
    faust.Worker(app, loglevel="warning", redirect_stdouts=False).execute_from_commandline()
