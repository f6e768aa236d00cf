"""One example a topic, valid both for the decoder and for the JSON Schema that is published."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from wardstream.schemas.decode import check, decoder_of, encode
from wardstream.schemas.doc import json_schemas
from wardstream.schemas.topics import TOPICS


def test_every_topic_has_an_example_and_every_example_a_topic(examples_folder: Path) -> None:
    assert {path.name for path in examples_folder.iterdir()} == {f"{name}.json" for name in TOPICS}


@pytest.mark.parametrize("name", TOPICS)
def test_example_decodes_and_survives_a_round_trip(name: str, examples: dict[str, dict[str, Any]]) -> None:
    decode_one = decoder_of(TOPICS[name].type)
    message = decode_one(json.dumps(examples[name]).encode())
    check(message)
    assert decode_one(encode(message)) == message


@pytest.mark.parametrize("name", TOPICS)
def test_example_fits_the_json_schema(name: str, examples: dict[str, dict[str, Any]]) -> None:
    schema = json_schemas()[name]
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(examples[name])
    validator.validate(json.loads(encode(decoder_of(TOPICS[name].type)(json.dumps(examples[name]).encode()))))


@pytest.mark.parametrize("name", TOPICS)
def test_example_names_no_unknown_field(name: str, examples: dict[str, dict[str, Any]]) -> None:
    # Unknown fields are tolerated, so a misspelt one in an example would go unnoticed.
    message = decoder_of(TOPICS[name].type)(json.dumps(examples[name]).encode())
    assert_known(examples[name], msgspec.to_builtins(message), message)


def assert_known(raw: object, decoded: object, message: object) -> None:
    if isinstance(raw, dict) and isinstance(decoded, dict):
        if isinstance(message, msgspec.Struct):
            assert set(raw) <= set(message.__struct_fields__)
            for key in set(raw) & set(decoded):
                assert_known(raw[key], decoded[key], getattr(message, key))
        elif isinstance(message, dict):
            for key, item in zip(raw, message, strict=True):
                assert_known(raw[key], decoded[item], message[item])
    elif isinstance(raw, list) and isinstance(message, tuple) and isinstance(decoded, list | tuple):
        for parts in zip(raw, decoded, message, strict=True):
            assert_known(*parts)


def test_examples_hold_no_null(examples: dict[str, dict[str, Any]]) -> None:
    # An example shows how a message is written: what is not known is left out (a lost sample must be there, as null).
    for name in ("vitals.v1", "labs.v1", "admissions.v1", "notes.v1", "medications.v1"):
        assert None not in examples[name].values()
