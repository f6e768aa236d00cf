"""`wardstream explain` on a real broker: a worker tells alerts, the log gives the same again, or what it lacks."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from tests.events import WELL, admission, answer, vitals
from tests.reading import read_all
from tests.workers import LANES, WARDSTREAM, Workers, create_topics, worker_environment
from wardstream.infra.feeds.replay import timeline
from wardstream.infra.feeds.run import run_replay
from wardstream.infra.kafka.broker import Cluster
from wardstream.models.alerts.policy_file import DEFAULT, parse_policy
from wardstream.schemas.alerts import Alert
from wardstream.schemas.decode import decoder_of
from wardstream.schemas.partition import partition_of

pytestmark = [pytest.mark.connected, pytest.mark.timeout(400)]

ILL = WELL | {"respiratory_rate_per_min": 26.0, "heart_rate_bpm": 118.0, "spo2_percent": 92.0}
STEPS = ["raised", "escalated", "escalated", "acknowledged", "resolved"]


def test_alerts_are_recomputed_from_the_log_and_what_is_gone_is_said(own_kafka: Cluster, tmp_path: Path) -> None:
    bootstrap, client = ",".join(own_kafka.bootstrap_servers), own_kafka.client_options()
    told = {"CLOCK": "feed", "TOKENS_FILE": str(tmp_path / "tokens.json")}
    environment = worker_environment(own_kafka, tmp_path / "home", **told)
    create_topics(environment)
    command = [WARDSTREAM, "tokens", "add", "op", "--role", "operator"]
    token = (
        subprocess.run(command, env=environment, check=True, timeout=60, capture_output=True).stdout.decode().strip()
    )

    def wardstream(*arguments: str) -> tuple[int, str]:
        asked = environment | {"WARDSTREAM_TOKEN": token}
        ran = subprocess.run([WARDSTREAM, *arguments], env=asked, timeout=120, capture_output=True, check=False)
        return ran.returncode, (ran.stdout + ran.stderr).decode()

    def alerts(number: int) -> list[Alert]:
        """Those of P1, once there are so many."""
        deadline = time.monotonic() + 90
        while True:
            rows = asyncio.run(read_all(bootstrap, ["alerts.v1"]))["alerts.v1"]
            found = sorted((decoder_of(Alert)(row.value) for row in rows), key=lambda one: one.number)
            found = [one for one in found if one.patient_id == "P1" and one.condition == "news2"]
            if len(found) >= number:
                return found
            assert time.monotonic() < deadline, [one.transition for one in found]
            time.sleep(0.5)

    file = tmp_path / "policy.toml"
    file.write_text(DEFAULT.text.replace("after_min = 5 }", "after_min = 4 }"))
    code, said = wardstream("policy", "apply", str(file), "--why", "a trial")
    assert code == 0, said
    workers = Workers(environment, tmp_path)
    try:
        workers.start()
        man = {"age_years": 70.0, "sex": "male", "unit": "4B"}
        first = [
            admission("a", 0, "admit", **man),
            admission("a2", 0, "admit", patient_id="P2", **man),
            vitals("v1", 1, **WELL),
            vitals("v2", 3, **ILL),
            vitals("w2", 3, patient_id="P2", **ILL),
            vitals("w3", 20, patient_id="P2", **WELL),  # P2's minutes have P1's alert escalate
        ]
        asyncio.run(run_replay(client, timeline(first), speed=None))
        raised, *_ = alerts(3)
        rest = [answer("k", 21, raised.alert_id, "acknowledge"), vitals("v3", 30, **WELL)]
        asyncio.run(run_replay(client, timeline(rest), speed=None))
        every = alerts(5)
        assert [one.transition for one in every] == STEPS
        assert {one.policy for one in every} == {parse_policy(file.read_text()).digest}

        for alert in every:
            code, text = wardstream("explain", str(alert.alert_id), "--transition", str(alert.number), "--json")
            assert code == 0, text
            shown: dict[str, Any] = json.loads(text)
            assert shown["same"]
            assert shown["again"] == shown["told"]
            assert not shown["notes"]
            causes = [one for one in shown["inputs"] if one["event_id"] == str(alert.caused_by)]
            assert len(causes) == 1, "its place in the log"
        place = raised.evidence.cause
        assert place is not None
        code, text = wardstream("explain", str(raised.alert_id), "--transition", "1")
        assert code == 0, text
        assert "recomputed: the same" in text
        assert f"policy {raised.policy}" in text
        assert [place.topic, str(place.partition), str(place.offset)] in [
            line.replace("│", " ").split()[:3] for line in text.splitlines()
        ]
        code, text = wardstream("explain", str(raised.alert_id), "--transition", "9")
        assert code == 2
        assert "transitions 1, 2, 3, 4, 5" in text
        code, text = wardstream("explain", "00000000-0000-4000-8000-000000000000")
        assert code == 2
        assert "no such alert" in text

        asyncio.run(forget(bootstrap, "vitals.v1", partition_of("P1", LANES), place.offset + 1))
        code, text = wardstream("explain", str(raised.alert_id), "--transition", "1")
        assert code == 1, text
        assert f"vitals.v1: what was before offset {place.offset + 1} is not kept any more" in text
        assert "what brought it about is not in the log any more" in text
        assert "recomputed: it does not come out" in text
    finally:
        workers.end()


async def forget(bootstrap: str, topic: str, partition: int, before: int) -> None:
    """What retention does."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(topic, partition): RecordsToDelete(before_offset=before)})
    finally:
        await admin.close()
