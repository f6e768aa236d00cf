"""The independent checker: reads the topics `read_committed` and holds them against what publishers were told.

It imports nothing of wardstream and shares no code with it: it knows the topics, the JSON of the events and outputs,
and the documented rows of the changelog. Run it as a program, or call `check`:

    python checker.py BOOTSTRAP APP_ID LANES LEDGER

The ledger is NDJSON, one line an event that was published: {"topic", "id", "patient", "acked", "bad", "event"}.
The verdict is printed as one JSON object; the exit code is 1 when anything is wrong.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

CODES = {
    "heart_rate_bpm": "hr",
    "respiratory_rate_per_min": "rr",
    "spo2_percent": "spo2",
    "systolic_mmhg": "sbp",
    "temperature_celsius": "temp",
    "consciousness": "acvpu",
    "supplemental_oxygen": "o2",
}


async def read_all(bootstrap: str, topics: list[str], options: dict[str, Any] | None = None) -> dict[str, list[Any]]:
    """Every committed record of some topics, from their beginnings to the ends they have now."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level="read_committed", enable_auto_commit=False, **(options or {})
    )
    async with asyncio.timeout(120):
        await consumer.start()
        try:
            found: dict[str, list[Any]] = {topic: [] for topic in topics}
            for topic in topics:  # a consumer without a subscription knows no partitions
                await consumer._client.add_topic(topic)
            await consumer._client.force_metadata_update()
            partitions = [TopicPartition(t, p) for t in topics for p in consumer.partitions_for_topic(t) or ()]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            begins = await consumer.beginning_offsets(partitions)
            for tp in partitions:
                consumer.seek(tp, begins[tp])
            open_ones = {tp for tp in partitions if begins[tp] < ends[tp]}
            while open_ones:
                for tp, records in (await consumer.getmany(*open_ones, timeout_ms=200, max_records=20_000)).items():
                    found[tp.topic] += records
                open_ones = {tp for tp in open_ones if await consumer.position(tp) < ends[tp]}
            return found
        finally:
            await consumer.stop()


def recount(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Signals and number of measurement sets that the vitals of one patient add up to."""
    signals: dict[str, tuple[str, str, Any]] = {}
    for event in events:
        for field, code in CODES.items():
            if field in event:
                candidate = (event["observed_at"], event["received_at"], event[field])
                if code not in signals or candidate[:2] >= signals[code][:2]:
                    signals[code] = candidate
    return {"values": {code: value for code, (_, _, value) in signals.items()}, "sets": len(events)}


async def check(bootstrap: str, app_id: str, lanes: int, published: list[dict[str, Any]]) -> dict[str, Any]:
    """What is wrong, as counts (all zero when nothing is) with a few examples."""
    sent = {entry["id"]: entry for entry in published if not entry["bad"]}
    acked = {event_id for event_id, entry in sent.items() if entry["acked"]}
    changelog = f"{app_id}-lanes-{lanes}"
    topics = ["vitals.v1", "admissions.v1", "labs.v1", "scores.v1", "alerts.v1", changelog]
    topics += [f"{topic}.dead" for topic in ("vitals.v1", "labs.v1", "admissions.v1")]
    found = await read_all(bootstrap, topics)

    stored: set[str] = set()
    for topic in ("vitals.v1", "labs.v1", "admissions.v1"):
        for record in found[topic]:
            try:
                stored.add(json.loads(record.value)["event_id"])
            except (ValueError, KeyError, TypeError):
                continue
    must = {event_id for event_id in sent if event_id in stored or event_id in acked}

    causes = Counter(json.loads(record.value)["caused_by"] for record in found["scores.v1"])
    scored = {event_id for event_id in must if sent[event_id]["topic"] == "vitals.v1"}
    outputs = Counter(
        (topic, json.loads(record.value)["event_id"]) for topic in ("scores.v1", "alerts.v1") for record in found[topic]
    )
    transitions: dict[str, list[str]] = defaultdict(list)
    for record in found["alerts.v1"]:
        alert = json.loads(record.value)
        transitions[alert["alert_id"]].append(alert["transition"])

    rows: dict[bytes, bytes] = {}
    for record in found[changelog]:
        if record.value is None:
            rows.pop(record.key, None)
        else:
            rows[record.key] = record.value
    by_patient: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event_id in must:
        entry = sent[event_id]
        if entry["topic"] == "vitals.v1":
            by_patient[entry["patient"]].append(entry["event"])
    wrong_state = []
    for patient, events in by_patient.items():
        expected = recount(events)
        row = rows.get(b"p\0" + patient.encode())
        signals = json.loads(row).get("signals", {}) if row else {}
        values = {code: signals[code][0] for code in expected["values"] if code in signals}
        prefix = b"c\0" + patient.encode() + b"\0bin/"
        lines = [json.loads(line) for key, bins in rows.items() if key.startswith(prefix) for line in bins.splitlines()]
        measured = Counter(line[2] for line in lines if set(line[4]) & set(CODES.values()))
        if values != expected["values"] or len(measured) != expected["sets"] or max(measured.values(), default=0) > 1:
            wrong_state.append({"patient": patient, "sets": len(measured), "expected_sets": expected["sets"]})

    bad_sent = Counter(entry["topic"] for entry in published if entry["bad"] and entry["acked"])
    bad_found = {topic: len(found[f"{topic}.dead"]) for topic in ("vitals.v1", "labs.v1", "admissions.v1")}
    verdict = {
        "sent": len(sent),
        "acknowledged": len(acked),
        "lost_by_broker": len(acked - stored),
        "applied": len(scored & set(causes)),
        "lost": len(scored - set(causes)),
        "doubled": sum(count - 1 for event_id, count in causes.items() if event_id in sent and count > 1),
        "outputs_twice": sum(count - 1 for count in outputs.values() if count > 1),
        "raised_twice": sum(1 for steps in transitions.values() if steps.count("raised") != 1),
        "wrong_state": len(wrong_state),
        "dead_letters_missing": sum(max(0, bad_sent[t] - bad_found[t]) for t in bad_found),
        "dead_letters_extra": sum(max(0, bad_found[t] - bad_sent[t]) for t in bad_found),
        "examples": {"wrong_state": wrong_state[:3], "lost": sorted(scored - set(causes))[:3]},
        "patients": len(by_patient),
        "emitted": len(found["scores.v1"]) + len(found["alerts.v1"]),
    }
    verdict["wrong"] = sum(
        verdict[name]
        for name in (
            "lost_by_broker",
            "lost",
            "doubled",
            "outputs_twice",
            "raised_twice",
            "wrong_state",
            "dead_letters_missing",
            "dead_letters_extra",
        )
    )
    return verdict


if __name__ == "__main__":
    lines = [json.loads(line) for line in Path(sys.argv[4]).read_text().splitlines()]
    result = asyncio.run(check(sys.argv[1], sys.argv[2], int(sys.argv[3]), lines))
    print(json.dumps(result))
    sys.exit(1 if result["wrong"] else 0)
