"""From a model's file to measures, without torch: windows as serving cuts them, evaluation, the gate, the canary."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.models.measuring import event_id, kept
from tests.models.training.recorded import recorded, stays
from tests.models.training.tiny import write_candidate, write_model
from wardstream.models.bins import MeasurementSet
from wardstream.models.sepsis import LOOK_BACK, SIGNALS, Inputs, Prepared, Who, hourly, prepare, stacked
from wardstream.models.training import card, record, sepsis_gate
from wardstream.models.training import measures as m
from wardstream.models.training.boosting import partial_news2, table
from wardstream.models.training.calibrating import fit
from wardstream.models.training.judging import score_curves
from wardstream.models.training.recipe import ERROR, level
from wardstream.models.training.sepsis import RECIPE
from wardstream.models.training.sepsis_gate import decide
from wardstream.models.training.serving import session
from wardstream.models.training.splits import fingerprint
from wardstream.models.training.stays import Stays
from wardstream.models.training.windows import answer, inputs, labels, to_judge, to_learn

HOUR = 3600.0
REPOSITORY = Path(__file__).resolve().parents[3] / "models" / "repository" / "sepsis"


def quiet(task: str, done: int, of: int, told: str = "") -> None:
    """No progress."""


def sets_of(found: Stays, i: int) -> list[MeasurementSet]:
    return [
        MeasurementSet(hour * HOUR, hour * HOUR, event_id(hour), False, values)
        for hour, row in enumerate(found.rows(i), start=1)
        if (values := {code: float(v) for code, v in zip(SIGNALS, row, strict=True) if not np.isnan(v)})
    ]


def shuffled_after(found: Stays, i: int, hour: int, seed: int = 3) -> Stays:
    """One stay whose rows after an hour are in another order."""
    alone = found.take([i])
    grid = alone.grid.copy()
    grid[hour:] = grid[hour:][np.random.default_rng(seed).permutation(len(grid) - hour)]
    return Stays(alone.ids, alone.starts, grid, alone.label, alone.age, alone.sex)


def models(tmp_path: Path) -> list[Path]:
    """A model made here, and every version in the repository."""
    write_model(tmp_path / "tiny.onnx")
    return [tmp_path / "tiny.onnx", *sorted(REPOSITORY.glob("*/model.onnx"))]


def test_offline_answers_are_what_serving_would_answer(tmp_path: Path) -> None:
    """The same windows, hour by hour, from measurement sets: no skew between training and serving."""
    found = stays(6)
    for path in models(tmp_path):
        run = session(path)
        hours = answer(found, [0, 5], run, lambda done, of: None)
        for place, i in enumerate((0, 5)):
            who = Who(0.0, float(found.age[i]), str(found.sex[i]))
            rows = hours.stay == place
            for hour, logit, answered in zip(hours.hour[rows], hours.logit[rows], hours.answered[rows], strict=True):
                made = prepare(kept(sets_of(found, i)), who, hour * HOUR)
                assert isinstance(made, Prepared) == answered
                if isinstance(made, Prepared):
                    assert run(stacked([made]))[0, made.place] == pytest.approx(logit, abs=1e-5)


def test_shuffling_rows_after_t_changes_no_prediction_up_to_t(tmp_path: Path) -> None:
    found = stays(3)
    for path in models(tmp_path):
        run = session(path)
        for t in (5, 20, 47, 48, 55):
            one, other = found.take([0]), shuffled_after(found, 0, t)
            assert len(one.label) == 60
            before = answer(one, [0], run, lambda done, of: None)
            after = answer(other, [0], run, lambda done, of: None)
            assert before.logit[:t] == pytest.approx(after.logit[:t], abs=1e-6)
            assert np.array_equal(before.answered[:t], after.answered[:t])
            assert not np.allclose(before.logit[t:], after.logit[t:]), "the shuffle did shuffle"


def test_shuffling_changes_no_feature_of_boosting_either() -> None:
    found = stays(3)
    cuts = to_judge(found.take([0]), [0])
    for t in (5, 20, 47):
        one = table(inputs(found.take([0]), cuts[:1]))
        other = table(inputs(shuffled_after(found, 0, t), cuts[:1]))
        assert np.array_equal(one[:, :t], other[:, :t], equal_nan=True)
        assert not np.array_equal(one[:, t:], other[:, t:], equal_nan=True)


def test_variants_see_less() -> None:
    made = inputs(stays(2), to_judge(stays(2), [1]))
    whole, no_clock, no_counts = (table(made, without).shape[-1] for without in ((), ("clock",), ("counts",)))
    assert (whole - no_clock, whole - no_counts) == (1, 2 * len(SIGNALS))


def test_every_hour_is_learnt_once() -> None:
    found = stays(10)
    cuts = to_learn(found, range(10))
    _, counts = labels(found, cuts)
    assert counts.sum() == len(found.label)
    seen = set()
    for cut, row in zip(cuts, counts, strict=True):
        hours = {(cut.stay, cut.first + int(place)) for place in np.flatnonzero(row)}
        assert not hours & seen
        seen |= hours
    assert len(seen) == len(found.label)


def test_windows_are_cut_from_the_grid_that_serving_makes() -> None:
    found = stays(1)
    grid = hourly(sets_of(found, 0), 0.0, 1, 60).astype(np.float32)
    assert np.array_equal(grid, found.rows(0), equal_nan=True)
    assert LOOK_BACK == 48


def test_news2_is_the_score_that_serves() -> None:
    made = Inputs(*(one[:1] for one in inputs(stays(1), to_judge(stays(1), [0]))))
    made.values[0, 3, SIGNALS.index("hr")], made.since[0, 3, :] = 135.0, 48
    made.since[0, 3, SIGNALS.index("hr")] = 0
    assert partial_news2(made)[0, 3] == 3.0
    made.since[0, 3, SIGNALS.index("hr")] = 12
    assert partial_news2(made)[0, 3] == 0.0, "older than a round"


def test_evaluation_with_labels_and_without(tmp_path: Path) -> None:
    data = recorded(120)
    candidate = write_candidate(tmp_path / "candidate")
    found = RECIPE.evaluate(candidate, data, quiet)
    assert found.metrics["counts"]["patients"] == 120
    assert found.metrics["auroc"]["value"] > 0.7
    low, high = found.metrics["auroc"]["interval"]
    assert low < found.metrics["auroc"]["value"] < high
    assert {"male", "female", "hour 7–12"} <= set(found.metrics["groups"])
    assert len(found.rows) == len(data.stays.label)
    silent = Stays(*(getattr(data.stays, n) for n in ("ids", "starts", "grid")),
                   np.full_like(data.stays.label, -1), data.stays.age, data.stays.sex)  # fmt: skip
    bare = RECIPE.evaluate(candidate, data._replace(stays=silent), quiet)
    assert bare.rows == found.rows
    assert "auroc" not in bare.metrics
    assert bare.metrics["answers"]["answered"] == found.metrics["answers"]["answered"]


def test_of_the_data_of_its_training_the_locked_patients_are_left_out_and_the_others_told(tmp_path: Path) -> None:
    data = recorded(120)
    locked = set(RECIPE.locked(data))
    learnt = RECIPE.evaluate(write_candidate(tmp_path / "own", fingerprint(sorted(locked))), data, quiet)
    assert learnt.metrics["learnt_from"] is True
    assert (learnt.metrics["locked_left_out"], learnt.metrics["locked_if_of_training"]) == (len(locked), 0)
    assert {row["patient_id"] for row in learnt.rows} == set(data.stays.ids.tolist()) - locked
    stranger = RECIPE.evaluate(write_candidate(tmp_path / "other"), data, quiet)
    assert stranger.metrics["learnt_from"] is False
    assert (stranger.metrics["locked_left_out"], stranger.metrics["locked_if_of_training"]) == (0, len(locked))
    assert len(stranger.rows) == len(data.stays.label)


def test_the_card_says_how_many_settings_were_tried() -> None:
    made = record.load(Path(__file__).parents[3] / "models" / "repository" / "sepsis" / "1")
    told = msgspec.structs.replace(made, settings={**made.settings, "tried": {"boosting": 4, "recurrent": 3}})
    said = "Settings tried, all on the fold that chooses: boosting 4, recurrent 3; every other"
    assert said in card.card(told)
    assert "Settings tried" not in card.card(made), "its record does not say"


def test_another_contract_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(ValueError, match="no ONNX model"):
        session(tmp_path / "model.onnx")
    with pytest.raises(FileNotFoundError):
        session(tmp_path / "absent.onnx")


def locked_answers(seed: int, skill: float, septic: int = 60, calm: int = 200) -> m.Answers:
    """Answers that are about calibrated when skill is what the labels are made of."""
    rng = np.random.default_rng(seed)
    patient, hour, label, logit, onset = [], [], [], [], []
    for i in range(septic + calm):
        at = 24.0 if i < septic else float("nan")
        for h in range(1, 25):
            truth = i < septic and h >= 18
            patient.append(i)
            hour.append(h)
            label.append(int(truth))
            logit.append(rng.normal(0, 1) + skill * (2 * truth - 1))
        onset.append(at)
    y, x = np.array(label, np.int8), np.array(logit)
    return m.Answers(np.array(patient), np.array(hour), y, fit(y, x).apply(x), np.array(onset))


BETTER, WORSE = locked_answers(1, 1.5), locked_answers(2, 0.3)
WELL = {"look": 1, "parity": 1e-6, "latency_s": 0.01, "inputs_version": sepsis_gate.VERSION}


def test_the_gate_accepts_what_is_better() -> None:
    verdict = decide((BETTER, 0.1), (WORSE, 0.1), **WELL)  # type: ignore[arg-type]
    assert verdict.outcome == "accepted", verdict.reasons
    assert verdict.measured["differences"]["lead_h"]["interval"][0] > 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"parity": 1e-3}, "torch"),
        ({"latency_s": 1.0}, "smaller net"),
        ({"inputs_version": "0"}, "train again"),
    ],
)
def test_the_gate_says_what_to_improve(change: dict[str, object], told: str) -> None:
    verdict = decide((BETTER, 0.1), (WORSE, 0.1), **{**WELL, **change})  # type: ignore[arg-type]
    assert verdict.outcome == "rejected"
    assert any(told in reason for reason in verdict.reasons)


def test_the_gate_rejects_the_same_the_worse_and_the_uncalibrated() -> None:
    for candidate, serving in ((BETTER, BETTER), (WORSE, BETTER)):
        verdict = decide((candidate, 0.1), (serving, 0.1), **WELL)  # type: ignore[arg-type]
        assert verdict.outcome == "rejected"
        assert "not shown to warn earlier" in verdict.reasons[0]
    boastful = BETTER._replace(probability=np.sqrt(BETTER.probability))
    verdict = decide((boastful, 0.1), (WORSE, 0.1), **WELL)  # type: ignore[arg-type]
    assert verdict.outcome == "rejected"
    assert any("calibration" in reason for reason in verdict.reasons)


@pytest.mark.parametrize(
    ("lead", "auroc", "utility", "told"),
    [
        ([0.1, 0.9], [-0.01, 0.02], [-0.1, 0.1], []),
        ([-0.1, 0.9], [-0.01, 0.02], [-0.1, 0.1], ["not shown to warn earlier"]),
        ([0.0, 0.9], [-0.01, 0.02], [-0.1, 0.1], ["not shown to warn earlier"]),
        ([0.1, 0.9], [-0.03, -0.01], [-0.1, 0.1], ["worse in auroc"]),
        ([0.1, 0.9], [-0.01, 0.02], [-0.2, -0.1], ["worse in utility"]),
    ],
)
def test_the_gate_wants_a_lead_beyond_chance_and_nothing_worse(
    lead: list[float], auroc: list[float], utility: list[float], told: list[str]
) -> None:
    found = {"lead_h": lead, "auroc": auroc, "utility": utility}
    reasons = sepsis_gate._better({name: {"difference": sum(i) / 2, "interval": i} for name, i in found.items()})
    assert [reason.split(" than")[0] for reason in reasons] == told


def test_the_gate_blocks_on_too_few_patients() -> None:
    few = locked_answers(1, 1.5, septic=sepsis_gate.FEWEST_ONSETS - 1)
    assert decide((few, 0.1), (few, 0.1), **WELL).outcome == "not_enough_data"  # type: ignore[arg-type]


def test_all_looks_together_stay_below_the_error() -> None:
    assert level(1) == pytest.approx(0.975)
    assert sum(1 - level(n) for n in range(1, 10_000)) < ERROR


def test_the_recipe_judges_the_locked_patients_only(tmp_path: Path) -> None:
    data = recorded(900, 1)
    locked = RECIPE.locked(data)
    assert len(locked) == pytest.approx(180, abs=40)
    serving = write_candidate(tmp_path / "serving", fingerprint(locked), heart=0.0, lactate=0.05, bias=-3.0)
    candidate = write_candidate(tmp_path / "candidate", fingerprint(locked))
    verdict = RECIPE.gate(candidate, serving, data, 1, quiet)
    assert verdict.measured["known_onsets"] <= 60
    assert verdict.measured["differences"]["auroc"]["interval"][0] > 0
    stranger = write_candidate(tmp_path / "stranger", "0" * 64)
    assert RECIPE.gate(stranger, serving, data, 1, quiet).outcome == "not_enough_data"


def test_plots_have_points_where_few_are_found() -> None:
    """Of 100,000 rows a hundredth is positive: even points leave few below a recall of 5 %."""
    rng = np.random.default_rng(1)
    label = (rng.random(100_000) < 0.01).astype(np.int8)
    found = score_curves(label, rng.normal(2.0 * label, 1.0))
    recall, precision = np.array(found["recall"]), np.array(found["precision"])
    assert (recall[0], recall[-1], precision[-1]) == (pytest.approx(0, abs=0.01), 1.0, pytest.approx(label.mean()))
    assert ((recall > 0) & (recall < 0.05)).sum() > 30
    assert np.diff(recall).max() < 0.1
    assert (np.diff(recall) >= 0).all()
    assert found["false_positive_rate"][-1] == 1.0
    assert score_curves(label[:1], np.zeros(1))["recall"] == [0.0]
