"""The rig of the transport's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.agents.streams.rig import FakeKafka, Rig
from wardstream.agents.streams import lane as lane_module
from wardstream.agents.streams import transport as transport_module


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeKafka:
    fake = FakeKafka()
    monkeypatch.setattr(lane_module, "LaneProducer", fake.producer)
    monkeypatch.setattr(lane_module, "read_changelog", fake.read_changelog)
    monkeypatch.setattr(transport_module, "topic_ids", fake.topic_ids)
    monkeypatch.setattr(transport_module, "POLL_S", 0.01)
    monkeypatch.setattr(transport_module, "RETRY_S", 0.01)
    return fake


@pytest.fixture
async def rig(fake: FakeKafka) -> AsyncIterator[Rig]:
    rig = Rig(fake)
    yield rig
    await rig.stop()
