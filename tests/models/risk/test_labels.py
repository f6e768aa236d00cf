"""Which label an hour gets, whatever order the reports come in."""

from __future__ import annotations

import random
from itertools import permutations
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.events import admission, at, outcome
from wardstream.models.risk.labels import KEPT_REPORTS, Report, Verdict, is_late, label, report_of, together
from wardstream.models.risk.target import DETERIORATION, Target
from wardstream.models.stay import StayLog
from wardstream.schemas.admissions import Admission
from wardstream.schemas.outcomes import Outcome

HOUR = 60.0  # of `at`, in minutes
TARGET = Target()  # 12 h, and 36 h of grace
ADMIT = admission("admit", 0, "admit", unit="4B", encounter_id="E1")
NOW = 6 * HOUR  # the end of the hour that is labelled


def verdict(*events: Admission | Outcome, hour: float = NOW, target: Target = TARGET) -> Verdict:
    """The label by these events, the same in any order of arrival, with resends, and through the lane's rows."""
    orders = list(permutations(events)) if len(events) <= 4 else [events, events[::-1]]
    found = set()
    for order in orders:
        log, reports = StayLog(), tuple[Report, ...]()
        for event in (*order, *order[:1]):
            if isinstance(event, Admission):
                log.add(event)
            else:
                reports = together((*reports, report_of(event)))
            reports = msgspec.json.decode(msgspec.json.encode(reports), type=tuple[Report, ...])
        found.add(label(at(hour).timestamp(), reports, log, target))
    assert len(found) == 1
    return found.pop()


def leave(minutes: float, disposition: str | None = None, **fields: Any) -> Admission:
    return admission("leave", minutes, "discharge", disposition=disposition, **fields)


def test_who_stays_is_negative() -> None:
    assert verdict(ADMIT) == Verdict("negative", "stayed")
    assert verdict(ADMIT, admission("move", NOW + 5, "transfer", unit="ICU")) == Verdict("negative", "stayed")


@pytest.mark.parametrize("kind", DETERIORATION)
def test_what_comes_within_the_horizon_is_positive(kind: str) -> None:
    for minutes, expected in ((NOW + 1, "positive"), (NOW + 12 * HOUR, "positive"), (NOW + 12 * HOUR + 1, "negative")):
        assert verdict(ADMIT, outcome("o", minutes, kind)).label == expected
    assert verdict(ADMIT, outcome("o", NOW + 1, kind)) == Verdict("positive", "outcome", kind, at(NOW + 1).timestamp())


def test_other_outcomes_do_not_count() -> None:
    assert verdict(ADMIT, outcome("o", NOW + 1, "acute_kidney_injury")).label == "negative"
    assert verdict(ADMIT, outcome("o", NOW + 1, "acute_kidney_injury"),
                   target=Target(kinds=("acute_kidney_injury",))).label == "positive"  # fmt: skip


@pytest.mark.parametrize("minutes", [1, NOW - 1, NOW])
def test_hours_after_the_outcome_are_excluded(minutes: float) -> None:
    assert verdict(ADMIT, outcome("o", minutes, "icu_transfer")) == Verdict("excluded", "after_outcome")
    again = outcome("again", NOW + 1, "death")
    assert verdict(ADMIT, outcome("o", minutes, "icu_transfer"), again).label == "excluded"


def test_an_outcome_of_an_earlier_stay_excludes_nothing() -> None:
    back = admission("back", 3 * HOUR, "admit", unit="4B", encounter_id="E2")
    earlier = outcome("o", HOUR, "icu_transfer")
    assert verdict(ADMIT, leave(2 * HOUR, "home"), back, earlier) == Verdict("negative", "stayed")


def test_the_first_of_several_outcomes_is_told() -> None:
    both = outcome("late", NOW + 9, "death"), outcome("early", NOW + 3, "cardiac_arrest")
    assert verdict(ADMIT, *both) == Verdict("positive", "outcome", "cardiac_arrest", at(NOW + 3).timestamp())


def test_home_alive_is_negative() -> None:
    assert verdict(ADMIT, leave(NOW + HOUR, "home")) == Verdict("negative", "left_home")


@pytest.mark.parametrize("disposition", ["transfer", "hospice", "against_advice", "other", None])
def test_who_leaves_for_elsewhere_is_censored(disposition: str | None) -> None:
    gone = leave(NOW + HOUR, disposition)
    assert verdict(ADMIT, gone) == Verdict("censored", "left_elsewhere")
    assert verdict(ADMIT, gone, outcome("o", NOW + 2 * HOUR, "death")).label == "censored"  # known by chance
    assert verdict(ADMIT, gone, outcome("o", NOW + HOUR / 2, "icu_transfer")).label == "positive"  # it came before
    after = leave(NOW + 13 * HOUR, disposition)
    assert verdict(ADMIT, after).label == "negative"


