"""The id that Kafka gives a topic when it is made: a topic deleted and made again has another.

Positions are offsets in *this* topic; under a new one they mean nothing. aiokafka (0.14.0) stops at version 5 of the
Metadata request and ids came with version 10, so the request is spelt out here, on aiokafka's own connection. It needs
Kafka 3.1 or newer.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Schema, TaggedFields

DEADLINE_S = 10.0
_UNKNOWN_TOPIC = 3
_NO_ID = uuid.UUID(int=0)
_TEXT = CompactString("utf-8")


class _Uuid(AbstractType):  # type: ignore[misc]  # aiokafka brings no types
    """16 bytes, the high ones first."""

    @classmethod
    def encode(cls, value: uuid.UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> uuid.UUID:
        return uuid.UUID(bytes=data.read(16))


class _MetadataResponse(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(("node_id", Int32), ("host", _TEXT), ("port", Int32), ("rack", _TEXT), ("tags", TaggedFields)),
        ),
        ("cluster_id", _TEXT),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", _TEXT),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _MetadataRequestV12(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 12
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("name", _TEXT), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _MetadataRequest(Request[_MetadataRequestV12]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topics: Iterable[str]) -> None:
        self._topics = tuple(topics)

    def build(self, request_struct_class: type[_MetadataRequestV12]) -> _MetadataRequestV12:
        return request_struct_class([(_NO_ID, name, {}) for name in self._topics], False, False, {})


async def topic_ids(
    client: AIOKafkaClient | Mapping[str, Any], topics: Iterable[str], *, deadline_s: float = DEADLINE_S
) -> dict[str, uuid.UUID]:
    """Ask for the ids of topics.

    Parameters
    ----------
    client
        A bootstrapped aiokafka client, or the options to make one that lives as long as the question.
    topics
        Their names.
    deadline_s
        For the whole question, in seconds.

    Returns
    -------
    dict
        Id by name; a topic that does not exist (yet, on the broker that answered) is not in it.

    Raises
    ------
    TimeoutError
        No answer within the deadline.
    aiokafka.errors.KafkaError
        The cluster cannot be reached, or refuses.
    """
    names = list(topics)
    if not names:
        return {}  # no names would ask for all topics
    async with asyncio.timeout(deadline_s):
        if not isinstance(client, Mapping):
            return await _ask(client, names)
        own = AIOKafkaClient(**client)
        try:
            await own.bootstrap()
            return await _ask(own, names)
        finally:
            await own.close()


async def _ask(client: AIOKafkaClient, names: list[str]) -> dict[str, uuid.UUID]:
    node = client.get_random_node()
    if node is None:
        raise KafkaError("the client knows no broker")
    answer = await client.send(node, _MetadataRequest(names))
    found = {}
    for code, name, topic_id, *_ in answer.topics:
        if code == 0:
            found[name] = topic_id
        elif code != _UNKNOWN_TOPIC:
            raise for_code(code)(name)
    return found
