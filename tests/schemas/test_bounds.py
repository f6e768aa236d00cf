"""Impossible is refused, extreme is kept and named."""

import json
from typing import Any

import pytest

from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.bounds import BOUNDS, LAB_BOUNDS, extremes
from wardstream.schemas.decode import decode
from wardstream.schemas.topics import TOPICS
from wardstream.schemas.vitals import Vitals

Examples = dict[str, dict[str, Any]]
VITAL_BOUNDS = [name for name in BOUNDS if name in Vitals.__struct_fields__]


def test_limits_are_ordered_and_have_reasons() -> None:
    for bound in (*BOUNDS.values(), *LAB_BOUNDS.values()):
        assert bound.low <= bound.extreme_low < bound.extreme_high <= bound.high
        assert bound.unit
        assert bound.reason


def test_every_bound_belongs_to_a_field_and_every_vital_number_has_one() -> None:
    fields = {field for topic in TOPICS.values() for field in topic.type.__struct_fields__}
    assert set(BOUNDS) <= fields
    units = ("_bpm", "_min", "_percent", "_fraction", "_mmhg", "_celsius", "_ml", "_h", "_kg")
    assert {name for name in Vitals.__struct_fields__ if name.endswith(units)} <= set(BOUNDS)


def vitals_with(examples: Examples, name: str, value: float) -> bytes:
    envelope = {key: value for key, value in examples["vitals.v1"].items() if key not in BOUNDS}
    return json.dumps({**envelope, name: value}).encode()


@pytest.mark.parametrize("name", VITAL_BOUNDS)
def test_limits_are_inclusive(name: str, examples: Examples) -> None:
    bound = BOUNDS[name]
    step = 1 if name.startswith("gcs") else 0.001
    for inside in (bound.low, bound.high):
        decode("vitals.v1", vitals_with(examples, name, inside))
    for outside in (bound.low - step, bound.high + step):
        with pytest.raises(BadEvent) as caught:
            decode("vitals.v1", vitals_with(examples, name, outside))
        assert (caught.value.reason, caught.value.fields) == ("out_of_bounds", (name,))


@pytest.mark.parametrize("name", VITAL_BOUNDS)
def test_extremes_are_kept_and_named(name: str, examples: Examples) -> None:
    bound = BOUNDS[name]
    for value in (bound.low, bound.extreme_low, bound.extreme_high, bound.high):
        event = decode("vitals.v1", vitals_with(examples, name, value))
        expected = () if bound.extreme_low <= value <= bound.extreme_high else (name,)
        assert extremes(event) == expected


def test_several_extremes_in_the_order_of_the_fields(examples: Examples) -> None:
    examples["vitals.v1"] |= {"systolic_mmhg": 40, "diastolic_mmhg": 30, "heart_rate_bpm": 230}
    assert extremes(decode("vitals.v1", json.dumps(examples["vitals.v1"]).encode())) == (
        "heart_rate_bpm",
        "systolic_mmhg",
    )


@pytest.mark.parametrize(
    ("loinc", "unit", "value", "expected"),
    [
        ("2823-3", "mmol/L", 4.1, ()),
        ("2823-3", "mmol/L", 8.2, ("value",)),
        ("2823-3", "mmol/L", 400, None),
        ("2823-3", "mg/dL", 400, ()),
        ("2744-1", "[pH]", 6.7, ("value",)),
        ("2744-1", "[pH]", 74, None),
        ("99999-9", "mmol/L", -1e9, ()),
    ],
)
def test_labs(loinc: str, unit: str, value: float, expected: tuple[str, ...] | None, examples: Examples) -> None:
    raw = json.dumps({**examples["labs.v1"], "loinc": loinc, "unit": unit, "value": value}).encode()
    if expected is None:
        with pytest.raises(BadEvent, match="out_of_bounds: value"):
            decode("labs.v1", raw)
    else:
        assert extremes(decode("labs.v1", raw)) == expected


@pytest.mark.parametrize("name", ["vitals.v1", "labs.v1", "admissions.v1", "ticks.v1", "alerts.v1"])
def test_examples_have_no_extremes(name: str, examples: Examples) -> None:
    assert extremes(decode(name, json.dumps(examples[name]).encode())) == ()
