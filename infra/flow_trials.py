"""What the forecasts of patient flow are worth on recorded series, measured as a stream would, and told in tables."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import typer
from rich.console import Console
from rich.table import Table

from wardstream.infra import flow_questions
from wardstream.infra.commands.progress import shown
from wardstream.infra.failure import Failure
from wardstream.infra.feeds import flow_hospital, flow_queue, nhamcs, uihc
from wardstream.models.flow.admission import ALLOWED
from wardstream.models.flow.arrivals import HORIZONS
from wardstream.models.flow.calendar import Calendar
from wardstream.models.flow.counts import Doubles
from wardstream.models.flow.emergency import on_the_stream
from wardstream.models.flow.judging import (
    Answers,
    Judged,
    judge_admission,
    judge_arrivals,
    judge_waiting,
    poisson_floor,
)
from wardstream.models.flow.judging_beds import judge_beds
from wardstream.models.flow.measures import Measure, Quality
from wardstream.models.flow.waiting import known
from wardstream.models.training.measures import auroc, brier, ece, interval
from wardstream.models.training.recipe import Report

WARM_UP_D = 40
WEATHER, DAYS = "weather", "special-days"
MILD_C = 10.0
TOLD_H = (1, 8, 24, 48)
BOOTSTRAPS = 200
_WIDE = 170


def arrivals(
    path: Path, scored_from: str, hours: int | None, horizons: str, without: Collection[str], as_json: bool
) -> None:
    """Forecast arrivals hour by hour, learning online, and score each forecaster on the days from one on."""
    found = uihc.hours(path, hours)
    if not set(without) <= {WEATHER, DAYS}:
        raise Failure(f"what can be left out is {WEATHER} or {DAYS}")
    if WEATHER in without:
        found = found._replace(temperature_c=np.full(len(found.counts), MILD_C))
    if DAYS in without:
        found = found._replace(calendar=Calendar())
    try:
        begin = found.place(date.fromisoformat(scored_from))
        chosen = tuple(int(h) for h in horizons.split(",")) if horizons else HORIZONS
    except ValueError:
        raise Failure("--scored-from is a day such as 2016-07-01, --horizons are hours such as 1,24") from None
    if not set(chosen) <= set(HORIZONS) or not 0 < begin < len(found.counts):
        raise Failure(f"horizons are of {', '.join(map(str, HORIZONS))}; the days that are scored must be in the file")
    with shown() as report:
        judged = judge_arrivals(
            found.first,
            found.counts,
            found.temperature_c,
            found.calendar,
            begin,
            chosen,
            partial(_tell, report, "hours", len(found.counts)),
        )
    if as_json:
        typer.echo(orjson.dumps(arrivals_measures(judged), option=orjson.OPT_INDENT_2).decode())
    else:
        _console().print(_arrivals_table(judged))
        floor = poisson_floor(found.first + begin, found.counts[begin:], found.calendar)
        _console().print(
            f"Poisson counts with these hours' own rates by hour of the week, were they known: MAE {floor.mae:.3f}; "
            f"intervals of 80 % and 95 % cover {floor.coverage[0.8]:.1%} and {floor.coverage[0.95]:.1%}"
        )


def arrivals_measures(judged: Judged) -> dict[str, Any]:
    """As JSON has it: by horizon and forecaster."""
    return {
        str(h): {
            name: {
                "mae": one.mae._asdict(),
                "crps": one.crps._asdict(),
                "mase": judged.mase[h][name],
                "pinball": one.pinball,
                "coverage": {str(share): covered._asdict() for share, covered in one.coverage.items()},
                "coverage_if_true": {str(share): value for share, value in one.expected.items()},
                "pit": one.pit.tolist(),
            }
            for name, one in by_name.items()
        }
        for h, by_name in judged.quality.items()
    }


def _arrivals_table(judged: Judged) -> Table:
    columns = ("h", "forecaster", "MAE (95 % over weeks)", "MASE", "CRPS (95 % over weeks)", "pinball", "80 %", "95 %")
    table = Table(*columns, "PIT, lowest and highest tenth", caption="80 % and 95 %: covered, and (if true) expected")
    for h, by_name in judged.quality.items():
        for name, one in by_name.items():
            covered = (f"{one.coverage[s].value:.3f} ({one.expected[s]:.3f})" for s in (0.8, 0.95))
            table.add_row(
                str(h),
                name,
                _over_weeks(one.mae),
                f"{judged.mase[h][name]:.3f}",
                _over_weeks(one.crps),
                f"{one.pinball:.3f}",
                *covered,
                f"{one.pit.min():.3f} to {one.pit.max():.3f}",
            )
        table.add_section()
    return table


def admission(path: Path, year: int, every: int, as_json: bool) -> None:
    """Predict admission at triage, learning visit by visit, with the chart's conditions and without them."""
    found: dict[str, Any] = {"fields": list(ALLOWED)}
    for name, conditions in (("all fields", True), ("without conditions", False), ("as on the stream", False)):
        visits = nhamcs.visits(path, conditions=conditions, every=every)
        if name == "as on the stream":
            visits = [visit._replace(triage=on_the_stream(visit.triage)) for visit in visits]
        if len({visit.admitted for visit in visits if visit.year == year}) < 2:
            raise Failure(f"no year {year} with admissions in {path}")
        with shown() as report:
            answers = judge_admission(visits, year, partial(_tell, report, name, len(visits)))
        found[name] = admission_measures(answers)
    if as_json:
        typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
        return
    table = Table("measure", *(f"{name}, {how}" for name in list(found)[1:] for how in ("frozen", "online")))
    for measure in found["all fields"]["frozen"]:
        values = (found[name][how][measure] for name in list(found)[1:] for how in ("frozen", "online"))
        table.add_row(measure, *map(_text, values))
    _console().print(table)
    _console().print(f"fields known at triage: {', '.join(ALLOWED)}")


