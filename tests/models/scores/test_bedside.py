"""Oxygen, the SpO2 scales and consciousness, in each way in which a feed may chart them."""

from typing import Any

import msgspec
import pytest

from wardstream.models.scores import Observations, mews, news, news2, qsofa


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        # news2, news, qsofa (no Glasgow Coma Scale known), mews
        ("A", (0, 0, 0, 0)),
        ("C", (3, 0, 1, 0)),
        ("V", (3, 3, 1, 1)),
        ("P", (3, 3, 1, 2)),
        ("U", (3, 3, 1, 3)),
    ],
)
def test_acvpu(well: Observations, level: str, expected: tuple[int, ...]) -> None:
    seen = msgspec.structs.replace(well, consciousness=level, gcs_total=None)
    assert tuple(rule(seen).parts["consciousness"] for rule in (news2, news, qsofa, mews)) == expected


@pytest.mark.parametrize(
    ("total", "expected"),
    [
        (15, (0, 0, 0, 0)),
        (14, (3, 3, 1, 1)),
        (9, (3, 3, 1, 1)),
        (8, (3, 3, 1, 2)),
        (4, (3, 3, 1, 2)),
        (3, (3, 3, 1, 3)),
    ],
)
def test_glasgow_coma_scale_in_place_of_acvpu(well: Observations, total: int, expected: tuple[int, ...]) -> None:
    seen = msgspec.structs.replace(well, consciousness=None, gcs_total=total)
    assert tuple(rule(seen).parts["consciousness"] for rule in (news2, news, qsofa, mews)) == expected


@pytest.mark.parametrize(
    ("eye", "verbal", "motor", "expected"),
    [
        (4, 5, 6, 0),
        (3, 5, 6, 3),
        (4, 4, 6, 3),
        (4, 5, 5, 3),
        (2, None, None, 3),  # one part below its best is enough
        (None, 4, None, 3),
        (None, None, 5, 3),
        (4, None, 6, None),  # intubated: the verbal part is not known, and not taken for best
        (None, None, None, None),
    ],
)
def test_parts_of_the_glasgow_coma_scale(
    well: Observations, eye: int | None, verbal: int | None, motor: int | None, expected: int | None
) -> None:
    seen = msgspec.structs.replace(
        well, consciousness=None, gcs_total=None, gcs_eye=eye, gcs_verbal=verbal, gcs_motor=motor
    )
    for score in (news2(seen), news(seen)):
        assert score.parts.get("consciousness") == expected
        assert ("consciousness" in score.missing) is (expected is None)
    assert qsofa(seen).parts.get("consciousness") == (None if expected is None else expected / 3)


def test_which_of_acvpu_and_glasgow_coma_scale_decides(well: Observations) -> None:
    """The scores made on (A)CVPU go by it, qSOFA, made on the Glasgow Coma Scale, by that."""
    seen = msgspec.structs.replace(well, consciousness="A", gcs_total=13)
    assert [rule(seen).parts["consciousness"] for rule in (news2, news, mews)] == [0, 0, 0]
    assert qsofa(seen).parts["consciousness"] == 1


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({"supplemental_oxygen": True}, 2),
        ({"supplemental_oxygen": False}, 0),
        ({"supplemental_oxygen": False, "fio2_fraction": 0.4}, 0),  # what is charted decides
        ({"supplemental_oxygen": True, "oxygen_device": "room_air"}, 2),
        ({"fio2_fraction": 0.21}, 0),
        ({"fio2_fraction": 0.22}, 2),
        ({"oxygen_flow_l_per_min": 0.0}, 0),
        ({"oxygen_flow_l_per_min": 0.5}, 2),
        ({"oxygen_device": "room_air"}, 0),
        ({"oxygen_device": "nasal_cannula"}, 2),
        ({"oxygen_device": "cpap", "fio2_fraction": 0.21}, 2),
        ({"oxygen_device": "room_air", "oxygen_flow_l_per_min": 2.0}, 2),
        ({}, None),
    ],
)
def test_oxygen(well: Observations, known: dict[str, Any], expected: int | None) -> None:
    seen = msgspec.structs.replace(well, **{"supplemental_oxygen": None, **known})
    for score in (news2(seen), news(seen)):
        assert score.parts.get("supplemental_oxygen") == expected
        assert score.missing == (("supplemental_oxygen",) if expected is None else ())


@pytest.mark.parametrize(
    ("spo2", "expected"), [(83, 3), (85, 2), (87, 1), (92, 0), (92.4, 0), (92.5, None), (99, None)]
)
def test_scale_2_with_oxygen_unknown_scores_only_what_both_columns_agree_on(
    well: Observations, spo2: float, expected: int | None
) -> None:
    score = news2(msgspec.structs.replace(well, spo2_scale_2=True, supplemental_oxygen=None, spo2_percent=spo2))
    assert score.parts.get("spo2_percent") == expected
    assert score.missing == ("supplemental_oxygen",)


@pytest.mark.parametrize("order", [None, False])
def test_scale_2_only_where_ordered(well: Observations, order: bool | None) -> None:
    score = news2(msgspec.structs.replace(well, spo2_scale_2=order, spo2_percent=90))
    assert score.parts["spo2_percent"] == 3
    assert score.complete
    assert news(msgspec.structs.replace(well, spo2_scale_2=True, spo2_percent=90)).parts["spo2_percent"] == 3
