"""Operators' alerts on a real broker: a feed falls silent, nobody answers, somebody does, it speaks again; a worker is
killed on the way."""

from __future__ import annotations

import asyncio
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer
from msgspec.structs import replace

from tests.reading import read_all
from tests.workers import APP_ID, WARDSTREAM, create_topics, worker_environment
from wardstream.infra.feeds.pace import FeedPublisher
from wardstream.infra.gateways.auth import add_token
from wardstream.infra.kafka.broker import Cluster
from wardstream.infra.operator_alerts import answer_operator_alert, operator_alerts
from wardstream.schemas.audit import AuditRecord
from wardstream.schemas.decode import decoder_of, encode
from wardstream.schemas.notices import Notice
from wardstream.schemas.operator_alerts import OperatorAlert

pytestmark = [pytest.mark.connected, pytest.mark.timeout(590)]
START = datetime(2026, 3, 2, tzinfo=UTC)
DEADLINE_S = 100


class Desk:
    """A broker, its worker of the group, and who reads and answers."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.client, self._address = cluster.client_options(), ",".join(cluster.bootstrap_servers)
        self._folder = folder
        self._environment = worker_environment(cluster, folder, CLOCK="feed")
        self.running: list[subprocess.Popen[bytes]] = []
        create_topics(self._environment)

    def start(self) -> subprocess.Popen[bytes]:
        log = (self._folder / f"operations{len(self.running)}.log").open("wb")
        command = [WARDSTREAM, "worker", "--group", "operations"]
        self.running.append(subprocess.Popen(command, env=self._environment, stdout=log, stderr=subprocess.STDOUT))
        return self.running[-1]

    def says(self, *words: str) -> str:
        """What `wardstream alerts` says to an operator."""
        tokens = self._folder / "tokens.json"
        if not tokens.exists():
            self._environment["WARDSTREAM_TOKEN"] = add_token(tokens, "m.garcia", ["operator"])
            self._environment["WARDSTREAM_TOKENS_FILE"] = str(tokens)
        command = [WARDSTREAM, "alerts", *words]
        return subprocess.run(
            command, env=self._environment, timeout=60, check=True, capture_output=True, text=True
        ).stdout

    async def tick(self, first: int, last: int) -> None:
        async with FeedPublisher(self._address) as publisher:
            for minute in range(first, last + 1):
                await publisher.publish_tick(START + timedelta(minutes=minute), "simulator")

    async def note(self, notice: Notice) -> None:
        async with AIOKafkaProducer(**self.client) as producer:
            await producer.send_and_wait("notices.v1", encode(notice), str(notice.notice_id).encode(), 0)

    async def told(self, number: int) -> list[OperatorAlert]:
        """All transitions, once there are so many."""
        deadline, found = time.monotonic() + DEADLINE_S, list[OperatorAlert]()
        while len(found) < number and time.monotonic() < deadline:
            records = (await read_all(self._address, ["operator-alerts.v1"]))["operator-alerts.v1"]
            found = [decoder_of(OperatorAlert)(record.value) for record in records]
            await asyncio.sleep(0.2)
        assert len(found) == number, [one.transition for one in found]
        return found

    async def deeds(self) -> list[tuple[str, str, str | None]]:
        records = (await read_all(self._address, ["audit.v1"]))["audit.v1"]
        found = [decoder_of(AuditRecord)(record.value) for record in records]
        return [(one.who, one.what, one.about) for one in found]


async def story(desk: Desk) -> None:
    at = START + timedelta(minutes=1, seconds=30)
    silent = Notice(
        notice_id=uuid4(),
        condition="silent",
        feed="lab",
        transition="raised",
        raised_at=at,
        at=at,
        reason="no message for 60 minutes",
        since=at - timedelta(minutes=60),
    )
    killed = desk.start()
    await desk.tick(0, 1)
    await desk.note(silent)
    await desk.tick(2, 5)
    (raised,) = await desk.told(1)
    assert (raised.condition, raised.subject, raised.state, raised.number) == ("feed_silent", "lab", "raised", 1)
    assert raised.values["silent_min"] in (61.0, 62.0, 63.0, 64.0), "an hour, and what has passed since in the stream"
    killed.kill()
    await desk.tick(6, 40)
    desk.start()
    _, escalated = await desk.told(2)
    assert (escalated.alert_id, escalated.number, escalated.transition) == (raised.alert_id, 2, "escalated")
    assert escalated.observed_at - raised.observed_at == timedelta(minutes=30)
    (shown,) = await operator_alerts(desk.client)
    assert shown == escalated
    listed = await asyncio.to_thread(desk.says, "operators")
    assert all(word in listed for word in ("feed_silent", "lab", "escalated", str(raised.alert_id)))
    for _ in range(2):
        await answer_operator_alert(desk.client, APP_ID, shown, "acknowledge", who="m.garcia", why="on it")
    acknowledged = (await desk.told(3))[-1]
    assert (acknowledged.state, acknowledged.actor, acknowledged.number) == ("acknowledged", "m.garcia", 3)
    assert await desk.deeds() == [("m.garcia", "alert_acknowledged", str(raised.alert_id))] * 2
    at = START + timedelta(minutes=40, seconds=30)
    await desk.note(replace(silent, transition="resolved", at=at, since=None, reason="a message came"))
    await desk.tick(41, 45)
    resolved = (await desk.told(4))[-1]
    assert (resolved.transition, resolved.number) == ("resolved", 4)
    assert await operator_alerts(desk.client) == []
    assert await operator_alerts(desk.client, ended=True) == [resolved]
    said = await asyncio.to_thread(desk.says, "ack", str(raised.alert_id), "--not-useful")
    assert said.startswith("rated: ")
    rated = (await desk.told(5))[-1]
    assert (rated.transition, rated.state, rated.useful, rated.actor) == ("rated", "resolved", False, "m.garcia")


def test_a_silent_feed_is_told_escalated_answered_and_ended(own_kafka: Cluster, tmp_path: Path) -> None:
    desk = Desk(own_kafka, tmp_path)
    try:
        asyncio.run(story(desk))
    finally:
        for one in desk.running:
            if one.poll() is None:
                one.kill()
            one.wait(20)
