"""`python -m tests.bench [PART …]`: what `make bench` runs."""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from signal import SIGINT, SIGTERM, signal
from typing import Any

import orjson

from tests.bench import board as ward_board
from tests.bench.alerts import alerts, alerts_table
from tests.bench.boards import boards, boards_table
from tests.bench.broker import pinned_broker
from tests.bench.contestants import ALL, Job
from tests.bench.gateway import BACKLOG, gateway, gateway_table
from tests.bench.latency import latency, saturation
from tests.bench.machine import describe
from tests.bench.patients import COUNTS, patients
from tests.bench.predictions import predictions, predictions_table
from tests.bench.profiling import profile
from tests.bench.report import latency_table, patients_table, scaling_table, steady_table, table
from tests.bench.risk import risk, risk_table
from tests.bench.running import BENCH, ROOT
from tests.bench.scaling import scaling
from tests.bench.steady import MINUTES, steady
from tests.bench.throughput import Bench, throughput, wanted
from tests.bench.tracing import tracing_cost, tracing_table
from tests.bench.webhooks import NUMBER, webhooks, webhooks_table
from tests.board.browser import Absent

RESULTS = ROOT / ".wardstream" / "bench" / "results"
EVENTS = {"relay": 1_000_000, "vitals": 400_000, "scaling": 200_000, "gateway": 20_000, "webhooks": NUMBER}
REPEATS = {"relay": 5, "vitals": 5, "scaling": 3, "predictions": 5, "risk": 5, "alerts": 5, "tracing": 5, "boards": 8}


def main() -> None:
    options, troubled = _options(), False
    for asked in (SIGTERM, SIGINT):  # so that what was started ends, and its folder goes
        signal(asked, lambda number, _: sys.exit(128 + number))
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells of leaders that are elected after a creation
    options.results.mkdir(parents=True, exist_ok=True)
    machines = options.results / "machine.json"
    known = orjson.loads(machines.read_bytes()) if machines.exists() else {}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for part in options.parts or _BY_DEFAULT:
            known[part] = describe()
            machines.write_bytes(orjson.dumps(known, option=orjson.OPT_INDENT_2))
            told = _PARTS[part](options, Path(folder) / part, options.results / f"{part}.json")
            troubled |= "**" in told  # `report.table` marks what failed or was wrong
            print(f"\n{told}\n")
            print(f"load average now: {os.getloadavg()}\n", flush=True)
    subprocess.run([BENCH, "-m", "tests.bench.plots", options.results], cwd=ROOT, check=True, timeout=120)
    sys.exit(troubled)


def _options() -> Any:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{' '.join(_PARTS)}; all but profile without it")
    parser.add_argument("--events", type=int, help=f"by default {EVENTS}")
    parser.add_argument("--repeats", type=int, help=f"by default {REPEATS}")
    parser.add_argument("--only", nargs="*", default=[], help="parts of contestants' names")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each rate of latency, gateway and alerts")
    parser.add_argument("--patients", type=int, nargs="*", default=list(COUNTS))
    parser.add_argument("--load", type=float, default=600.0, help="seconds of load before a restore")
    parser.add_argument("--rate", type=float, help="of steady; by default half of latency's saturation")
    parser.add_argument("--minutes", type=float, help=f"of steady ({MINUTES}) and board ({ward_board.MINUTES})")
    parser.add_argument("--settle", type=float, default=40.0, help="seconds left to Kafka's log cleaner")
    parser.add_argument("--results", type=Path, default=RESULTS, help="`tests/bench/results` holds what is published")
    options = parser.parse_args()
    if unknown := [part for part in options.parts if part not in _PARTS]:
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(_PARTS)}")
    if not BENCH.exists():
        parser.error(f"{BENCH} is not there: `make bench` makes it")
    for name in ("events", "repeats", "seconds", "load", "rate", "minutes", "settle"):
        given = getattr(options, name)
        if given is not None and given <= 0:
            parser.error(f"--{name} is more than 0")
    if min(options.patients, default=0) < 1:
        parser.error("--patients are at least 1")
    if options.only and not any(wanted(who, options.only) for who in ALL):
        parser.error(f"--only names none of {', '.join(sorted({who.name for who in ALL}))}")
    return options


