"""Which films the chest model may judge, and what every finding says where a site has widened the ages."""

from __future__ import annotations

import msgspec
import pytest

from wardstream.models.imaging.film import About, Unusable
from wardstream.models.imaging.suitability import Rules, refuse, refuse_stated

GOOD = About(modality="DX", body_part="CHEST", view="PA", age_years=3.0, intent="FOR PRESENTATION")
NOTHING = About()


def code(*sources: About, rules: Rules = Rules()) -> str | None:  # noqa: B008 - frozen
    try:
        refuse(sources, rules)
    except Unusable as unusable:
        return unusable.code
    return None


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"modality": "CT"}, "modality"),
        ({"modality": "CR"}, None),
        ({"modality": None}, "modality_unknown"),
        ({"body_part": "SKULL"}, "body_part"),
        ({"body_part": None}, "body_part_unknown"),
        ({"view": "LL"}, "view"),
        ({"view": "AP"}, None),
        ({"view": None}, "view_unknown"),
        ({"age_years": 0.99}, "age"),
        ({"age_years": 1.0}, None),
        ({"age_years": 5.99}, None),
        ({"age_years": 6.0}, "age"),
        ({"age_years": 44.0}, "age"),
        ({"age_years": None}, "age_unknown"),
        ({"intent": "FOR PROCESSING"}, "for_processing"),
        ({"image_type": ("ORIGINAL", "PRIMARY", "LOCALIZER")}, "localizer"),
        ({"image_type": ("DERIVED", "SECONDARY")}, "localizer"),
        ({"image_type": ("DERIVED", "PRIMARY")}, None),
    ],
)
def test_each_rule(change: dict[str, object], wanted: str | None) -> None:
    about = msgspec.structs.replace(GOOD, **change)
    assert code(about) == code(about, NOTHING) == code(NOTHING, about) == wanted


def test_whatever_anyone_states_must_be_suitable() -> None:
    assert code(GOOD, msgspec.structs.replace(GOOD, age_years=40.0)) == "age"
    assert code(msgspec.structs.replace(GOOD, modality="CT"), GOOD) == "modality"


def test_two_sources_complete_each_other() -> None:
    assert code(About(modality="CR", view="AP"), About(body_part="CHEST", age_years=2.0)) is None


def test_what_is_unknown_may_still_come() -> None:
    refuse_stated((About(modality="DX"),), Rules())
    with pytest.raises(Unusable):
        refuse_stated((About(modality="MR"),), Rules())


def test_a_site_may_widen_the_ages_and_then_says_so() -> None:
    wide = Rules(youngest=0, oldest=17)
    assert code(msgspec.structs.replace(GOOD, age_years=16.5), rules=wide) is None
    assert wide.note is not None
    assert "0–17" in wide.note
    assert "1–5" in wide.note
    assert Rules().note is None
    assert Rules(youngest=2, oldest=4).note is None
