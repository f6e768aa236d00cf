"""`python -m tests.risk.died2012 DIR`: death in hospital, learned online, against a batch logistic regression.

The stays of the PhysioNet/CinC Challenge 2012, one after another over simulated years, in random order within each set,
the sets one after the other. Each hour of the 48 that are recorded is predicted from; its label becomes known on the
day of death or discharge, and is told at the end of the horizon, which is as long as the longest stay. What is judged
is what was said at the time, over the hours of the final half of the patients. The batch regression is fitted to all
hours of the first half of the patients, with the labels that the online model had to wait for.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np
import orjson

from tests.risk.batch import BatchRegression
from tests.risk.patients import Hour, hours, in_order
from wardstream.infra.feeds import challenge2012
from wardstream.infra.feeds.archive import texts
from wardstream.infra.feeds.records import EPOCH, Record, Tally
from wardstream.models.risk.champion import Settings
from wardstream.models.risk.features import COLUMNS, columns
from wardstream.models.risk.learner import Example, Learner
from wardstream.models.risk.platt import probability
from wardstream.models.risk.prequential import Tally as Counts
from wardstream.models.risk.target import CHAMPION, SERVED, Target
from wardstream.models.training.measures import auroc
from wardstream.schemas.admissions import Admission
from wardstream.schemas.envelope import Event
from wardstream.schemas.outcomes import Outcome
from wardstream.schemas.output_id import output_id

SETS = ("challenge2012_set-a.tar.gz", "challenge2012_set-b.tar.gz")
HOURS = 48
APART = timedelta(hours=8.76)  # a thousand stays a year
BOOTSTRAPS = 200
SHOWN_EACH = 200


def days_in_hospital(path: Path) -> dict[str, tuple[int, bool]]:
    """Length of stay in days, and whether the patient died, by record; only where the length is recorded."""
    found = texts(path, lambda names: [name for name in names if name.startswith("Outcomes")])
    rows = [row for text in found.values() for row in csv.DictReader(io.StringIO(text.decode("ascii")))]
    return {
        row["RecordID"]: (int(row["Length_of_stay"]), row["In-hospital_death"] == "1")
        for row in rows
        if int(row["Length_of_stay"]) > 0
    }


def stay(record: Record, number: int, days: int, died: bool) -> Iterator[Event]:
    """The events of a stay up to the day on which the patient died or went home."""
    start = EPOCH + number * APART
    end = start + timedelta(days=days)
    admitted: Event | None = None
    for event in record.events(start, Tally()):
        if isinstance(event, Outcome) or (isinstance(event, Admission) and event.kind == "discharge"):
            continue  # the record's own end, after 48 h
        admitted = admitted or event
        end = max(end, event.received_at + timedelta(minutes=1))
        yield event
    assert isinstance(admitted, Admission)
    about: dict[str, Any] = {name: getattr(admitted, name) for name in ("source", "patient_id", "encounter_id")}
    about |= {"observed_at": end, "received_at": end}
    if died:
        yield Outcome(event_id=output_id(admitted.event_id, "death"), kind="death", **about)
    disposition = "died" if died else "home"
    yield Admission(
        event_id=output_id(admitted.event_id, "discharge"), kind="discharge", disposition=disposition, **about
    )


def read(folder: Path, limit: int | None, seed: int) -> tuple[list[Hour], Target, dict[str, int]]:
    """All hours of all stays, the target, and the number of each patient in the order of arrival."""
    arrivals: list[tuple[Record, int, bool]] = []
    for name in SETS:
        path = folder / name
        known = days_in_hospital(path)
        found = [record for record in challenge2012.records(path, limit) if record.id in known]
        Random(seed).shuffle(found)
        arrivals += [(record, *known[record.id]) for record in found]
    longest = max(max(days for _, days, _ in arrivals), HOURS // 24) + 1
    target = Target(name="death_in_hospital", kinds=("death",), horizon_h=24.0 * longest, grace_h=24.0)
    numbers, seen = dict[str, int](), list[Hour]()
    for number, (record, days, died) in enumerate(arrivals):
        mine = hours(stay(record, number, days, died), target, HOURS)
        for hour in mine:
            numbers[hour.patient_id] = number
        seen += mine
        if number % SHOWN_EACH == 0:
            print(f"read {number} of {len(arrivals)}", file=sys.stderr, flush=True)
    return seen, target, numbers


def streamed(
    known: Sequence[Hour], target: Target, settings: Settings
) -> tuple[Learner, dict[tuple[str, float], float]]:
    """The stream: what each hour was told at its time, and the learner at the end."""
    learner, said = Learner(target, settings), dict[tuple[str, float], float]()
    for done, moment in enumerate(in_order(known)):
        hour = moment.hour
        if not moment.is_told:
            said[hour.patient_id, hour.at] = learner.answer(hour.waiting().inputs).probability
        elif hour.label in ("positive", "negative"):
            waiting = hour.waiting()
            learner.learn(
                Example(
                    patient_id=hour.patient_id,
                    hour=waiting.hour,
                    inputs=waiting.inputs,
                    happened=hour.label == "positive",
                    unit=waiting.unit,
                    said={SERVED: said[hour.patient_id, hour.at]},
                )
            )
        if done % 20_000 == 0:
            print(f"streamed {done} of {2 * len(known)}", file=sys.stderr, flush=True)
    return learner, said


def compared(known: Sequence[Hour], numbers: dict[str, int], said: dict[tuple[str, float], float]) -> dict[str, Any]:
    """Measures over the final half of the patients, of the online models and of the batch regression."""
    used = [hour for hour in known if hour.label in ("positive", "negative")]
    half = (max(numbers.values()) + 1) // 2
    rows = np.stack([columns(hour.waiting().inputs) for hour in used]).astype(np.float32)
    label = np.array([hour.label == "positive" for hour in used])
    number = np.array([numbers[hour.patient_id] for hour in used])
    final = number >= half
    batch = BatchRegression(rows[~final], label[~final]).say(rows[final])
    answers = {CHAMPION: np.array([said[hour.patient_id, hour.at] for hour in used])[final]}
    answers["batch"] = np.array([probability(float(logit)) for logit in batch])
    truth, patients = label[final], number[final]
    return {
        "patients": len(np.unique(patients)),
        "hours": int(final.sum()),
        "positive": int(truth.sum()),
        "censored_or_excluded": len(known) - len(used),
        "models": {name: _measures(answer, truth) for name, answer in answers.items()},
        "less_than_batch": _difference(answers["batch"], answers[CHAMPION], truth, patients),
        "at_hour_48": _last(
            answers, truth, [hour.waiting().hour for hour, yes in zip(used, final, strict=True) if yes]
        ),
    }


def _measures(answer: Any, truth: Any) -> dict[str, float]:
    counts = Counts()
    for one, happened in zip(answer.tolist(), truth.tolist(), strict=True):
        counts.add(one, happened)
    exact = auroc(truth.astype(np.int8), answer)
    return {**counts.measures()._asdict(), "auroc": exact}


def _difference(batch: Any, online: Any, truth: Any, patients: Any) -> dict[str, float]:
    """AUROC of the batch less that of the online model, with an interval over patients."""
    labels, rng = truth.astype(np.int8), np.random.default_rng(0)
    _, place = np.unique(patients, return_inverse=True)
    drawn = []
    for _ in range(BOOTSTRAPS):
        weight = np.bincount(rng.integers(0, place.max() + 1, place.max() + 1), minlength=place.max() + 1)[place]
        drawn.append(auroc(labels, batch, weight * 1.0) - auroc(labels, online, weight * 1.0))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {"difference": auroc(labels, batch) - auroc(labels, online), "low": float(low), "high": float(high)}


def _last(answers: dict[str, Any], truth: Any, hour: Sequence[int]) -> dict[str, float]:
    last = np.array(hour) == HOURS
    return {name: auroc(truth[last].astype(np.int8), answer[last]) for name, answer in answers.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, help="patients of each set")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=Settings().rate)
    parser.add_argument("--save", type=Path)
    options = parser.parse_args()
    known, target, numbers = read(options.folder, options.limit, options.seed)
    settings = Settings(seed=options.seed, rate=options.rate)
    learner, said = streamed(known, target, settings)
    found = {"target": msgspec.to_builtins(target), "settings": msgspec.to_builtins(settings)}
    found |= {"examples": learner.examples, "columns": len(COLUMNS), **compared(known, numbers, said)}
    found["snapshot_bytes"] = len(msgspec.json.encode(learner.state()))
    found["gate"] = list(learner.gate().reasons)
    text = orjson.dumps(found, option=orjson.OPT_INDENT_2).decode()
    print(text)
    if options.save is not None:
        options.save.write_text(text + "\n")


if __name__ == "__main__":
    main()
