"""The registry and the shape of what it lists."""

import importlib
import re
from typing import get_args

import msgspec
import pytest
from msgspec import inspect

from wardstream.schemas.decode import Message
from wardstream.schemas.envelope import Event
from wardstream.schemas.identities import Identity
from wardstream.schemas.ticks import Tick
from wardstream.schemas.topics import LANE_INPUTS, TOPICS, dead, partitions_of


def test_every_schema_module_with_a_topic_is_found() -> None:
    inputs = {name for name, topic in TOPICS.items() if topic.role != "output"}
    assert (
        set(LANE_INPUTS) | {"operator-answers.v1"}
        == inputs
        >= {"admissions.v1", "labs.v1", "vitals.v1", "outcomes.v1", "ticks.v1"}
    )
    assert TOPICS.keys() - inputs >= {"scores.v1", "predictions.v1", "alerts.v1", "metrics.v1"}
    assert "metrics.v1" not in LANE_INPUTS
    assert [name for name, topic in TOPICS.items() if topic.role == "internal"] == ["findings.v1", "handovers.v1"]


@pytest.mark.parametrize("name", TOPICS)
def test_one_event_one_topic_one_file(name: str) -> None:
    topic = TOPICS[name]
    assert topic.name == name
    module = re.fullmatch(r"([a-z]+(?:-[a-z]+)*)\.v1", name)
    assert module
    assert (
        getattr(importlib.import_module(f"wardstream.schemas.{module[1].replace('-', '_')}"), topic.type.__name__)
        is topic.type
    )
    assert [each.type for each in TOPICS.values()].count(topic.type) == 1


@pytest.mark.parametrize("name", TOPICS)
def test_key_is_a_field(name: str) -> None:
    topic = TOPICS[name]
    assert topic.keyed_by in topic.type.__struct_fields__ or (topic.type is Tick and topic.keyed_by == "none")
    assert issubclass(topic.type, Event) or topic.keyed_by != "patient_id" or topic.type is Identity


def test_partitions() -> None:
    for name in TOPICS:
        own = {"audit.v1": 1, "flow.v1": 1, "metrics.v1": 1, "notices.v1": 1, "occupancy.v1": 4}
        own |= {"training-examples.v1": 1, "risk-models.v1": 1, "model-controls.v1": 1}
        own |= {"alert-policies.v1": 1, "subscriptions.v1": 1, "deliveries.v1": 1}
        own |= {"operator-alerts.v1": 1, "operator-answers.v1": 1}
        assert partitions_of(name, 12) == own.get(name, 12)
    assert partitions_of(dead("vitals.v1"), 12) == 12
    assert dead("vitals.v1") == "vitals.v1.dead"
    with pytest.raises(KeyError):
        partitions_of("nonsense.v1", 12)


def test_retention_is_stated() -> None:
    day = 24 * 3600 * 1000
    assert TOPICS["waveforms.v1"].retention_ms == 2 * day
    assert TOPICS["alerts.v1"].retention_ms == 400 * day
    tables = {name for name, topic in TOPICS.items() if topic.compacted}
    # all other records are events; compaction would lose some
    assert tables == {
        "alert-policies.v1",
        "identities.v1",
        "model-controls.v1",
        "occupancy.v1",
        "risk-models.v1",
        "subscriptions.v1",
    }
    for_ever = {name for name, topic in TOPICS.items() if topic.retention_ms is None}
    assert for_ever == {*tables, "audit.v1"}
    assert all(topic.retention_ms is None or topic.retention_ms >= day for topic in TOPICS.values())


def structs() -> dict[str, inspect.StructType]:
    """Every struct that travels, by name."""
    found: dict[str, inspect.StructType] = {}

    def walk(kind: object) -> None:
        if isinstance(kind, inspect.StructType):
            found[kind.cls.__name__] = kind
            for field in kind.fields:
                walk(field.type)
        for attribute in ("type", "types", "value_type", "item_type"):
            inner = getattr(kind, attribute, ())
            for each in inner if isinstance(inner, tuple) else (inner,):
                if isinstance(each, inspect.Type):
                    walk(each)

    for topic in TOPICS.values():
        walk(inspect.type_info(topic.type))
    return found


@pytest.mark.parametrize("struct", structs().values(), ids=structs().keys())
def test_every_struct_is_frozen_and_every_field_described_and_limited(struct: inspect.StructType) -> None:
    assert struct.cls.__struct_config__.frozen
    assert not struct.cls.__struct_config__.forbid_unknown_fields
    assert struct.cls.__doc__
    for field in struct.fields:
        assert isinstance(field.type, inspect.Metadata), field.name
        assert (field.type.extra_json_schema or {}).get("description", "").endswith("."), field.name
        assert_limited(field.type, field.name)


def assert_limited(kind: inspect.Type, name: str) -> None:
    """No text or collection may be longer than its limit, no time naive."""
    match kind:
        case inspect.Metadata(type=inner):
            assert_limited(inner, name)
        case inspect.UnionType(types=types):
            for each in types:
                assert_limited(each, name)
        case inspect.DictType(key_type=key, value_type=value, max_length=limit):
            assert limit, name
            assert_limited(key, name)
            assert_limited(value, name)
        case inspect.VarTupleType(item_type=item, max_length=limit):
            assert limit, name
            assert_limited(item, name)
        case inspect.StrType(max_length=limit, pattern=pattern):
            assert limit or re.search(r"\{\d+(,\d+)?\}", pattern or ""), name
        case inspect.BytesType(max_length=limit):
            assert limit, name
        case inspect.DateTimeType(tz=tz):
            assert tz, name
        case _:
            assert isinstance(
                kind,
                inspect.FloatType
                | inspect.IntType
                | inspect.BoolType
                | inspect.NoneType
                | inspect.UUIDType
                | inspect.LiteralType
                | inspect.StructType,
            ), name


def test_the_envelope_is_the_same_in_every_event() -> None:
    for topic in TOPICS.values():
        if issubclass(topic.type, Event):
            own = {field.name: field.type for field in msgspec.structs.fields(topic.type)}
            for field in msgspec.structs.fields(Event):
                assert own[field.name] == field.type
        else:
            assert topic.type in get_args(Message)
