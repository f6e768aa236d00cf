"""A publisher for fault tests: steady load, resends, bad records, and a ledger of what it was told.

    python load.py BOOTSTRAP SECONDS RATE PATIENTS SEED LEDGER

Imports nothing of wardstream: it is an application like any other. Event times grow by patient, so that every vitals
event must lead to exactly one record on scores.v1.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer


def vitals(rng: random.Random, patient: str, now: str) -> dict[str, Any]:
    """A set that is sometimes alarming; it carries all of what the checker recounts, or a part."""
    sick = rng.random() < 0.1
    event: dict[str, Any] = {
        "event_id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        "source": "load",
        "patient_id": patient,
        "observed_at": now,
        "received_at": now,
        "provenance": "device",
        "heart_rate_bpm": float(rng.randint(115, 150) if sick else rng.randint(55, 100)),
        "respiratory_rate_per_min": float(rng.randint(25, 34) if sick else rng.randint(12, 20)),
        "spo2_percent": float(rng.randint(86, 93) if sick else rng.randint(95, 100)),
    }
    if rng.random() < 0.5:
        event |= {
            "systolic_mmhg": float(rng.randint(80, 140)),
            "temperature_celsius": round(rng.uniform(36, 39.5), 1),
            "consciousness": rng.choice("AAAAAV"),
            "supplemental_oxygen": rng.random() < 0.3,
        }
    return event


def other(rng: random.Random, patient: str, now: str) -> tuple[str, dict[str, Any]]:
    """A result or a change of bed."""
    envelope = {
        "event_id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        "source": "load",
        "patient_id": patient,
        "observed_at": now,
        "received_at": now,
    }
    if rng.random() < 0.5:
        return "labs.v1", envelope | {"loinc": "6690-2", "value": round(rng.uniform(3, 20), 1), "unit": "10*3/uL"}
    bed = f"{rng.randint(1, 30)}"
    return "admissions.v1", envelope | {"kind": "transfer", "unit": "ICU", "bed": bed, "age_years": 60.0}


async def run(bootstrap: str, seconds: float, rate: float, patients: int, seed: int, entries: list[Any]) -> None:
    """Publish at a fixed rate; every tenth of a second what is due."""
    rng, resend = random.Random(seed), []
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, linger_ms=5, request_timeout_ms=20_000
    )
    await producer.start()
    waiting: list[tuple[dict[str, Any], asyncio.Future[Any]]] = []
    started, sent = time.monotonic(), 0
    try:
        while (now := time.monotonic() - started) < seconds:
            while sent < now * rate:
                sent += 1
                patient = f"P{rng.randrange(patients):05d}"
                moment = datetime.now(UTC).isoformat()
                topic, event = (
                    ("vitals.v1", vitals(rng, patient, moment)) if rng.random() < 0.85 else other(rng, patient, moment)
                )
                bad = rng.random() < 0.005
                value = b'{"event_id": 7}' if bad else json.dumps(event).encode()
                entry = {"topic": topic, "id": event["event_id"], "patient": patient, "bad": bad, "event": event}
                waiting.append((entry, await producer.send(topic, value, patient.encode())))
                if not bad and rng.random() < 0.02:
                    resend.append((topic, value, patient.encode()))
                if resend and rng.random() < 0.02:  # a publisher that was not told, and sends again
                    await producer.send(resend[0][0], *resend.pop(0)[1:])
            await asyncio.sleep(0.02)
        for entry, future in waiting:
            try:
                await asyncio.wait_for(future, 60)
                entries.append(entry | {"acked": True})
            except Exception:  # noqa: BLE001 - whatever it was, the publisher was not told that it is stored
                entries.append(entry | {"acked": False})
        async with asyncio.timeout(60):
            await producer.flush()
    finally:
        await asyncio.wait_for(producer.stop(), 30)


if __name__ == "__main__":
    ledger: list[Any] = []
    try:
        asyncio.run(
            run(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]), ledger)
        )
    finally:
        Path(sys.argv[6]).write_text("".join(json.dumps(entry) + "\n" for entry in ledger))
