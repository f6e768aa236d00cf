"""The learner: judges before it learns, and goes on after a snapshot as if nothing had been."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.risk.rows import examples
from wardstream.models.risk.challenger import Challenger
from wardstream.models.risk.champion import Settings
from wardstream.models.risk.features import SEPSIS, Known
from wardstream.models.risk.learner import Learner, State, StateRefused
from wardstream.models.risk.target import CHALLENGER, CHAMPION, MODELS, SERVED, Target
from wardstream.schemas.outcomes import Kind

NUMBER = 1_500


def learner(seed: int = 5) -> Learner:
    return Learner(Target(), Settings(seed=seed))


def through_text(found: Learner) -> Learner:
    return Learner.restored(msgspec.json.decode(msgspec.json.encode(found.state()), type=State))


def text(found: Learner) -> bytes:
    return msgspec.json.encode(found.state())


@pytest.fixture(scope="module")
def uninterrupted() -> bytes:
    straight = learner()
    for one in examples(NUMBER):
        straight.learn(one)
    return text(straight)


@settings(max_examples=5)
@given(st.lists(st.integers(0, NUMBER), max_size=4))
def test_any_interruptions_leave_the_same_learner(uninterrupted: bytes, stops: list[int]) -> None:
    found = learner()
    for index, one in enumerate(examples(NUMBER)):
        if index in stops:
            found = through_text(found)
        found.learn(one)
    assert text(found) == uninterrupted


def test_another_seed_is_another_learner(uninterrupted: bytes) -> None:
    other = learner(seed=6)
    for one in examples(NUMBER):
        other.learn(one)
    assert text(other) != uninterrupted


def test_it_judges_before_it_learns() -> None:
    """What it says after the first example of a kind does not count for that example."""
    found = learner()
    first = next(examples(1))
    for name in MODELS:
        assert found.answer(first.inputs, name).probability == 0.5
    found.learn(first)
    for name in MODELS:
        assert found.answer(first.inputs, name).probability != 0.5
        assert found.watch[name].start.squares == 0.25


def test_what_was_told_at_the_time_is_judged() -> None:
    found = learner()
    said = {CHAMPION: 0.9, SERVED: 0.9}
    found.learn(msgspec.structs.replace(next(examples(1)), said=said, happened=True))
    assert found.watch[SERVED].start.squares == pytest.approx(0.01)
    assert {found.watch[name].start.squares for name in MODELS} == {0.25}, "by what they say before they learn"
    assert found.paired.better_by()[0] == 0.0, "and compared by that: nobody knew more yet"
    found.learn(next(examples(1)))
    assert found.watch[SERVED].start.count == 1, "nothing was told"


def test_it_learns_and_is_calibrated() -> None:
    found = learner()
    for one in examples(30_000):
        found.learn(one)
    measures = found.watch[CHAMPION].lately()
    assert measures.auroc > 0.75
    assert 0.8 < measures.slope < 1.25
    assert 0.85 < measures.expected < 1.15


def test_contributions_are_the_largest_and_add_up() -> None:
    found = learner()
    for one in examples(3_000):
        found.learn(one)
    inputs = next(examples(1, seed=9)).inputs
    answer = found.answer(inputs)
    assert "news2" in [name for name, _ in answer.contributions[:3]]
    intercept = found.state().champion.intercept
    assert answer.logit == pytest.approx(intercept + sum(added for _, added in answer.contributions))
    sizes = [abs(added) for _, added in answer.contributions]
    assert sizes == sorted(sizes, reverse=True)
    assert "lactate_mmol_per_l" in {name for name, _ in answer.contributions}, "that it is missing adds something"


def begun(kinds: tuple[Kind, ...]) -> Learner:
    """A learner that has learned from hours of which each has the deep model's answer."""
    found = Learner(Target(kinds=kinds), Settings())
    for number, one in enumerate(examples(200)):
        logit = Known(-3.0 if number % 2 else -5.0, 0.0)
        found.learn(msgspec.structs.replace(one, inputs={**one.inputs, SEPSIS: logit}))
    return found


