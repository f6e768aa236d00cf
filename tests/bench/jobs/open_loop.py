"""Publisher and observer for latency; both in the bench's environment, on the broker's core.

`publish BROKER RATE SECONDS PATIENTS FIRST EVERY_S`: prints "ready", then events of the real job at a fixed rate,
whatever the worker does; the Kafka timestamp of each is when it was *due*, so that a late publisher shows as latency,
never hides it. `observe BROKER NUMBER SECONDS`: prints "ready", reads that many scores `read_committed`, and prints as
JSON the latencies (ms) and how many scores came a second as long as events were published.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from datetime import timedelta
from functools import lru_cache, partial

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from tests.bench.events import rounds
from tests.bench.timeline import came_per_s
from wardstream.schemas.partition import partition_of

PARTITIONS = 4
STEP_S = 0.002  # between two looks at what is due; waiting on the clock in a loop takes the broker's core from it
READY_S = 2.0  # librdkafka asks for its producer id each half a second until the broker it knows has answered
LONG_S = 60.0  # for longer than this events are made as they go, not all before the first


def publish(broker: str, rate: float, seconds: float, patients: int, first: int, every_s: float) -> None:
    place = lru_cache(maxsize=200_000)(partial(partition_of, partitions=PARTITIONS))
    made = rounds(int(rate * seconds), patients, timedelta(seconds=every_s), first)
    ready: Iterable[tuple[str, bytes]] = made if seconds > LONG_S else list(made)
    producer = Producer({"bootstrap.servers": broker, "linger.ms": 1, "acks": "all", "enable.idempotence": True})
    producer.list_topics("vitals.v1")
    time.sleep(READY_S)
    print("ready", flush=True)
    start, latest, number = time.time(), 0.0, 0
    for number, (key, raw) in enumerate(ready, start=1):
        due = start + (number - 1) / rate
        if due > time.time():  # all that was due is on its way: yield the core to the broker for a step
            producer.poll(0)
            time.sleep(max(STEP_S, due - time.time()))
        latest = max(latest, time.time() - due)
        producer.produce("vitals.v1", raw, key, place(key), timestamp=int(due * 1000))
    producer.flush(30)
    print(json.dumps({"latest_ms": latest * 1000, "rate": number / (time.time() - start)}))


def observe(broker: str, number: int, seconds: float) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": broker,
            "group.id": "observer",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 50,
        }
    )
    tps = [TopicPartition("scores.v1", lane) for lane in range(PARTITIONS)]
    for tp in tps:
        tp.offset = _end(consumer, tp)
    consumer.assign(tps)
    consumer.poll(0.2)
    print("ready", flush=True)
    due: list[int] = []
    came: list[float] = []
    deadline = time.monotonic() + seconds
    while len(came) < number and time.monotonic() < deadline:
        messages = consumer.consume(500, 0.002)
        now = time.time() * 1000
        due += [message.timestamp()[1] for message in messages if message.error() is None]
        came += [now] * (len(due) - len(came))
    consumer.close()
    latencies = [at - then for then, at in zip(due, came, strict=True)]
    print(json.dumps({"latencies_ms": latencies, "per_s": came_per_s(due, came)}))


def _end(consumer: Consumer, tp: TopicPartition) -> int:
    for _ in range(20):
        try:
            return int(consumer.get_watermark_offsets(tp, timeout=5)[1])
        except KafkaException:  # a topic just made has no leader yet
            time.sleep(0.5)
    raise TimeoutError(f"{tp.topic} has no leader")


if __name__ == "__main__":
    _, mode, address, *numbers = sys.argv
    if mode == "publish":
        publish(address, float(numbers[0]), float(numbers[1]), int(numbers[2]), int(numbers[3]), float(numbers[4]))
    else:
        observe(address, int(numbers[0]), float(numbers[1]))