def waiting(folder: Path, days: int, every: int, year: int = 2020) -> None:
    """Predict waiting times at triage, against a constant: recorded ones, and those of a queue that is SIMULATED."""
    visits = nhamcs.waits(folder / "flow/nhamcs_ed_2016_2020.parquet", year, every)
    queue = list(flow_queue.simulate(folder, days))
    half = len(queue) // 2
    tried = {
        f"NHAMCS {year}, a constant": [(known(None), wait, visit.year == year) for visit, wait in visits],
        f"NHAMCS {year}, fields known at triage": [
            (known(visit.triage), wait, visit.year == year) for visit, wait in visits
        ],
        "simulated queue, a constant": [(known(None), one.minutes, i >= half) for i, one in enumerate(queue)],
        "simulated queue, fields known at triage": [
            (known(one.triage), one.minutes, i >= half) for i, one in enumerate(queue)
        ],
        "simulated queue, and how many wait before": [
            (known(one.triage, one.waiting), one.minutes, i >= half) for i, one in enumerate(queue)
        ],
    }
    columns = ("waiting time", "patients", "within P50", "within P90", "pinball of P50, min", "pinball of P90, min")
    table = Table(*columns)
    for name, patients in tried.items():
        found = judge_waiting(patients)
        losses = (f"{found.pinball[level]:.2f}" for level in (0.5, 0.9))
        table.add_row(name, str(found.patients), *(f"{found.covered[level]:.3f}" for level in (0.5, 0.9)), *losses)
    _console().print(table)


