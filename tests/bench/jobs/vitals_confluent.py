"""The real job as a bare loop on confluent-kafka with the same scoring code: state in memory only, at least once.

Arguments: broker, id, input, output.
"""

from __future__ import annotations

import sys
import time

from confluent_kafka import Consumer, Producer

from tests.bench.jobs.scoring import DictRows, decode, score
from wardstream.models.bins import Bins
from wardstream.models.patient import Patient

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
    ward: dict[str, tuple[Patient, Bins]] = {}
    uncommitted, committed = 0, time.monotonic()
    while True:
        messages = consumer.consume(2000, 0.1)
        for message in messages:
            event = decode(message.value())
            if event.patient_id not in ward:
                ward[event.patient_id] = Patient(), Bins(DictRows())
            patient, bins = ward[event.patient_id]
            producer.produce(OUTPUT, score(patient, bins, event), event.patient_id)
        producer.poll(0)
        uncommitted += len(messages)
        if uncommitted and time.monotonic() - committed > COMMIT_EVERY_S:
            producer.flush()
            consumer.commit(asynchronous=True)
            uncommitted, committed = 0, time.monotonic()


if __name__ == "__main__":
    main()
