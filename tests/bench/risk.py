"""The risk model on one core: how many examples a second it learns, and what a score costs.

The examples are synthetic patient-hours with as many known inputs as a patient in intensive care has; 2 % are positive.
River's own classes are timed on the same examples: what the champion is written as arrays for. Processor time is
counted, so that what else runs on the machine matters less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import exp
from pathlib import Path
from random import Random
from time import process_time
from typing import Any

import orjson
from river import imblearn, linear_model, optim, preprocessing

from wardstream.models.risk.challenger import Challenger
from wardstream.models.risk.champion import Champion, Settings
from wardstream.models.risk.features import COLUMNS, NAMES, SEPSIS, Known, columns
from wardstream.models.risk.learner import Example, Learner, contributions
from wardstream.models.risk.target import Target

KNOWN = 45
NUMBER = 20_000
WARM = 4_000
"""Examples that a tree has grown from before it is timed."""


def risk(repeats: int, save: Path) -> list[dict[str, Any]]:
    """All parts in turn, `repeats` times."""
    results = [{"repeat": repeat} | _once() for repeat in range(repeats)]
    save.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))
    return results


def _once() -> dict[str, float]:
    examples = _examples(NUMBER)
    rows = [columns(one.inputs) for one in examples]
    labels = [one.happened for one in examples]
    dicts = [{COLUMNS[at]: value for at, value in enumerate(row.tolist()) if value == value} for row in rows]
    settings = Settings()
    champion = Champion(len(COLUMNS), settings, COLUMNS.index(SEPSIS))
    tree, whole = Challenger(), Learner(Target(), settings)
    theirs = preprocessing.StandardScaler() | imblearn.RandomOverSampler(
        linear_model.LogisticRegression(optim.AdaGrad(settings.rate)),
        {True: settings.positives, False: 1 - settings.positives},
        seed=0,
    )
    for row, label in zip(rows[:WARM], labels, strict=False):
        tree.learn(row, label)
    for one in examples[:WARM]:
        whole.learn(one)

    def learned(one: Example) -> None:
        row = columns(one.inputs)
        champion.say(row)
        champion.learn(row, one.happened)

    return {
        "champion_us": _each(learned, examples),
        "river_us": _each(lambda pair: theirs.learn_one(*pair), zip(dicts[:5_000], labels, strict=False)),
        "river_score_us": _each(theirs.predict_proba_one, dicts[:5_000]),
        "tree_us": _each(lambda pair: tree.learn(*pair), zip(rows[WARM:9_000], labels[WARM:], strict=False)),
        "learner_us": _each(whole.learn, examples[WARM:9_000]),
        "columns_us": _each(lambda one: columns(one.inputs), examples),
        "champion_score_us": _each(lambda one: contributions(champion.say(columns(one.inputs)).added), examples),
        "tree_score_us": _each(tree.say, rows[:5_000]),
        "answer_us": _each(lambda one: whole.answer(one.inputs), examples[:5_000]),
    }


def _each(call: Callable[[Any], object], items: Iterable[Any]) -> float:
    """Microseconds of processor time a call."""
    listed = list(items)
    begin = process_time()
    for item in listed:
        call(item)
    return (process_time() - begin) / len(listed) * 1e6


def _examples(number: int) -> list[Example]:
    draw, found = Random(1), list[Example]()
    for index in range(number):
        inputs = {
            name: Known(round(draw.gauss(10, 3), 4), round(6 * draw.random(), 2)) for name in draw.sample(NAMES, KNOWN)
        }
        first = inputs.get(NAMES[0], Known(10.0)).value
        happened = draw.random() < 1 / (1 + exp(5 - (first - 10)))
        found.append(Example(patient_id=f"P{index // 24}", hour=index % 24 + 1, inputs=inputs, happened=happened))
    return found


def risk_table(results: list[dict[str, Any]]) -> str:
    """Medians and spread."""
    lines = ["| | µs each (min–max) | a second |", "| --- | --- | --- |"]
    for key, name in _NAMES.items():
        times = sorted(one[key] for one in results)
        middle = times[len(times) // 2]
        lines.append(f"| {name} | {middle:.1f} ({times[0]:.1f}–{times[-1]:.1f}) | {1e6 / middle:,.0f} |")
    return "\n".join(lines)


_NAMES = {
    "champion_us": "champion: score an example, then learn from it",
    "learner_us": "learner: champion and challenger with calibration, measures and drift",
    "river_us": "River's own classes in the champion's place: learn",
    "river_score_us": "River's own classes in the champion's place: score, columns apart",
    "tree_us": "challenger: learn",
    "columns_us": "score: columns from inputs",
    "champion_score_us": "score: champion, from inputs to contributions",
    "tree_score_us": "score: challenger, where it answers; contributions apart",
    "answer_us": "score: all of it, calibrated, with contributions",
}
