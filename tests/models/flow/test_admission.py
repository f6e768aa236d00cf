"""Admission at triage: only what triage knows, learns, is calibrated when the share moves, restores from numbers."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tests.models.flow.visits import visits_of
from wardstream.infra.feeds import nhamcs
from wardstream.models.flow.admission import ALLOWED, PRIOR, AdmissionModel, Triage, features
from wardstream.models.flow.judging import judge_admission
from wardstream.models.training.measures import auroc, ece

LATER = ("test", "lab", "med", "drug", "diag", "imag", "xray", "ct", "los", "wait", "dispos", "admi", "died", "order")
PARQUET = "flow/nhamcs_ed_2016_2020.parquet"


def test_the_allow_list_holds_nothing_that_comes_after_triage() -> None:
    assert set(ALLOWED) == {
        *("age_years", "sex", "hour", "weekday", "month", "ambulance", "transferred", "acuity", "pain"),
        *("seen_in_72_h", "temperature_c", "heart_rate_bpm", "respiratory_rate_bpm", "systolic_mmhg"),
        *("diastolic_mmhg", "spo2_percent", "complaints", "conditions"),
    }
    assert not [name for name in ALLOWED if any(name.startswith(word) for word in LATER)]


def test_only_columns_of_triage_are_read() -> None:
    outcome = {"YEAR", "ADMITHOS", "PATWT"}
    after = {
        "WAITTIME",
        "LOV",
        "DIAG1",
        "CBC",
        "EKG",
        "NUMMED",
        "MED1",
        "IVFLUIDS",
        "ADMIT",
        "LOS",
        "TOTDIAG",
        "HDSTAT",
        "INJURY",  # coded from the diagnoses too
    }
    assert not after & set(nhamcs.COLUMNS)
    assert outcome <= set(nhamcs.COLUMNS)


def test_every_feature_has_a_prior_and_what_is_not_known_breaks_nothing() -> None:
    for triage in (Triage(), visits_of(1, 2020)[0].triage):
        found = features(triage)
        assert {name.partition(":")[0] for name, _ in found} <= set(PRIOR)
        assert len({name for name, _ in found}) == len(found)
        assert all(math.isfinite(value) for _, value in found)


def test_it_learns_who_is_admitted() -> None:
    answers = judge_admission([*visits_of(3000, 2019), *visits_of(800, 2020, seed=2)], 2020)
    assert auroc(answers.admitted.astype(np.int8), answers.frozen) > 0.8
    assert ece(answers.admitted.astype(np.int8), answers.frozen) < 0.05


def test_calibration_follows_when_the_share_moves() -> None:
    """Twice as many are admitted in the scored year: frozen says too little, online comes near."""
    answers = judge_admission([*visits_of(2500, 2019), *visits_of(2500, 2020, seed=2, more=1.0)], 2020)
    happened = answers.admitted[1000:].mean()
    assert answers.frozen[1000:].mean() < 0.8 * happened
    assert answers.online[1000:].mean() == pytest.approx(happened, rel=0.1)


def test_a_probability_is_said_before_it_is_learnt() -> None:
    model = AdmissionModel()
    triage = visits_of(1, 2020)[0].triage
    said = model.probability(triage)
    assert model.learn(triage, True) == said
    assert model.probability(triage) > said


def test_a_heavier_visit_teaches_more_and_no_visit_rules() -> None:
    triage = visits_of(1, 2020)[0].triage
    models = [AdmissionModel() for _ in range(3)]
    for model, weight in zip(models, (0.2, 1.0, 1e6), strict=True):
        model.learn(triage, True, weight)
    light, plain, heavy = (model.logistic.logit(features(triage)) for model in models)
    assert light < plain < heavy < 10.0


def test_nhamcs_2020_after_the_years_before(shared_data: Path) -> None:
    """Each fourth visit; on all of them it is 0.851 and 0.844 (`wardstream flow admission`)."""
    for conditions, least in ((True, 0.82), (False, 0.81)):
        visits = nhamcs.visits(shared_data / PARQUET, conditions=conditions, every=4)
        answers = judge_admission(visits, 2020)
        label = answers.admitted.astype(np.int8)
        assert auroc(label, answers.frozen) > least
        assert auroc(label, answers.online) > least
        said = np.average(answers.online, weights=answers.weight)
        assert said == pytest.approx(np.average(answers.admitted, weights=answers.weight), abs=0.015)
