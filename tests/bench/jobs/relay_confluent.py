"""The relay job as a bare loop on confluent-kafka: batches, state in memory only, at least once.

Arguments: broker, id, input, output.
"""

from __future__ import annotations

import sys
import time

import orjson
from confluent_kafka import Consumer, Producer

BROKER, NAME, INPUT, OUTPUT = sys.argv[1:5]
COMMIT_EVERY_S = 1.0


def main() -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": BROKER,
            "group.id": NAME,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.queue.backoff.ms": 20,  # by its default it stands still for a second when its queue is full
        }
    )
    producer = Producer(
        {
            "bootstrap.servers": BROKER,
            "linger.ms": 5,
            "queue.buffering.max.messages": 1_000_000,
            "partitioner": "murmur2_random",
        }
    )
    consumer.subscribe([INPUT])
    means: dict[str, tuple[int, float]] = {}
    uncommitted, committed = 0, time.monotonic()
    while True:
        messages = consumer.consume(2000, 0.1)
        for message in messages:
            event = orjson.loads(message.value())
            patient = event["patient_id"]
            count, total = means.get(patient, (0, 0.0))
            count, total = means[patient] = count + 1, total + event["heart_rate_bpm"]
            answer = {"patient_id": patient, "count": count, "mean": total / count}
            producer.produce(OUTPUT, orjson.dumps(answer), patient)
        producer.poll(0)
        uncommitted += len(messages)
        if uncommitted and time.monotonic() - committed > COMMIT_EVERY_S:
            producer.flush()
            consumer.commit(asynchronous=True)
            uncommitted, committed = 0, time.monotonic()


if __name__ == "__main__":
    main()
