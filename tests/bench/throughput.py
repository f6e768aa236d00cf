"""How fast: each contestant does the same job on the same events, interleaved, on one core."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from tests.bench.broker import COMPACTED, PARTITIONS, create, publish, read_since
from tests.bench.checking import differences, expected_means, expected_news2, last_answers
from tests.bench.contestants import ALL, Contestant, Job, Run, present
from tests.bench.events import events
from tests.bench.running import JobFailed, Watch, environment, running
from tests.bench.timeline import Figures, figures, full_swing, thinned
from tests.workers import create_topics, worker_environment
from wardstream.infra.kafka.broker import Cluster

PATIENTS = 1_000
DEADLINE_S = 180.0
FEW = 20_000
MANY = 2  # times the events: the first quarter is a JVM's cold figure, the second half its warm one


def sources(job: Job) -> dict[str, str]:
    """The input topic by share; the worker reads its own."""
    return {"few": f"{job}-few", "all": "vitals.v1" if job == "vitals" else f"{job}-all", "many": f"{job}-many"}


class Bench:
    """One broker, filled once; every run has an id, an output topic and a folder of its own."""

    def __init__(self, cluster: Cluster, folder: Path, number: int) -> None:
        self.cluster = cluster
        self.client = cluster.client_options()
        self.folder = folder
        self.numbers = {"few": min(FEW, number), "all": number, "many": MANY * number}
        self.expected: dict[tuple[Job, int], dict[str, Any]] = {}
        self._runs = 0

    def prepare(self, job: Job, shares: set[str]) -> None:
        """Make and fill the inputs."""
        if job == "vitals":
            create_topics(worker_environment(self.cluster, self.folder / "home"))
        for share, topic in sources(job).items():
            if share in shares:
                create(self.client, topic, f"{topic}.dead")
                asyncio.run(publish(self.client, topic, events(job, self.numbers[share], PATIENTS)))

    def run(self, who: Contestant) -> dict[str, Any]:
        """Start, watch, stop, check."""
        self._runs += 1
        number, name = self.numbers[who.share], f"run{self._runs}"
        target = "scores.v1" if who.uses_worker_topics else f"{name}-out"
        folder = self.folder / name
        folder.mkdir()
        run = Run(self.cluster.bootstrap_servers[0], name, sources(who.job)[who.share], target, folder)
        if not who.uses_worker_topics:
            create(self.client, target)
            create(self.client, f"{name}-lanes", configs=COMPACTED)
        env = environment(FAUST_DATADIR=str(folder))  # else it makes a folder where we stand
        if who.uses_worker_topics:
            env = worker_environment(self.cluster, folder, APP_ID=name, CLOCK="feed")
        load = os.getloadavg()[0]
        seen, begins = asyncio.run(self._follow(who, run, env, number))
        outputs = asyncio.run(read_since(self.client, target, begins))
        answers = last_answers(who.job, outputs)
        result: dict[str, Any] = {
            "job": who.job,
            "contestant": who.name,
            "events": number,
            "outputs": len(outputs),
            "wrong_patients": differences(answers, self._expected(who.job, number)),
            "load_before": load,
        }
        result["seen"] = [(round(one.at, 3), one.outputs, round(one.cpu, 2)) for one in thinned(seen)]
        if who.share == "many":  # a JVM: its first events cold, its last ones warm
            result["cold"] = _plain(figures(seen, 1, number // 4))
            result["warm"] = _plain(full_swing(seen, number, 0.5))
        else:
            result["whole"] = _plain(full_swing(seen, number))
        return result

    async def _follow(self, who: Contestant, run: Run, env: dict[str, str], number: int) -> tuple[Any, dict[int, int]]:
        log = self.folder / f"{run.name}.log"
        async with Watch(self.client, run.target, PARTITIONS) as watch:
            with running(who.command(run), log, env) as process:
                return await watch.follow([process], number, DEADLINE_S, log), watch.begins

    def _expected(self, job: Job, number: int) -> dict[str, Any]:
        known = self.expected.get((job, number))
        if known is None:
            recount = expected_means if job == "relay" else expected_news2
            known = self.expected[job, number] = dict(recount(events(job, number, PATIENTS)))
        return known


def _plain(found: Figures) -> dict[str, float]:
    return {"per_s": found.per_s, "cpu_us": found.cpu_us, "seconds": found.seconds}


def throughput(bench: Bench, job: Job, repeats: int, only: Sequence[str], save: Path) -> list[dict[str, Any]]:
    """All contestants of a job in turn, `repeats` times; results are saved after each run."""
    taking_part = [who for who in ALL if who.job == job and present(who) and (not only or wanted(who, only))]
    bench.prepare(job, {who.share for who in taking_part})
    results: list[dict[str, Any]] = []
    for repeat in range(repeats):
        for who in taking_part:
            try:
                result = bench.run(who)
            except (JobFailed, ValueError, TimeoutError) as error:
                result = {"job": job, "contestant": who.name, "failed": str(error)}
            result["repeat"] = repeat
            results.append(result)
            print(orjson.dumps(result | {"seen": None}).decode(), flush=True)
            save.write_bytes(orjson.dumps(results))
    return results


def wanted(who: Contestant, only: Sequence[str]) -> bool:
    """Whether one of some parts of names is in the contestant's."""
    return any(part.lower() in who.name.lower() for part in only)
