"""What a learner says of itself: gauges, and notices that a kill neither loses nor repeats."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.models.risk.rows import examples
from wardstream.agents import metrics as m
from wardstream.agents.measuring import UP_TO
from wardstream.infra.risk_watch import QUIET, gauges, notices, still_changing
from wardstream.models.risk.champion import Settings
from wardstream.models.risk.drift import Change
from wardstream.models.risk.learner import Learner
from wardstream.models.risk.target import Target

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LATER = datetime(2026, 3, 9, tzinfo=UTC)


def learner(examples_seen: int, *changes: tuple[str, int]) -> Learner:
    found = Learner(Target(), Settings())
    found.examples = examples_seen
    found.changes = [Change(what, example, 80.0, 95.123456) for what, example in changes]
    return found


def test_each_time_of_change_is_one_notice() -> None:
    found = learner(1_000, ("news2", 400), ("log_loss", 500), ("news2", 900))
    told = notices(found, 0, NOW, {})
    assert [(one.reason, one.transition, one.raised_at) for one in told] == [
        ("news2 has changed: mean 80, then 95.12", "raised", NOW),
        ("log_loss has changed: mean 80, then 95.12", "raised", NOW),
    ]
    assert notices(found, 0, NOW, {}) == told, "learned once more, the same is said"
    assert notices(found, 1_000, NOW, {}) == []
    assert notices(found, 450, NOW, {}) == told[1:]
    assert [one.what for one in still_changing(found)] == ["news2", "log_loss"]
    assert len({one.notice_id for one in told}) == 2


def test_it_ends_when_nothing_has_changed_for_long() -> None:
    first = notices(learner(1_000, ("news2", 400)), 0, NOW, {})[0]
    changes = ("news2", 400), ("news2", 900)
    assert notices(learner(900 + QUIET - 1, *changes), 1_000, LATER, {}) == []
    (ended,) = notices(learner(900 + QUIET, *changes), 1_000, LATER, {first.notice_id: NOW})
    assert (ended.notice_id, ended.transition, ended.raised_at, ended.at) == (first.notice_id, "resolved", NOW, LATER)
    assert still_changing(learner(900 + QUIET, *changes)) == []
    assert notices(learner(901 + QUIET, *changes), 900 + QUIET, LATER, {}) == []
    again = notices(learner(1_000 + QUIET, *changes, ("news2", 950 + QUIET)), 900 + QUIET, LATER, {})
    assert [one.transition for one in again] == ["raised"]
    assert again[0].notice_id != first.notice_id


def test_gauges_say_how_good_each_model_is_over_which_time_and_in_which_unit() -> None:
    meters, found = m.Meters(), Learner(Target(), Settings())
    for one in examples(3_000):
        found.learn(one)
    gauges(meters, found, 7, frozen=True)
    shown = dict(meters.series("gauge"))
    assert shown["risk_examples"] == 3_000
    assert (shown["risk_behind"], shown["risk_frozen"]) == (7, 1)
    since = found.watch["logistic"].start.measures()
    assert shown['risk_measure{model="logistic",over="start",measure="auroc"}'] == since.auroc
    assert shown['risk_measure{model="tree",over="unit ICU",measure="brier"}'] > 0
    names = ("auroc", "auprc", "brier", "log_loss", "slope", "ece")
    assert {f'risk_measure{{model="logistic",over="lately",measure="{name}"}}' for name in names} <= shown.keys()
    assert not [name for name in shown if 'model="served"' in name and "auroc" in name], (
        "nothing was told: nothing is said"
    )


def test_calibration_and_course_are_counts_of_what_was_said_lately() -> None:
    meters, found = m.Meters(), Learner(Target(), Settings())
    for one in examples(1_200):
        found.learn(one)
    gauges(meters, found, 0, frozen=False)
    late = found.watch["tree"].late()
    shown = {labels: value for (metric, labels), value in meters.values.items() if metric is m.RISK_CALIBRATION}
    totals = {name: sum(shown["tree", str(edge), name] for edge in UP_TO) for name in ("predictions", "positives")}
    assert totals == {"predictions": late.count, "positives": late.positives}
    course = {
        labels[1:]: value
        for (metric, labels), value in meters.values.items()
        if metric is m.RISK_COURSE and labels[0] == "tree"
    }
    blocks = {block for block, _ in course}
    assert blocks == {"0", "1", "2"}, "1,200 are two whole blocks and a part"
    newest, oldest = found.watch["served"].blocks, found.watch["tree"].blocks[0]
    assert not newest, "nothing was told: nothing is said"
    assert course["2", "log_loss"] == pytest.approx(oldest.losses / oldest.count)
