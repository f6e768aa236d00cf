"""Faults under load, and the ledger of what came of it.

    python -m tests.faults.run --faults 12 --seed 1

The last line gives faults, sent, lost, doubled, the longest stall, how much was wrong, and how much came too late: a
stall beyond `LONGEST_WAIT_S`, faults that were not got over in time. The exit code is 1 when there is any of it. All
files of the run are in a temporary folder, which is kept only then (or with --keep).
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.commit import commit
from tests.faults.disk import Disk
from tests.faults.fleet import ROOT
from tests.faults.plan import KINDS, Step, plan
from tests.faults.scene import Scene
from tests.faults.strikes import DISK_NODE, STRIKES
from tests.workers import APP_ID, LANES
from wardstream.infra.kafka.jars import fetch, jars_folder
from wardstream.infra.settings import load_settings

CHECK_DEADLINE_S = 900.0
# The longest wait that a lane may have: opening its producer (`OPEN_DEADLINE_S`). Others: a worker's session 10 s, a
# transaction left open 20 s, a commit 15 s, a broker's session 6 s.
LONGEST_WAIT_S = 30.0
QUIET_S = {"full": (3.0, 8.0), "short": (0.5, 1.5)}
HOLD = {"full": 1.0, "short": 0.0}
SETTLED_S = {"full": 4.0, "short": 1.5}
KEPT_EXAMPLES = 3


def main() -> int:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # brokers that are down are no news here
    options = _options()
    for asked in (signal.SIGTERM, signal.SIGINT):
        signal.signal(asked, lambda number, _: sys.exit(128 + number))  # everything is ended first
    if options.ledger:  # not to be refused after an hour
        options.ledger.parent.mkdir(parents=True, exist_ok=True)
        options.ledger.touch()
    folder = Path(tempfile.mkdtemp(prefix="wardstream-faults-", dir=options.folder))
    disk = Disk(folder / "kafka" / f"broker-{DISK_NODE}" / "data")  # first: before there is any other thread
    jars = jars_folder(load_settings(home=ROOT / ".wardstream"))
    fetch(jars)
    started = time.monotonic()
    ledger: dict[str, Any] = {
        "seed": options.seed,
        "form": options.form,
        "clock": options.clock or ("live" if options.seed % 2 == 0 else "feed"),
        "events_per_s": options.rate,
        "patients": options.patients,
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": f"{os.cpu_count()} CPUs, {platform.system()}, Python {platform.python_version()}",
        "faults": [],
    }
    steps = plan(max(options.faults, len(options.only or ())), options.seed, QUIET_S[options.form])
    if options.only:
        steps = [Step(number, kind, 1.0, steps[number - 1].rng) for number, kind in enumerate(options.only, start=1)]
    scene = Scene(
        folder,
        jars,
        seed=options.seed,
        clock=ledger["clock"],
        rate=options.rate,
        patients=options.patients,
        disk=disk,
    )
    try:
        with scene:
            say(f"up after {time.monotonic() - started:.0f} s in {folder}, disk: {disk.kind}, clock: {ledger['clock']}")
            verdict = _run(scene, steps, options.form, ledger)
    except SystemExit:  # asked to end
        _leave(disk, folder, options.keep)
        raise
    except BaseException:
        say(f"logs are in {folder}")
        raise
    ledger["took_s"] = round(time.monotonic() - started)
    _tell(ledger, verdict)
    if options.ledger:
        options.ledger.write_text(json.dumps(ledger, indent=1) + "\n")
    failed = bool(ledger["wrong"] or ledger["late"])
    if failed:
        say(json.dumps(ledger["examples"]))
    _leave(disk, folder, failed or options.keep)
    say(last_line(ledger))
    return 1 if failed else 0


def last_line(ledger: dict[str, Any]) -> str:
    """What came of it, in one line."""
    totals = ledger["totals"]
    return (
        f"faults={totals['faults']} sent={totals['sent']} lost={totals['lost']} doubled={totals['doubled']} "
        f"longest_stall={totals['longest_stall_s']:.1f}s wrong={ledger['wrong']} late={ledger['late']}"
    )


def _leave(disk: Disk, folder: Path, keep: bool) -> None:
    if keep:
        say(f"logs are in {folder}")
    else:
        disk.leave()
        shutil.rmtree(folder)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--faults", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--form", choices=("full", "short"), default="full", help="short: waits are cut where they may be"
    )
    parser.add_argument("--rate", type=int, default=500, help="events a second")
    parser.add_argument("--patients", type=int, default=1000)
    parser.add_argument("--clock", choices=("live", "feed"), help="who writes ticks; by default live for even seeds")
    parser.add_argument("--only", action="append", choices=KINDS, help="these faults in this order, not the seed's")
    parser.add_argument("--ledger", type=Path, help="where the ledger is written to")
    parser.add_argument("--folder", type=Path, help="where the run's folder is made")
    parser.add_argument("--keep", action="store_true", help="keep the run's folder")
    options = parser.parse_args()
    if min(options.faults, options.rate, options.patients) < 1:
        parser.error("--faults, --rate and --patients are at least 1")
    return options


def _run(scene: Scene, steps: list[Step], form: str, ledger: dict[str, Any]) -> dict[str, Any]:
    began = time.monotonic()
    windows: list[dict[str, Any]] = []
    for step in steps:
        time.sleep(step.quiet_s)
        told = STRIKES[step.kind](scene, step.rng, HOLD[form])
        settled = scene.settle(SETTLED_S[form])
        windows.append({"struck": scene.struck, "until": float("inf"), "away": told.away})
        if len(windows) > 1:
            windows[-2]["until"] = scene.struck
        fault = {
            "number": step.number,
            "kind": step.kind,
            "target": told.target,
            "at_s": round(scene.struck - began, 1),
            "lanes_in_transaction": scene.in_flight,
            "away_s": round(told.away[1] - told.away[0], 1) if told.away else 0.0,
            "settled": settled,
        }
        ledger["faults"].append(fault)
        say(
            f"{step.number:3} {time.monotonic() - began:6.1f} s  {step.kind}: {told.target}"
            + ("" if settled else "  NOT SETTLED")
        )
    scene.tell(do="stop")
    scene.load.close()
    ledger["drained"] = scene.quiet()
    time.sleep(2)  # the reader has the last outputs
    scene.tail.close()
    ledger["workers_that_ended"] = [
        {**one, "at": round(one["at"] - began, 1)}
        for one in scene.fleet.exits  # type: ignore[operator]
    ]
    read = "all read" if ledger["drained"] else "NOT ALL READ"
    say(f"{read}; {len(scene.fleet.exits)} workers ended by themselves; checking")
    return _checked(scene, windows)


def _checked(scene: Scene, windows: list[dict[str, Any]]) -> dict[str, Any]:
    case = {
        "bootstrap": scene.bootstrap,
        "app_id": APP_ID,
        "lanes": LANES,
        "ledger": str(scene.ledger),
        "tail": str(scene.tailed),
        "snapshots": [str(file) for file in scene.snapshots],
        "faults": windows,
    }
    (scene.folder / "case.json").write_text(json.dumps(case))
    ran = subprocess.run(
        [sys.executable, "-m", "tests.faults.checker", json.dumps(case)],
        capture_output=True,
        timeout=CHECK_DEADLINE_S,
        text=True,
        check=False,
        cwd=ROOT,
    )
    if not ran.stdout:
        raise RuntimeError(f"the checker failed: {ran.stderr[-2000:]}")
    verdict: dict[str, Any] = json.loads(ran.stdout)
    return verdict


def _tell(ledger: dict[str, Any], verdict: dict[str, Any]) -> None:
    for fault, outcome in zip(ledger["faults"], verdict.pop("faults"), strict=True):
        fault |= outcome
    unsettled = sum(1 for fault in ledger["faults"] if not fault["settled"])
    ledger["examples"] = verdict.pop("examples")
    ledger["wrong"] = verdict.pop("wrong") + (not ledger["drained"])
    ledger["late"] = unsettled + (verdict["longest_stall_s"] > LONGEST_WAIT_S)
    ledger["totals"] = {"faults": len(ledger["faults"])} | verdict


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
