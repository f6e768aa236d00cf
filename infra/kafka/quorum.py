"""Which broker is the active controller: a DescribeQuorum request, which aiokafka does not have."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import CompactArray, CompactString, Int16, Int32, Int64, Schema, TaggedFields

_DEADLINE_S = 20.0
_REPLICA = (
    ("replica_id", Int32),
    ("log_end_offset", Int64),
    ("last_fetch_timestamp", Int64),
    ("last_caught_up_timestamp", Int64),
    ("tags", TaggedFields),
)


class _DescribeQuorumResponse(Response):  # type: ignore[misc]  # aiokafka brings no types
    API_KEY = 55
    API_VERSION = 1
    SCHEMA = Schema(
        ("error_code", Int16),
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("error_code", Int16),
                        ("leader_id", Int32),
                        ("leader_epoch", Int32),
                        ("high_watermark", Int64),
                        ("current_voters", CompactArray(*_REPLICA)),
                        ("observers", CompactArray(*_REPLICA)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _DescribeQuorumRequestV1(RequestStruct):  # type: ignore[misc]
    API_KEY = 55
    API_VERSION = 1
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _DescribeQuorumResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                ("partitions", CompactArray(("partition", Int32), ("tags", TaggedFields))),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _DescribeQuorum(Request[_DescribeQuorumRequestV1]):  # type: ignore[misc]
    API_KEY = 55

    def build(self, request_struct_class: type[_DescribeQuorumRequestV1]) -> _DescribeQuorumRequestV1:
        return request_struct_class([("__cluster_metadata", [(0, {})], {})], {})


async def quorum_leader(options: dict[str, Any]) -> int:
    """Ask any broker for the node id of the active controller.

    Raises
    ------
    TimeoutError
        No answer in 20 s: no quorum, most likely.
    """
    client = AIOKafkaClient(**options, request_timeout_ms=5000)
    try:
        async with asyncio.timeout(_DEADLINE_S):
            await client.bootstrap()
            while True:
                answer = await client.send(client.get_random_node(), _DescribeQuorum())
                partition = answer.topics[0][1][0] if answer.error_code == 0 else None
                if partition is not None and partition[1] == 0 and partition[2] >= 0:
                    return int(partition[2])
                await asyncio.sleep(0.1)
    finally:
        await client.close()
