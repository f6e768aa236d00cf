"""The rig of the transport's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.agents.streams.rig import FakeKafka, Rig
from wardstream.agents.streams import lane as lane_module
from wardstream.agents.streams import transport as transport_module


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> FakeKafka:
    kafka = FakeKafka()
    monkeypatch.setattr(lane_module, "LaneProducer", kafka.producer)
    monkeypatch.setattr(lane_module, "read_changelog", kafka.read_changelog)
    monkeypatch.setattr(transport_module, "topic_ids", kafka.topic_ids)
    monkeypatch.setattr(transport_module, "POLL_S", 0.01)
    monkeypatch.setattr(transport_module, "RETRY_S", 0.01)
    return kafka


@pytest.fixture
async def rig(kafka: FakeKafka) -> AsyncIterator[Rig]:
    rig = Rig(kafka)
    yield rig
    await rig.stop()