def test_an_outcome_at_home_counts() -> None:
    assert verdict(ADMIT, leave(NOW + HOUR, "home"), outcome("o", NOW + 2 * HOUR, "death")).label == "positive"


def test_a_death_that_only_the_discharge_tells_of() -> None:
    died = leave(NOW + HOUR, "died")
    assert verdict(ADMIT, died) == Verdict("positive", "outcome", "death", at(NOW + HOUR).timestamp())
    told = outcome("o", NOW + HOUR / 2, "death")
    assert verdict(ADMIT, died, told).at == at(NOW + HOUR / 2).timestamp()
    assert verdict(ADMIT, leave(NOW - 1, "died")).label == "censored"  # nobody was there


def test_a_death_that_is_no_outcome_ends_the_risk() -> None:
    target = Target(kinds=("icu_transfer",))
    dies = outcome("o", NOW + HOUR, "death")
    assert verdict(ADMIT, dies, target=target) == Verdict("negative", "competing_death")
    assert verdict(ADMIT, leave(NOW + HOUR, "died"), target=target) == Verdict("negative", "competing_death")
    assert verdict(ADMIT, outcome("o", NOW - 1, "death"), target=target) == Verdict("excluded", "after_outcome")


def test_an_hour_of_nobody_is_censored() -> None:
    not_there = Verdict("censored", "not_there")
    assert verdict(outcome("o", NOW + 1, "death")) == not_there
    assert verdict(ADMIT, leave(NOW - HOUR, "home", received=NOW + HOUR)) == not_there  # the discharge came late
    assert verdict(ADMIT, admission("undo", NOW + HOUR, "cancel_admit")) == not_there
    assert verdict(ADMIT, admission("undo", NOW + HOUR, "cancel_admit", supersedes="admit")) == not_there


def test_a_discharge_that_was_taken_back_or_corrected() -> None:
    undo = admission("undo", NOW + 2 * HOUR, "cancel_discharge")
    assert verdict(ADMIT, leave(NOW + HOUR, "hospice"), undo) == Verdict("negative", "stayed")
    home = admission(
        "home", NOW + HOUR, "discharge", NOW + 3 * HOUR, disposition="home", status="corrected", supersedes="leave"
    )
    assert verdict(ADMIT, leave(NOW + HOUR, "hospice"), home) == Verdict("negative", "left_home")


def test_who_comes_back_after_leaving_for_elsewhere_stays_censored() -> None:
    back = admission("back", NOW + 2 * HOUR, "admit", unit="4B", encounter_id="E2")
    died = outcome("o", NOW + 3 * HOUR, "death")
    assert verdict(ADMIT, leave(NOW + HOUR, "transfer"), back, died).label == "censored"


def test_a_withdrawn_outcome_counts_no_more() -> None:
    came = outcome("o", NOW + HOUR, "sepsis_onset")
    gone = outcome("x", NOW + HOUR, "sepsis_onset", NOW + 5 * HOUR, status="cancelled", supersedes="o")
    assert verdict(ADMIT, came, gone) == Verdict("negative", "stayed")


@pytest.mark.parametrize(("minutes", "expected"), [(NOW - 5, "excluded"), (NOW + 5, "positive"), (9_999, "negative")])
def test_a_corrected_time_counts(minutes: float, expected: str) -> None:
    came = outcome("o", NOW + HOUR, "sepsis_onset")
    received = max(minutes, NOW + 5 * HOUR)
    corrected = outcome("x", minutes, "sepsis_onset", received, status="corrected", supersedes="o")
    assert verdict(ADMIT, came, corrected).label == expected


def test_a_correction_of_a_correction() -> None:
    first = outcome("a", NOW + HOUR, "death", NOW + HOUR)
    second = outcome("b", NOW + HOUR, "death", NOW + 2 * HOUR, status="cancelled", supersedes="a")
    third = outcome("c", NOW + HOUR, "death", NOW + 3 * HOUR, status="corrected", supersedes="b")
    assert verdict(ADMIT, first, second, third).label == "positive"
    assert verdict(ADMIT, second).label == "negative"  # what it withdraws never came