def test_where_sepsis_is_predicted_it_begins_at_the_deep_models_log_odds() -> None:
    found, inputs = begun(("septic_shock", "sepsis_onset")), next(examples(1, seed=9)).inputs
    low, high = (found.answer({**inputs, SEPSIS: Known(logit, 0.0)}) for logit in (-4.0, 1.0))
    assert high.logit - low.logit == pytest.approx(5.0, abs=0.1)
    assert dict(high.contributions)[SEPSIS] == pytest.approx(5.0, abs=0.1), "it is among what the input added"
    assert found.answer(inputs).logit == pytest.approx(low.logit, abs=0.2), "not known: the mean"
    intercept = found.state().champion.intercept
    assert high.logit == pytest.approx(-4.0 + intercept + sum(added for _, added in high.contributions))


@pytest.mark.parametrize("kinds", [("death",), ("death", "sepsis_onset")])
def test_elsewhere_it_begins_at_nothing(kinds: tuple[Kind, ...]) -> None:
    assert begun(kinds).state().champion.begins_at is None


def test_the_deep_model_that_answers_later_does_not_make_risks_vanish() -> None:
    """Neither within the first hours, nor after months without it."""
    for without in (300, 3_000):
        found = Learner(Target(kinds=("sepsis_onset",)), Settings())
        known = list(examples(without + 1_500))
        for number, one in enumerate(known):
            inputs = {name: value for name, value in one.inputs.items() if name != SEPSIS}
            if number >= without:
                inputs[SEPSIS] = Known(-3.0, 0.0)
            found.learn(msgspec.structs.replace(one, inputs=inputs))
        said = [found.answer({**one.inputs, SEPSIS: Known(-3.0, 0.0)}).probability for one in known[-500:]]
        came = sum(one.happened for one in known[-500:]) / 500
        assert 0.4 < sum(said) / 500 / came < 2.5, without


def test_contributions_of_the_challenger_are_what_each_input_changes() -> None:
    found = learner()
    for one in examples(30_000):
        found.learn(one)
    inputs = next(one.inputs for one in examples(99, seed=9) if one.inputs["news2"].value > 8)
    answer = found.answer(inputs, CHALLENGER)
    assert answer.probability != found.answer(inputs).probability
    first, added = answer.contributions[0]
    without = {name: known for name, known in inputs.items() if name != first}
    assert added == pytest.approx(answer.logit - found.answer(without, CHALLENGER).logit)
    assert "news2" in {name for name, _ in answer.contributions}
    assert all(added for _, added in answer.contributions)


def test_who_does_not_answer_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take longer than the answer."""
    found, inputs = learner(), next(examples(1)).inputs
    for one in examples(200):
        found.learn(one)
    expected = found.answer(inputs)

    def say(*_: object) -> None:
        raise AssertionError("asked")

    monkeypatch.setattr(Challenger, "say", say)
    assert found.answer(inputs) == expected
    with pytest.raises(AssertionError, match="asked"):
        found.answer(inputs, CHALLENGER)


def test_answers_change_nothing() -> None:
    found = learner()
    for one in examples(200):
        found.learn(one)
    before = text(found)
    for one in examples(50, seed=9):
        found.answer(one.inputs)
    assert text(found) == before


def test_a_state_of_another_version_is_refused() -> None:
    state = learner().state()
    for wrong in (
        msgspec.structs.replace(state, features="0"),
        msgspec.structs.replace(state, champion=msgspec.structs.replace(state.champion, weights=[0.0])),
        msgspec.structs.replace(state, champion=msgspec.structs.replace(state.champion, begins_at=0)),
        msgspec.structs.replace(state, layers={}),
        msgspec.structs.replace(state, watch={}),
    ):
        with pytest.raises(StateRefused):
            Learner.restored(wrong)


def test_commands_and_workers_start_without_river() -> None:
    """It brings SciPy: a second of each start, for what only the learner and an approved snapshot need."""
    code = "import sys, wardstream.infra.cli, wardstream.infra.worker; assert 'river' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