def _throughput(options: Any, folder: Path, save: Path) -> str:
    job: Job = "relay" if save.stem == "relay" else "vitals"
    with pinned_broker(folder / "kafka") as cluster:
        bench = Bench(cluster, folder, options.events or EVENTS[job])
        return table(throughput(bench, job, options.repeats or REPEATS[job], options.only, save))


def _latency(options: Any, folder: Path, save: Path) -> str:
    with pinned_broker(folder / "kafka") as cluster:
        return latency_table(latency(cluster, folder, options.seconds, save))


def _patients(options: Any, folder: Path, save: Path) -> str:
    return patients_table(patients(folder, options.patients, options.load, options.settle, save))


def _steady(options: Any, folder: Path, save: Path) -> str:
    rate = options.rate
    if rate is None:
        found = options.results / "latency.json"
        if not found.exists():
            raise SystemExit("steady: give a --rate, or run latency first: half of its saturation is taken")
        rate = saturation(orjson.loads(found.read_bytes())) / 2
    with pinned_broker(folder / "kafka") as cluster:
        return steady_table(steady(cluster, folder, rate, options.minutes or MINUTES, save))


def _scaling(options: Any, folder: Path, save: Path) -> str:
    events, repeats = options.events or EVENTS["scaling"], options.repeats or REPEATS["scaling"]
    return scaling_table(scaling(folder, events, repeats, save))


def _predictions(options: Any, folder: Path, save: Path) -> str:
    return predictions_table(predictions(folder, options.repeats or REPEATS["predictions"], save))


def _gateway(options: Any, folder: Path, save: Path) -> str:
    with pinned_broker(folder / "kafka") as cluster:
        return gateway_table(
            gateway(cluster, folder, options.events or EVENTS["gateway"], options.seconds, BACKLOG, save)
        )


def _alerts(options: Any, folder: Path, save: Path) -> str:
    with pinned_broker(folder / "kafka") as cluster:
        return alerts_table(alerts(cluster, folder, options.seconds, options.repeats or REPEATS["alerts"], save))


def _boards(options: Any, folder: Path, save: Path) -> str:
    with pinned_broker(folder / "kafka") as cluster:
        return boards_table(boards(cluster, folder, options.repeats or REPEATS["boards"], save))


def _tracing(options: Any, folder: Path, save: Path) -> str:
    return tracing_table(tracing_cost(options.repeats or REPEATS["tracing"], save))


def _risk(options: Any, folder: Path, save: Path) -> str:
    return risk_table(risk(options.repeats or REPEATS["risk"], save))


def _webhooks(options: Any, folder: Path, save: Path) -> str:
    with pinned_broker(folder / "kafka") as cluster:
        return webhooks_table(webhooks(cluster, folder, options.events or EVENTS["webhooks"], save))


def _board(options: Any, folder: Path, save: Path) -> str:
    try:
        return ward_board.board_table(ward_board.board(options.minutes or ward_board.MINUTES, save))
    except Absent as missing:
        return f"board is left out: {missing}"


def _profile(options: Any, folder: Path, save: Path) -> str:
    with pinned_broker(folder / "kafka") as cluster:
        return profile(cluster, folder, options.events or EVENTS["vitals"], save.with_suffix(".txt"))


_PARTS: dict[str, Callable[[Any, Path, Path], str]] = {
    "relay": _throughput,
    "vitals": _throughput,
    "latency": _latency,
    "steady": _steady,
    "patients": _patients,
    "scaling": _scaling,
    "predictions": _predictions,
    "risk": _risk,
    "gateway": _gateway,
    "alerts": _alerts,
    "tracing": _tracing,
    "boards": _boards,
    "webhooks": _webhooks,
    "board": _board,
    "profile": _profile,
}

_BY_DEFAULT = [part for part in _PARTS if part != "profile"]

if __name__ == "__main__":
    main()
