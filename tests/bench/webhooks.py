"""From a vital sign to its webhook, on an idle system: a worker, `serve webhooks`, and a receiver of the tests.

Each set of vital signs is of another patient, who is ill, so that each raises an alert at once; they are published at
moments that are drawn, far apart. Counted is from the call that publishes to the moment in which the receiver has read
the request and verified its signature. Broker, publisher and receiver share a core, worker and webhooks the other. It
takes two and a half minutes.
"""

from __future__ import annotations

import asyncio
import os
import time
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import orjson

from tests.bench.broker import PARTITIONS
from tests.bench.latency import await_lanes
from tests.bench.running import OURS, running
from tests.bench.timeline import quantile
from tests.webhooks import SECRET, Got, Receiver, Reply
from tests.workers import APP_ID, create_topics, worker_environment
from wardstream.client import Publisher
from wardstream.infra.kafka.broker import Cluster
from wardstream.infra.subscriptions import Change, Secrets, change
from wardstream.schemas.subscriptions import Subscription, Wanted, Webhook
from wardstream.schemas.vitals import Vitals

NUMBER = 300
WARM_UP = 10
APART_S = (0.2, 0.6)
_KEY = bytes(range(32))
_PATIENCE_S = 60.0


def webhooks(cluster: Cluster, folder: Path, number: int, save: Path) -> dict[str, Any]:
    """Publish `number` sets, one at a time, after some to warm up."""
    folder.mkdir(parents=True, exist_ok=True)
    allowed = {"DELIVERY_KEY": b64encode(_KEY).decode(), "WEBHOOK_NETWORKS": '["127.0.0.1/32"]'}
    env = worker_environment(cluster, folder / "home", **allowed)
    create_topics(env)
    came: dict[str, float] = {}

    def take(got: Got) -> Reply:
        came.setdefault(got.body["patient_id"], time.time())
        return Reply(204)

    receiver, load = Receiver(take), os.getloadavg()[0]
    try:
        asyncio.run(_subscribe(cluster, receiver.url))
        command, log = OURS.parent / "wardstream", folder / "worker.log"
        with running([command, "worker", "--log-level", "info"], log, env):
            await_lanes(log, PARTITIONS)
            with running([command, "serve", "webhooks"], folder / "webhooks.log", env):
                asyncio.run(_sent(cluster, receiver, "warm", WARM_UP))
                due = asyncio.run(_sent(cluster, receiver, "ill", number))
    finally:
        receiver.close()
    took = sorted((came[patient] - at) * 1000 for patient, at in due.items())
    found = {
        "sent": len(due),
        "forged": receiver.forged,
        "again": sum(got.times > 1 for got in receiver.got),
        "load": load,
        "p50_ms": quantile(took, 0.5),
        "p95_ms": quantile(took, 0.95),
        "p99_ms": quantile(took, 0.99),
        "most_ms": took[-1],
    }
    save.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    return found


def webhooks_table(found: dict[str, Any]) -> str:
    """The figures; a signature that did not hold, or a second post, is marked."""
    lines = ["| webhooks | p50 ms | p95 ms | p99 ms | most ms | load before |", "| --- | --- | --- | --- | --- | --- |"]
    times = " | ".join(f"{found[name]:.0f}" for name in ("p50_ms", "p95_ms", "p99_ms", "most_ms"))
    lines.append(f"| {found['sent']:,} | {times} | {found['load']:.1f} |")
    if found["forged"] or found["again"]:
        lines.append(f"\n**{found['forged']} with a wrong signature, {found['again']} posted again**")
    return "\n".join(lines)


async def _subscribe(cluster: Cluster, url: str) -> None:
    now = datetime.now(UTC)
    hook = Webhook(url=url, secret=Secrets([_KEY]).seal("pager", SECRET))
    wanted = Wanted(transitions=("raised",), conditions=("news2",))
    row = Subscription(name="pager", at=now, made_at=now, who="bench", webhook=hook, wanted=wanted)
    options = {"bootstrap_servers": list(cluster.bootstrap_servers)}
    await change(options, APP_ID, "bench", "bench", lambda table, at: Change("pager", row, "subscription_made"))


async def _sent(cluster: Cluster, receiver: Receiver, name: str, number: int) -> dict[str, float]:
    """When each patient's set was published, once all have come back."""
    draw, due = Random(name), dict[str, float]()
    async with Publisher(cluster.bootstrap_servers[0], linger_s=0.0) as publisher:
        for index in range(number):
            now, patient = datetime.now(UTC), f"{name}-{index}"
            ill = Vitals(
                event_id=uuid4(),
                source="bench",
                patient_id=patient,
                observed_at=now,
                received_at=now,
                respiratory_rate_per_min=28,
                spo2_percent=88,
                heart_rate_bpm=135,
                systolic_mmhg=85,
            )
            due[patient] = time.time()
            await publisher.publish(ill)
            await asyncio.sleep(draw.uniform(*APART_S))
    await asyncio.to_thread(
        receiver.wait, lambda got: due.keys() <= {one.body["patient_id"] for one in got}, _PATIENCE_S
    )
    return due
