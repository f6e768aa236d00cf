"""The documents made from the types. Python has no maintained offline validator of AsyncAPI 3: its rules are here."""

import json
from typing import Any

import jsonschema
import pytest

from wardstream.schemas.bounds import BOUNDS
from wardstream.schemas.doc import asyncapi, json_schemas
from wardstream.schemas.topics import TOPICS

Document = dict[str, Any]


@pytest.fixture(scope="module")
def document() -> Document:
    made: Document = json.loads(json.dumps(asyncapi()))  # it is plain JSON
    return made


def references(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [ref for item in value.values() for ref in references(item)]
    if isinstance(value, list):
        return [ref for item in value for ref in references(item)]
    return []


def resolve(document: Document, reference: str) -> Any:
    assert reference.startswith("#/")
    found: Any = document
    for step in reference[2:].split("/"):
        found = found[step.replace("~1", "/").replace("~0", "~")]
    return found


def test_every_reference_resolves(document: Document) -> None:
    found = references(document)
    assert len(found) > 3 * len(TOPICS)
    for reference in found:
        assert resolve(document, reference)


def test_required_members_and_no_others(document: Document) -> None:
    # AsyncAPI 3.0.0, "Schema": fixed fields of each object; anything else must begin with x-.
    assert document["asyncapi"] == "3.0.0"
    assert set(document) == {"asyncapi", "info", "defaultContentType", "channels", "operations", "components"}
    assert {"title", "version"} <= set(document["info"]) <= {"title", "version", "description", "license"}
    assert set(document["components"]) == {"messages", "schemas"}
    for channel in document["channels"].values():
        assert set(channel) == {"address", "description", "messages", "bindings"}
    for operation in document["operations"].values():
        assert set(operation) == {"action", "channel", "summary", "messages"}
    for message in document["components"]["messages"].values():
        assert {"name", "title", "summary", "contentType", "payload"} <= set(message)
        assert set(message) <= {"name", "title", "summary", "contentType", "payload", "bindings"}


def test_channels_and_operations_are_the_topics(document: Document) -> None:
    assert {channel["address"] for channel in document["channels"].values()} == set(TOPICS)
    assert len(document["operations"]) == len(TOPICS)
    for name, operation in document["operations"].items():
        channel = resolve(document, operation["channel"]["$ref"])
        topic = TOPICS[channel["address"]]
        assert operation["action"] == ("receive" if topic.role == "input" else "send")
        assert name.startswith(operation["action"])
        # Messages of an operation are a subset of its channel's, by reference to the channel.
        (message,) = operation["messages"]
        assert message["$ref"].startswith(f"{operation['channel']['$ref']}/messages/")
        assert resolve(document, message["$ref"])["$ref"] == f"#/components/messages/{topic.type.__name__}"


def test_kafka_bindings_say_key_and_retention(document: Document) -> None:
    for channel in document["channels"].values():
        topic = TOPICS[channel["address"]]
        binding = channel["bindings"]["kafka"]
        assert binding["topic"] == topic.name
        policy, kept = (["compact"], -1) if topic.compacted else (["delete"], topic.retention_ms)
        assert binding["topicConfiguration"] == {"cleanup.policy": policy, "retention.ms": kept}
        message = document["components"]["messages"][topic.type.__name__]
        assert ("bindings" in message) == (topic.keyed_by != "none")


def test_payloads_are_the_types(document: Document) -> None:
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["description"]
    assert schemas["Vitals"]["properties"]["heart_rate_bpm"] == {
        "description": "Heart or pulse rate, /min.",
        "anyOf": [{"type": "number", "minimum": 0, "maximum": 400, "x-unit": "/min"}, {"type": "null"}],
        "default": None,
    }
    assert {"event_id", "source", "patient_id", "observed_at", "received_at"} == set(schemas["Vitals"]["required"])


def test_schemas_carry_limits_that_the_decoder_checks_by_itself() -> None:
    envelope = json_schemas()["vitals.v1"]["$defs"]["Vitals"]["properties"]
    assert envelope["patient_id"]["pattern"].startswith("^[A-Za-z0-9]")
    assert "pattern" in envelope["source"]
    for name, bound in BOUNDS.items():
        if name in envelope:
            number = envelope[name]["anyOf"][0]
            assert (number["minimum"], number["maximum"], number["x-unit"]) == (bound.low, bound.high, bound.unit)


def test_each_topic_has_a_schema_with_an_identity_of_its_own() -> None:
    schemas = json_schemas()
    assert set(schemas) == set(TOPICS)
    assert {schema["$id"] for schema in schemas.values()} == {f"urn:wardstream:{name}" for name in TOPICS}
    for schema in schemas.values():
        for reference in references(schema):
            assert resolve(schema, reference)