def hospital(folder: Path, days: int, wards: Sequence[str]) -> None:
    """Forecast beds in a hospital that is SIMULATED, with a surge of a week and a feed that is down for a day."""
    console = _console()
    surge, down = (days + WARM_UP_D) // 2, WARM_UP_D + 14
    simulated = flow_hospital.simulate(folder, days, surge)
    names = tuple(wards) or flow_hospital.WARDS
    unknown = set(names) - set(flow_hospital.WARDS)
    if unknown:
        raise Failure(f"wards are {', '.join(flow_hospital.WARDS)}")
    questions = flow_questions.Questions(simulated, names, simulated.first + WARM_UP_D * 24)
    outage = range(down * 24, down * 24 + 24)
    began = time.process_time()
    with shown() as report:
        judged = judge_beds(
            simulated.hour_by_hour(names),
            flow_hospital.EMERGENCY,
            Calendar(),
            WARM_UP_D * 24,
            outage,
            TOLD_H,
            partial(_tell, report, "hours", simulated.hours),
            questions,
        )
    cost = (time.process_time() - began) / simulated.hours
    there = simulated.inpatients()[WARM_UP_D * 24 :]
    quiet = float(np.median(there))
    title = (
        f"SIMULATED: {flow_hospital.BEDS} beds, half of the time at least {quiet:.0f} inpatients "
        f"({quiet / flow_hospital.BEDS:.0%}), at most {there.max():.0f}; "
        f"surge from day {surge}, no data on day {down}; {len(judged)} units, {cost:.2f} s CPU an hour"
    )
    table = Table(
        "unit",
        "h",
        "forecaster",
        "MAE (95 % over weeks)",
        "CRPS (95 % over weeks)",
        "80 %",
        "95 %",
        title=title,
        caption="80 % and 95 %: covered (95 % over weeks), and, if true, expected",
    )
    for name, by_horizon in judged.items():
        for h, by_name in by_horizon.items():
            for forecaster, one in by_name.items():
                covered = (f"{_over_weeks(one.coverage[s])}, {one.expected[s]:.3f}" for s in (0.8, 0.95))
                table.add_row(name, str(h), forecaster, _over_weeks(one.mae), _over_weeks(one.crps), *covered)
            table.add_section()
    for row in over_wards([judged[name] for name in names]):
        table.add_row(*row)
    console.print(table)
    told = Table("what if", "h", "asked", "the simulator within the 80 % interval", "if true")
    for what, h, answers in questions.answered():
        inside, expected = (float(np.mean([one[k] for one in answers])) for k in (0, 1))
        told.add_row(what, str(h), str(len(answers)), f"{inside:.3f}", f"{expected:.3f}")
    console.print(told)


def over_wards(wards: Sequence[Mapping[int, Mapping[str, Quality]]]) -> Iterator[tuple[str, ...]]:
    """Means over wards, by horizon and forecaster, as rows of the table."""
    for h, by_name in wards[0].items():
        for forecaster in by_name:
            found = [ward[h][forecaster] for ward in wards]
            mae, crps = np.mean([(one.mae.value, one.crps.value) for one in found], axis=0)
            shares = [[(one.coverage[s].value, one.expected[s]) for one in found] for s in (0.8, 0.95)]
            covered = (f"{value:.3f}, {expected:.3f}" for value, expected in np.mean(shares, axis=1))
            yield ("wards, mean", str(h), forecaster, f"{mae:.3f}", f"{crps:.3f}", *covered)


def admission_measures(answers: Answers) -> dict[str, dict[str, Any]]:
    """AUROC with its interval over visits, and calibration; `weighted`: with the survey's weights."""
    label = answers.admitted.astype(np.int8)
    drawn = np.random.default_rng(1).integers(0, len(label), (BOOTSTRAPS, len(label)))
    found = {}
    for name, said in (("frozen", answers.frozen), ("online", answers.online)):
        resampled = [auroc(label, said, np.bincount(rows, minlength=len(label)).astype(float)) for rows in drawn]
        found[name] = {
            "AUROC": auroc(label, said),
            "AUROC, 95 %": interval(resampled),
            "AUROC, weighted": auroc(label, said, answers.weight),
            "Brier": brier(label, said),
            "ECE": ece(label, said),
            "mean said, weighted": _mean(said, answers.weight),
            "admitted, weighted": _mean(answers.admitted, answers.weight),
            "mean said": float(said.mean()),
            "admitted": float(answers.admitted.mean()),
            "visits": len(label),
        }
    return found


def _over_weeks(measure: Measure) -> str:
    return f"{measure.value:.3f} ({measure.low:.3f} to {measure.high:.3f})"


def _tell(report: Report, task: str, of: int, done: int) -> None:
    report(task, done, of)


def _mean(values: Doubles, weight: Doubles) -> float:
    return float(np.average(values, weights=weight))


def _text(value: Any) -> str:
    if isinstance(value, list):
        return " to ".join(f"{v:.4f}" for v in value)
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=_WIDE)
