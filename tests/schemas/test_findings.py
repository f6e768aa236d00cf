"""findings.v1: an answer has what makes it one, an abstention only its reason, and both their caveat."""

from __future__ import annotations

import json
from typing import Any

import pytest

from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.decode import decoder_of
from wardstream.schemas.findings import Finding

decode = decoder_of(Finding)
Examples = dict[str, dict[str, Any]]
NO_ANSWER: dict[str, Any] = dict.fromkeys(("probability", "calibrated_probability", "region", "version"))
BOX = {"left": 0.1, "top": 0.1, "right": 0.4, "bottom": 0.2}


def changed(example: dict[str, Any], changes: dict[str, Any]) -> bytes:
    """The example with these changes; None leaves a field out."""
    return json.dumps({key: value for key, value in (example | changes).items() if value is not None}).encode()


@pytest.mark.parametrize(
    ("changes", "reason", "fields"),
    [
        ({"caveat": None}, "missing_field", ("caveat",)),
        ({"probability": None}, "missing_field", ("probability",)),
        ({"version": None}, "missing_field", ("version",)),
        ({"quality": "degraded"}, "missing_field", ("reason",)),
        ({"quality": "abstained", **NO_ANSWER}, "missing_field", ("reason",)),
        ({"calibrated_probability": 1.2}, "out_of_bounds", ("calibrated_probability",)),
        ({"age_years": 131}, "out_of_bounds", ("age_years",)),
        ({"frame": 0}, "out_of_bounds", ("frame",)),
        ({"region": BOX | {"right": 0.1}}, "inconsistent", ("region",)),
        ({"region": BOX | {"bottom": 1.1}}, "out_of_bounds", ("region.bottom",)),
        ({"saliency_uri": "http://example/x.png"}, "bad_format", ("saliency_uri",)),
        (
            {"quality": "abstained", "reason": "blank"},
            "inconsistent",
            ("quality", "probability", "calibrated_probability", "region"),
        ),
    ],
)
def test_what_is_no_finding(examples: Examples, changes: dict[str, Any], reason: str, fields: tuple[str, ...]) -> None:
    with pytest.raises(BadEvent) as caught:
        decode(changed(examples["findings.v1"], changes))
    assert (caught.value.reason, caught.value.fields) == (reason, fields)


@pytest.mark.parametrize(
    "changes",
    [
        {"quality": "abstained", "reason": "the age is not stated", "reason_code": "age_unknown", **NO_ANSWER},
        {"quality": "degraded", "reason": "an old film"},
        {"calibrated_probability": None, "region": None, "saliency_uri": None},
        {"study_uid": None, "series_uid": None, "instance_uid": None, "location": "lead II"},  # of a signal
    ],
)
def test_what_is_one(examples: Examples, changes: dict[str, Any]) -> None:
    assert decode(changed(examples["findings.v1"], changes)).caveat
