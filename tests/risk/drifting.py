"""`python -m tests.risk.drifting PATH`: how soon a change of the inputs is announced, and how often one that is none.

Patients, each with what was known at hour 6, in random order with return: 3,000 as they are, then as many after
something has changed. A change is announced by the first detector that it concerns; whatever is announced before it is
a false alarm. The loss is left out: it follows the model, not the inputs. PATH is the folder with both sets of the
PhysioNet/CinC Challenge of 2012, patients of that of 2019 (`challenge2019_….tar.gz`), or the examples that a stream has
told (`examples.ndjson.gz` of `tests.risk.streaming`), with the deep model's answers among them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from random import Random
from statistics import median

import orjson

from tests.risk.died2012 import SHOWN_EACH, read
from tests.risk.judging import examples
from tests.risk.patients import Hour, hours
from wardstream.infra.feeds import challenge2019
from wardstream.infra.feeds.records import EPOCH, Tally
from wardstream.models.risk.drift import HOUR_TAKEN, Drift
from wardstream.models.risk.features import Inputs, Known
from wardstream.models.risk.target import Target

PATIENTS = 3_000
SEEDS = 40
Change = Callable[[Inputs], Inputs]


def moved(name: str, by: float) -> Change:
    """A sensor that shows too much."""

    def change(inputs: Inputs) -> Inputs:
        known = inputs.get(name)
        return inputs if known is None else {**inputs, name: Known(known.value + by, known.age_h)}

    return change


CHANGES: dict[str, tuple[Change, float | None]] = {
    "heart rate 10 /min too high": (moved("heart_rate_bpm", 10.0), None),
    "temperature 0.5 °C too high": (moved("temperature_celsius", 0.5), None),
    "systolic pressure 10 mmHg too low": (moved("systolic_mmhg", -10.0), None),
    "case mix: only patients of 65 years and more": (lambda inputs: inputs, 65.0),
}


def judged(known: Sequence[Inputs], change: Change, from_age: float | None, seed: int) -> tuple[int, int | None]:
    """False alarms among the first patients, and how many changed ones came until one was told; None: none was."""
    draw, drift, alarms = Random(seed), Drift(), 0
    for number in range(PATIENTS):
        alarms += bool(drift.take(number, HOUR_TAKEN, 0.0, draw.choice(known)))
    changed = known
    if from_age is not None:
        changed = [one for one in known if "age_years" in one and one["age_years"].value >= from_age]
    for number in range(PATIENTS):
        if drift.take(number, HOUR_TAKEN, 0.0, change(draw.choice(changed))):
            return alarms, number + 1
    return alarms, None


def at_hour(known: Iterable[Hour]) -> list[Inputs]:
    """What was known of each patient at hour 6."""
    return [waiting.inputs for hour in known if (waiting := hour.waiting()).hour == HOUR_TAKEN]


def read_any(path: Path, limit: int | None) -> list[Inputs]:
    """What was known of each patient at hour 6, of whichever source the path is."""
    if path.name.endswith(".ndjson.gz"):
        told = (one for one in examples(path) if one.hour == HOUR_TAKEN)
        return [{name: Known(one.value, one.age_h) for name, one in event.inputs.items()} for event in told]
    if path.is_dir():
        return at_hour(read(path, limit, seed=1)[0])
    target, tally, found = Target(), Tally(), list[Inputs]()
    for number, record in enumerate(challenge2019.records(path, limit)):
        found += at_hour(hours(record.events(EPOCH, tally), target, HOUR_TAKEN))
        if number % SHOWN_EACH == 0:
            print(f"read {number}", file=sys.stderr, flush=True)
    return found


def drifting(inputs: Sequence[Inputs]) -> dict[str, dict[str, object]]:
    """All changes, `SEEDS` times each."""
    found: dict[str, dict[str, object]] = {}
    for name, (change, from_age) in CHANGES.items():
        runs = [judged(inputs, change, from_age, seed) for seed in range(SEEDS)]
        delays = [PATIENTS if delay is None else delay for _, delay in runs]
        found[name] = {
            "median_delay": median(delays),
            "longest_delay": max(delays),
            "not_announced": sum(delay is None for _, delay in runs),
            "false_alarms_in_3000": sum(alarms for alarms, _ in runs) / SEEDS,
        }
        print(name, found[name], file=sys.stderr, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--limit", type=int, help="patients of each set")
    options = parser.parse_args()
    inputs = read_any(options.path, options.limit)
    print(orjson.dumps({"patients": len(inputs)} | drifting(inputs), option=orjson.OPT_INDENT_2).decode())


if __name__ == "__main__":
    main()