def test_of_two_that_contradict_each_other_the_later_one_holds() -> None:
    def both(yes: float, no: float, until: float = NOW + 10 * HOUR, since: float | None = None) -> str:
        came = outcome("yes", NOW + HOUR, "sepsis_onset", NOW + yes * HOUR)
        window = None if since is None else at(since)
        not_so = outcome("no", until, "sepsis_onset", NOW + no * HOUR, occurred=False, window_from=window)
        return verdict(ADMIT, came, not_so).label

    assert both(yes=2, no=12) == "negative"
    assert both(yes=13, no=12) == "positive"
    assert both(yes=2, no=12, until=NOW + HOUR / 2) == "positive"  # it speaks of a time before
    assert both(yes=2, no=12, since=NOW + 2 * HOUR) == "positive"  # … or after
    assert both(yes=2, no=12, since=NOW) == "negative"
    other = outcome("no", NOW + 10 * HOUR, "death", NOW + 12 * HOUR, occurred=False)
    assert verdict(ADMIT, outcome("yes", NOW + HOUR, "sepsis_onset"), other).label == "positive"


def test_an_absence_alone_is_no_outcome() -> None:
    absent = outcome("no", NOW + HOUR, "sepsis_onset", occurred=False)
    assert verdict(ADMIT, absent).label == "negative"
    assert verdict(ADMIT, absent, leave(NOW + HOUR / 2, "transfer")).label == "censored"


def test_what_is_late() -> None:
    came = report_of(outcome("o", 0, "death"))
    assert not is_late(came, at(36 * HOUR - 1).timestamp(), TARGET)
    assert is_late(came, at(36 * HOUR).timestamp(), TARGET)
    assert not is_late(report_of(outcome("o", 0, "readmission")), at(99 * HOUR).timestamp(), TARGET)


def test_not_more_is_kept_than_there_is_room_for() -> None:
    many = [report_of(outcome(f"o{index}", index, "death")) for index in range(KEPT_REPORTS + 9)]
    random.Random(1).shuffle(many)
    kept = together(many)
    assert len(kept) == KEPT_REPORTS
    assert min(one.received_at for one in kept) == at(9).timestamp()


@pytest.mark.parametrize(
    "wrong", [{"kinds": ()}, {"kinds": ("flu",)}, {"horizon_h": 0.0}, {"horizon_h": 9e9}, {"grace_h": -1.0}]
)
def test_a_target_that_is_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Target(**wrong)


KINDS = ("death", "icu_transfer", "sepsis_onset", "acute_kidney_injury")


@st.composite
def histories(draw: st.DrawFn) -> list[Admission | Outcome]:
    """A stay with what is reported of it: revisions of what came before, absences, departures."""
    found: list[Admission | Outcome] = [ADMIT]
    named: list[str] = []
    for index in range(draw(st.integers(0, 5))):
        minutes, received = draw(st.integers(0, 1200)), 1200.0 + draw(st.integers(0, 3))
        fields: dict[str, Any] = {"occurred": draw(st.booleans())}
        if named and draw(st.booleans()):
            fields |= {
                "supersedes": draw(st.sampled_from(named)),
                "status": draw(st.sampled_from(("corrected", "cancelled"))),
            }
        found.append(outcome(f"o{index}", minutes, draw(st.sampled_from(KINDS)), received, **fields))
        named.append(f"o{index}")
    if draw(st.booleans()):
        disposition = draw(st.sampled_from(("home", "transfer", "died", None)))
        found.append(leave(draw(st.integers(1, 1200)), disposition))
        if draw(st.booleans()):
            found.append(admission("undo", 1200, "cancel_discharge"))
    return found


@settings(max_examples=200)
@given(histories(), st.randoms(), st.integers(30, 900))
def test_the_order_of_arrival_and_resends_do_not_matter(
    history: list[Admission | Outcome], randomness: random.Random, hour: int
) -> None:
    expected = None
    for _ in range(4):
        order = [*history, *randomness.choices(history, k=2)]
        randomness.shuffle(order)
        log, reports = StayLog(), tuple[Report, ...]()
        for event in order:
            if isinstance(event, Admission):
                log.add(event)
            else:
                reports = together((*reports, report_of(event)))
        found = label(at(hour).timestamp(), reports, log, TARGET)
        expected = expected or found
        assert found == expected


@settings(max_examples=200)
@given(histories(), st.integers(30, 900))
def test_every_hour_has_one_label_that_agrees_with_its_reason(history: list[Admission | Outcome], hour: int) -> None:
    found = verdict(*history, hour=hour)
    reasons = {
        "positive": {"outcome"},
        "negative": {"stayed", "left_home", "competing_death"},
        "censored": {"not_there", "left_elsewhere"},
        "excluded": {"after_outcome"},
    }
    assert found.why in reasons[found.label]
    assert (found.at is not None) == (found.label == "positive")
    if found.at is not None:
        assert at(hour).timestamp() < found.at <= at(hour).timestamp() + TARGET.horizon_s
