"""Topic ids: what is asked, what an answer means, and an end to waiting. (On a real broker: `test_connected`.)"""

from __future__ import annotations

import asyncio
import socket
import uuid
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaError, TopicAuthorizationFailedError

from wardstream.agents.streams.topic_ids import _MetadataRequest, _MetadataRequestV12, topic_ids

VITALS, LABS = uuid.uuid4(), uuid.uuid4()


class FakeClient:
    """An aiokafka client that knows one broker and gives one answer."""

    def __init__(self, *topics: tuple[Any, ...], silent: bool = False, node: int | None = 1) -> None:
        self._answer = SimpleNamespace(topics=topics)
        self._silent, self._node = silent, node
        self.asked: list[Any] = []

    def get_random_node(self) -> int | None:
        return self._node

    async def send(self, node: int, request: Any) -> Any:
        self.asked.append(request)
        if self._silent:
            await asyncio.sleep(60)
        return self._answer


async def test_ids_by_name() -> None:
    client = FakeClient((0, "vitals", VITALS, False, []), (0, "labs", LABS, False, []))
    assert await topic_ids(client, ["vitals", "labs"]) == {"vitals": VITALS, "labs": LABS}  # type: ignore[arg-type]


async def test_a_topic_that_does_not_exist_is_left_out() -> None:
    client = FakeClient((0, "vitals", VITALS, False, []), (3, "labs", uuid.UUID(int=0), False, []))
    assert await topic_ids(client, ["vitals", "labs"]) == {"vitals": VITALS}  # type: ignore[arg-type]


async def test_any_other_error_is_raised() -> None:
    with pytest.raises(TopicAuthorizationFailedError):
        await topic_ids(FakeClient((29, "vitals", VITALS, False, [])), ["vitals"])  # type: ignore[arg-type]


async def test_no_names_ask_for_nothing() -> None:
    """An empty list would ask for all topics."""
    client = FakeClient()
    assert await topic_ids(client, []) == {}  # type: ignore[arg-type]
    assert client.asked == []


async def test_without_a_broker() -> None:
    with pytest.raises(KafkaError):
        await topic_ids(FakeClient(node=None), ["vitals"])  # type: ignore[arg-type]


async def test_a_broker_that_does_not_answer() -> None:
    with pytest.raises(TimeoutError):
        await topic_ids(FakeClient(silent=True), ["vitals"], deadline_s=0.05)  # type: ignore[arg-type]


async def test_a_cluster_that_is_not_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(KafkaConnectionError):
            await topic_ids({"bootstrap_servers": [address]}, ["vitals"])


def test_the_request_creates_no_topic() -> None:
    request = _MetadataRequest(["vitals"]).build(_MetadataRequestV12)
    assert request.to_object()["allow_auto_topic_creation"] is False
    raw = request.encode()
    assert raw.startswith(b"\x02")  # one topic, in a compact array
    assert b"\x07vitals" in raw
