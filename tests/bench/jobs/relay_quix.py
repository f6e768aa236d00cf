"""The relay job as Quix Streams' guide writes it: a stateful apply (RocksDB and a changelog topic).

Arguments: broker, id, input, output, folder, guarantee.
"""

from __future__ import annotations

import sys
from typing import Any

from quixstreams import Application, State

BROKER, NAME, INPUT, OUTPUT, FOLDER, GUARANTEE = sys.argv[1:7]

app = Application(
    broker_address=BROKER,
    consumer_group=NAME,
    auto_offset_reset="earliest",
    state_dir=FOLDER,
    processing_guarantee=GUARANTEE,
    loglevel="WARNING",
)
beats = app.topic(INPUT, key_deserializer="str", value_deserializer="json")
means = app.topic(OUTPUT, key_serializer="str", value_serializer="json")


def relay(event: dict[str, Any], state: State) -> dict[str, Any]:
    count, total = state.get("mean", (0, 0.0))
    count, total = count + 1, total + event["heart_rate_bpm"]
    state.set("mean", (count, total))
    return {"patient_id": event["patient_id"], "count": count, "mean": total / count}


app.dataframe(beats).apply(relay, stateful=True).to_topic(means)

if __name__ == "__main__":
    app.run()
