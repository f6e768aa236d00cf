"""Predictions a second: through lanes and Triton, and what the bare server gives a client.

Triton has one core to itself; the other is the client's: of the bare clients alone, or of a worker together with its
broker. The worker works off what has come before it was started: sets of vital signs of `PATIENTS` patients, one an
hour, their admissions spread over an hour, and each minute's tick. Besides the predictions it keeps the state, scores
each set and judges alerts.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import orjson

from tests.bench.broker import JOB_CORE, PARTITIONS, pinned_broker, read_since
from tests.bench.events import START, vitals_event
from tests.bench.running import OURS, JobFailed, Watch, environment, running
from tests.bench.timeline import full_swing, spread
from tests.workers import create_topics, worker_environment
from wardstream.infra.feeds.pace import FeedPublisher, Item, Minute, Send, send_paced
from wardstream.infra.kafka.broker import Cluster
from wardstream.infra.settings import load_settings
from wardstream.infra.triton.environment import fetch, triton_folder
from wardstream.infra.triton.server import TritonServer
from wardstream.models.serving import ROWS
from wardstream.schemas.admissions import Admission
from wardstream.schemas.decode import decoder

ROOT = Path(__file__).parents[2]
REPOSITORY = ROOT / "models" / "repository"
TRITON_CORE = 0
PATIENTS, HOURS = 400, 60
CLIENT_S = 15.0
CLIENTS = {f"bare Triton, {ROWS} rows a request, 4 in flight": (ROWS, 4), "bare Triton, one at a time": (1, 1)}
LANES = "wardstream lanes"
DEADLINE_S = 300.0


def predictions(folder: Path, repeats: int, save: Path) -> list[dict[str, Any]]:
    """All of them in turn, `repeats` times."""
    made_of, results = fetch(triton_folder(load_settings(home=ROOT / ".wardstream"))), list[dict[str, Any]]()
    os.sched_setaffinity(0, {TRITON_CORE})
    with TritonServer(folder / "triton", REPOSITORY, made_of=made_of) as server:
        for repeat in range(repeats):
            for name, (rows, in_flight) in CLIENTS.items():
                results.append({"contestant": name, "repeat": repeat} | _bare(server.url, rows, in_flight))
            with pinned_broker(folder / f"kafka{repeat}", JOB_CORE) as cluster:
                results.append({"contestant": LANES, "repeat": repeat} | _lanes(cluster, folder / str(repeat), server))
            for result in results[-3:]:
                print(orjson.dumps(result).decode(), flush=True)
            save.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))
    return results


def _bare(url: str, rows: int, in_flight: int) -> dict[str, Any]:
    command = ["taskset", "-c", str(JOB_CORE), OURS, ROOT / "tests" / "bench" / "jobs" / "triton_client.py"]
    arguments = [url, str(rows), str(in_flight), str(CLIENT_S)]
    done = subprocess.run([*command, *arguments], env=environment(), capture_output=True, timeout=120, check=False)
    if done.returncode:
        raise JobFailed(done.stderr.decode(errors="replace")[-1500:])
    found: dict[str, Any] = orjson.loads(done.stdout)
    return found


def _lanes(cluster: Cluster, folder: Path, server: TritonServer) -> dict[str, Any]:
    folder.mkdir(parents=True)
    env = worker_environment(cluster, folder / "home", CLOCK="feed", TRITON_URL=server.url, MODELS=str(REPOSITORY))
    create_topics(env)
    client, log = cluster.client_options(), folder / "worker.log"
    asyncio.run(_fill(client))

    async def follow() -> tuple[Any, dict[int, int]]:
        async with Watch(client, "predictions.v1", PARTITIONS) as watch:
            with running([OURS.parent / "wardstream", "worker", "--log-level", "warning"], log, env) as worker:
                return await watch.follow([worker], PATIENTS * HOURS, DEADLINE_S, log), watch.begins

    seen, begins = asyncio.run(follow())
    read, found = decoder("predictions.v1"), full_swing(seen, PATIENTS * HOURS)
    told = Counter(str(read(value).quality) for _, value in asyncio.run(read_since(client, "predictions.v1", begins)))
    return {"per_s": found.per_s, "cpu_us": found.cpu_us, "told": dict(told)}


async def _fill(client: dict[str, Any]) -> None:
    async with FeedPublisher(**client) as publisher:
        await send_paced(_timeline(), publisher, ticks="replay", speed=None)


def _timeline() -> Iterator[Item]:
    decode = decoder("vitals.v1")
    for index in range(PATIENTS):
        at = START + timedelta(minutes=index % 60)
        yield Send(at, _admission(index, at))
    for hour in range(HOURS):
        for minute in range(60):
            for index in range(minute, PATIENTS, 60):
                at = START + timedelta(hours=hour, minutes=minute + 30)
                _, value = vitals_event(hour * PATIENTS + index, PATIENTS, timedelta(hours=1))
                yield Send(at, msgspec.structs.replace(decode(value), observed_at=at, received_at=at))
            yield Minute(START + timedelta(hours=hour, minutes=minute + 31))
    for minute in range(30):  # the last hours of those who were admitted last
        yield Minute(START + timedelta(hours=HOURS, minutes=minute + 31))


def _admission(index: int, at: datetime) -> Admission:
    return Admission(
        event_id=UUID(int=1 << 65 | index),
        source="adt",
        patient_id=f"p{index}",
        observed_at=at,
        received_at=at,
        provenance="charted",
        kind="admit",
        age_years=60.0,
        sex="female",
        unit="ICU",
    )


def predictions_table(results: list[dict[str, Any]]) -> str:
    """Rows a second, and wardstream's share of each in the same repeat."""
    by_name: dict[str, dict[int, dict[str, Any]]] = {}
    for result in results:
        by_name.setdefault(result["contestant"], {})[result["repeat"]] = result
    lines = ["| | predictions/s | wardstream is |", "| --- | --- | --- |"]
    for name, found in by_name.items():
        rate = spread([one["per_s"] for one in found.values()])
        times = spread([by_name[LANES][repeat]["per_s"] / one["per_s"] for repeat, one in found.items()])
        share = "" if name == LANES else f"{times.median:.2f}× ({times.low:.2f}–{times.high:.2f})"
        lines.append(f"| {name} | {rate.median:,.0f} ({rate.low:,.0f}–{rate.high:,.0f}) | {share} |")
    wrong = [result["told"] for result in by_name[LANES].values() if result["told"] != {"ok": PATIENTS * HOURS}]
    return "\n".join(lines + [f"\n**{told}, not {PATIENTS * HOURS} answers**" for told in wrong])
