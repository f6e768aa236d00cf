"""The schemas as documents: JSON Schema of each topic, and AsyncAPI of all. Pure functions; nothing is written here.

Both are made from the types, so that they say what the decoder does. Checks across fields, which a schema cannot say,
stand in the descriptions.
"""

from typing import Any, Final

import msgspec

from wardstream.schemas.topic import Topic
from wardstream.schemas.topics import TOPICS

JSON_SCHEMA: Final = "https://json-schema.org/draft/2020-12/schema"
ASYNCAPI_VERSION: Final = "3.0.0"
KAFKA_BINDING_VERSION: Final = "0.5.0"

_KEYS: Final = {
    "patient_id": "The patient_id; murmur2 of its UTF-8 gives the partition.",
    "alert_id": "The alert_id. Of alerts about patients the partition is that of who raised it, not of this key.",
    "unit": "The unit; in occupancy.v1 with a tab and the encounter_id behind it, or two tabs and the patient_id.",
    "process": "The process.",
    "notice_id": "Identity of the notice: its two records have the same.",
    "who": "Who did it.",
    "name": "The name.",
}


def json_schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON Schema (2020-12) of each topic's records, by topic name."""
    return {
        topic.name: {
            "$schema": JSON_SCHEMA,
            "$id": f"urn:wardstream:{topic.name}",
            **msgspec.json.schema(topic.type),
        }
        for topic in TOPICS.values()
    }


def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document of all topics.

    Operations are seen from wardstream, as AsyncAPI has it: it receives the inputs and sends the outputs. Servers are
    not named, since every hospital has its own.
    """
    topics = list(TOPICS.values())
    _, schemas = msgspec.json.schema_components(
        [topic.type for topic in topics], ref_template="#/components/schemas/{name}"
    )
    return {
        "asyncapi": ASYNCAPI_VERSION,
        "info": {
            "title": "wardstream",
            "version": "1.0.0",
            "description": "Topics of a real-time stream processor for hospitals; their names carry their version.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {_channel_id(topic): _channel(topic) for topic in topics},
        "operations": {f"{_action(topic)}-{_channel_id(topic)}": _operation(topic) for topic in topics},
        "components": {
            "messages": {topic.type.__name__: _message(topic) for topic in topics},
            "schemas": schemas,
        },
    }


def _channel_id(topic: Topic) -> str:
    return topic.name.replace(".", "-")


def _action(topic: Topic) -> str:
    return "receive" if topic.role == "input" else "send"


def _channel(topic: Topic) -> dict[str, Any]:
    name = topic.type.__name__
    return {
        "address": topic.name,
        "description": topic.description,
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "topicConfiguration": {
                    "cleanup.policy": ["compact" if topic.compacted else "delete"],
                    "retention.ms": -1 if topic.retention_ms is None else topic.retention_ms,
                },
                "bindingVersion": KAFKA_BINDING_VERSION,
            }
        },
    }


def _operation(topic: Topic) -> dict[str, Any]:
    channel = f"#/channels/{_channel_id(topic)}"
    return {
        "action": _action(topic),
        "channel": {"$ref": channel},
        "summary": topic.description,
        "messages": [{"$ref": f"{channel}/messages/{topic.type.__name__}"}],
    }


def _message(topic: Topic) -> dict[str, Any]:
    name = topic.type.__name__
    message: dict[str, Any] = {
        "name": name,
        "title": name,
        "summary": topic.description,
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{name}"},
    }
    if topic.keyed_by != "none":
        message["bindings"] = {
            "kafka": {
                "key": {"type": "string", "description": _KEYS[topic.keyed_by]},
                "bindingVersion": KAFKA_BINDING_VERSION,
            }
        }
    return message
