"""Whatever the bytes are: a message, or `BadEvent`. About two thousand of them, a few seconds."""

import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wardstream.schemas.bad_event import REASONS, BadEvent
from wardstream.schemas.decode import decoder_of, encode
from wardstream.schemas.topics import TOPICS

EXAMPLES = {
    name: json.loads((Path(__file__).resolve().parents[2] / "schemas" / "examples" / f"{name}.json").read_text())
    for name in TOPICS
}
RAW = {name: json.dumps(example).encode() for name, example in EXAMPLES.items()}
QUICK = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}

topics = st.sampled_from(sorted(TOPICS))
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(10**400), max_value=10**400)
    | st.floats()
    | st.text(max_size=20)
    | st.text(alphabet=st.characters(categories=["Cs", "Cc", "Zl"]), max_size=3)
    | st.sampled_from(
        ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "2026-01-01T00:00:60Z", "2026-02-30T00:00:00Z"]
    )
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)


def assert_message_or_bad_event(name: str, raw: bytes) -> None:
    decode_one = decoder_of(TOPICS[name].type)
    try:
        message = decode_one(raw)
    except BadEvent as error:
        bad = error
    else:
        assert decode_one(encode(message)) == message
        return
    assert bad.reason in REASONS
    assert bad.__context__ is None


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in items for place in places(item, (*path, key)))]


PLACES = {name: [place for place in places(example) if place] for name, example in EXAMPLES.items()}


@settings(max_examples=400, **QUICK)
@given(topics, st.binary(max_size=400))
def test_random_bytes(name: str, raw: bytes) -> None:
    assert_message_or_bad_event(name, raw)


@settings(max_examples=300, **QUICK)
@given(topics, anything)
def test_random_json(name: str, value: object) -> None:
    assert_message_or_bad_event(name, json.dumps(value).encode())


@settings(max_examples=600, **QUICK)
@given(st.data())
def test_examples_with_other_values(data: st.DataObject) -> None:
    name = data.draw(topics)
    message = json.loads(RAW[name])
    for place in data.draw(st.lists(st.sampled_from(PLACES[name]), min_size=1, max_size=3)):
        target = message
        try:
            for key in place[:-1]:
                target = target[key]
            target[place[-1]] = data.draw(anything)
        except (LookupError, TypeError):
            continue  # an earlier change took this place away
    assert_message_or_bad_event(
        name, json.dumps(message, ensure_ascii=data.draw(st.booleans())).encode(errors="surrogatepass")
    )


@settings(max_examples=700, **QUICK)
@given(topics, st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 3), st.binary(max_size=6)), max_size=4))
def test_examples_with_other_bytes(name: str, changes: list[tuple[int, int, bytes]]) -> None:
    raw = bytearray(RAW[name])
    for at, cut, put in changes:
        at %= len(raw) + 1
        raw[at : at + cut] = put
    assert_message_or_bad_event(name, bytes(raw))
