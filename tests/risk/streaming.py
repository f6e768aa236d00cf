"""`python -m tests.risk.streaming ARCHIVE MODELS OUT`: patients of 2019 through the running stream, in random order.

A broker, a Triton with the models in MODELS, a worker and a learner run for real. Of the half of the patients that the
deep model has not seen (`tests.risk.halves`) one is admitted each quarter of an hour. Sepsis becomes known a day after
its onset (`--confirmed-after`), the end of a record is a departure to nobody knows where, and so censoring. After each
`--each` admissions all stands still until everything has been handled; from `--first-after` examples on also until it
has been learned, and then the newest snapshot is promoted, also past the gate, whose answer is kept. So what was told
at a time does not depend on how fast the machine is, but for one thing: a deep model that takes too long for a batch is
given up for that batch (`serving.BUDGET_S`: here half a minute, for all comes at once). How many answers were of which
quality is kept, too.

`--shift` changes something from an admission on: `sensor`, the monitors show a heart rate 20/min, a respiratory rate
6/min and a temperature 1.5 °C too high; `mix`, of the patients who do not get sepsis only each fourth is admitted. Both
are strong, so that there is something to recover from: the deep model's answers hardly followed the two rates alone,
nor did they mind that all patients were old. OUT gets the training examples in their order
(`examples.ndjson.gz`), which `tests.risk.judging` judges, and what was promoted when (`promotions.json`).

Patients cost little here, pauses much: each takes some seconds, for the learner's next snapshot and the commands that
promote it. So few admissions between promotions make a long run, not many patients.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gzip
import heapq
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from tests.reading import read_all
from tests.risk.halves import is_streamed
from tests.workers import APP_ID, WARDSTREAM, create_topics, worker_environment
from wardstream.infra.feeds import challenge2019
from wardstream.infra.feeds.pace import Item, Minute
from wardstream.infra.feeds.records import EPOCH, Record, Tally
from wardstream.infra.feeds.replay import timeline
from wardstream.infra.feeds.run import run_replay
from wardstream.infra.kafka.admin import admin
from wardstream.infra.kafka.broker import Cluster
from wardstream.infra.kafka.jars import jars_folder
from wardstream.infra.lanes import lags, layout
from wardstream.infra.model_controls import LEARNER, read_tables
from wardstream.infra.settings import load_settings
from wardstream.infra.triton.environment import fetch, triton_folder
from wardstream.infra.triton.server import TritonDown, TritonServer
from wardstream.models.risk.snapshots import Snapshot
from wardstream.schemas.decode import decoder_of
from wardstream.schemas.envelope import Event
from wardstream.schemas.metrics import Metrics
from wardstream.schemas.outcomes import Outcome
from wardstream.schemas.vitals import Vitals

APART = timedelta(minutes=15)
TICK_MINUTES = 15
FLUSH = timedelta(hours=49)  # after the last event: horizon and grace are over
EXAMPLES = "training-examples.v1"
PATIENCE_S = 3_600.0
LOOK_S = 0.5
MOST_STARTS = 50
ONE_OF = 4
_AGAIN = "the learner has learned more"
_REFUSED = "nothing was changed"
_OPTIONS = ("seed", "each", "horizon", "confirmed_after", "shift", "shift_from")
# Pauses last until a snapshot holds all that was told: one every 2 s, not 30. It learns the same.
_LEARNER = "from wardstream.infra import cli, learner; learner.SNAPSHOT_S = 2.0; cli.main()"
_WORKER = """
from wardstream.agents.streams import batch
batch.HANDLER_DEADLINE_S = 40.0  # before lanes take it as their default
from wardstream.infra import cli
from wardstream.models import serving
serving.BUDGET_S = 30.0
cli.main()
"""


def arrivals(archive: Path, limit: int | None, seed: int, shift: str | None, shift_from: int) -> list[Record]:
    """The patients who are streamed, in the order of their admission."""
    found = [record for record in challenge2019.records(archive) if is_streamed(record.id)]
    Random(seed).shuffle(found)
    if shift == "mix":
        before, after = found[:shift_from], found[shift_from:]
        found = before + [record for number, record in enumerate(after) if number % ONE_OF == 0 or _is_septic(record)]
    return found[:limit]


def _is_septic(record: Record) -> bool:
    assert record.labels is not None
    return any(record.labels().values())


def stay(record: Record, number: int, confirmed_after: timedelta, drifted: bool) -> list[Event]:
    """The events of a stay in the order in which they come."""
    found: list[Event] = []
    for event in record.events(EPOCH + number * APART, Tally()):
        if isinstance(event, Outcome):
            known = event.observed_at + confirmed_after
            found.append(msgspec.structs.replace(event, available_at=known, received_at=known))
        elif drifted and isinstance(event, Vitals):
            found.append(_drifted(event))
        else:
            found.append(event)
    return sorted(found, key=lambda event: event.received_at)


def _drifted(event: Vitals) -> Vitals:
    pulse, breaths, warmth = event.heart_rate_bpm, event.respiratory_rate_per_min, event.temperature_celsius
    return msgspec.structs.replace(
        event,
        heart_rate_bpm=None if pulse is None else min(pulse + 20.0, 390.0),
        respiratory_rate_per_min=None if breaths is None else min(breaths + 6.0, 190.0),
        temperature_celsius=None if warmth is None else min(warmth + 1.5, 45.0),
    )


def in_order(stays: Iterable[list[Event]]) -> Iterator[Event]:
    """All events in the order in which they come; `stays` are in the order in which they begin."""
    waiting = list[tuple[datetime, int, Event]]()
    number = 0
    for events in stays:
        while waiting and waiting[0][0] < events[0].received_at:
            yield heapq.heappop(waiting)[2]
        for event in events:
            number += 1
            heapq.heappush(waiting, (event.received_at, number, event))
    while waiting:
        yield heapq.heappop(waiting)[2]


def chunks(stays: Iterable[list[Event]], each: int) -> Iterator[list[Item]]:
    """What is sent between two promotions.

    Each ends with a tick, and one a minute later: lanes apply the events of a minute when a later one has come, so that
    nothing is left waiting.
    """
    chunk, until, last = list[Item](), EPOCH + each * APART, EPOCH
    for item in timeline(in_order(stays), TICK_MINUTES):
        chunk.append(item)
        last = max(last, item.at)
        if isinstance(item, Minute) and item.at >= until:
            yield [*chunk, Minute(item.at + timedelta(minutes=1))]
            chunk = []
            while until <= item.at:
                until += each * APART
    yield [*chunk, *_minutes(last, last + FLUSH)]


def _minutes(after: datetime, until: datetime) -> Iterator[Minute]:
    at = after
    while at < until:
        at += timedelta(minutes=TICK_MINUTES)
        yield Minute(at)


class Stream:
    """What runs, and what it has told."""

    def __init__(
        self, cluster: Cluster, triton: TritonServer, environment: dict[str, str], options: argparse.Namespace
    ) -> None:
        self.client, self.environment = cluster.client_options(), environment
        self._triton, self._triton_starts = triton, 1
        self._workers, self._learners = list[subprocess.Popen[bytes]](), list[subprocess.Popen[bytes]]()
        self._out, self._first_after = options.out, options.first_after
        self._about: dict[str, Any] = {name: getattr(options, name) for name in _OPTIONS} | {"promoted": []}
        self._next = self._examples = 0
        gzip.open(self._out / "examples.ndjson.gz", "wb").close()

    def start(self, key: Path) -> None:
        """Start a learner and, once its key is there, a worker."""
        self._see_to(self._learners, "-c", _LEARNER, "learner")
        while not key.exists():
            assert self._learners[0].poll() is None, "the learner has ended"
            time.sleep(0.2)
        self._see_to(self._workers, "-c", _WORKER, "worker")

    def end(self) -> None:
        """End what runs, by its id."""
        for one in (*self._workers[-1:], *self._learners[-1:]):
            one.kill()
            one.wait(20)

    def _see_to(self, started: list[subprocess.Popen[bytes]], *command: str) -> None:
        """Have it run: it ends where the cluster is silent for long, begun anew it goes on to the same answers."""
        if started and started[-1].poll() is None:
            return
        assert len(started) < MOST_STARTS, f"the {command[-1]} ends again and again"
        with (self._out / f"{command[-1]}.log").open("ab") as log:
            started.append(subprocess.Popen([sys.executable, *command], env=self.environment, stdout=log, stderr=log))

    def _see_to_triton(self) -> None:
        """Have Triton run: what is asked meanwhile has degraded answers, which are counted."""
        try:
            self._triton.check()
        except TritonDown:
            assert self._triton_starts < MOST_STARTS, "Triton ends again and again"
            self._triton_starts += 1
            self._triton.start()

    async def run(self, sent: Iterator[list[Item]]) -> None:
        """Send chunk by chunk; what has been told and promoted so far is kept after each."""
        consumer = AIOKafkaConsumer(**self.client, isolation_level="read_committed", enable_auto_commit=False)
        await consumer.start()
        try:
            consumer.assign([TopicPartition(EXAMPLES, 0)])
            consumer.seek(TopicPartition(EXAMPLES, 0), 0)
            for number, chunk in enumerate(sent):
                began = time.monotonic()
                await run_replay(self.client, iter(chunk), speed=None)
                await self._handled(consumer)
                found = None
                if self._examples >= self._first_after:
                    await self._until(self._has_learned, "learned")
                    found = await self._promote()
                    self._about["promoted"].append({"examples": self._examples} | found)
                await self._until(self._keep, "kept")
                print(
                    f"chunk {number}: {len(chunk)} items, {self._examples} examples, promoted {found}, "
                    f"{time.monotonic() - began:.0f} s",
                    file=sys.stderr,
                    flush=True,
                )
        finally:
            await consumer.stop()

    async def _keep(self) -> bool:
        starts = {
            "worker_starts": len(self._workers),
            "learner_starts": len(self._learners),
            "triton_starts": self._triton_starts,
        }
        about = self._about | starts | {"answers": await self._answers()}
        (self._out / "promotions.json").write_text(json.dumps(about, indent=2) + "\n")
        return True

    async def _handled(self, consumer: AIOKafkaConsumer) -> None:
        """Wait until the worker has handled everything, and read the examples that it has told."""
        part = TopicPartition(EXAMPLES, 0)

        async def has_read() -> bool:
            end = (await consumer.end_offsets([part]))[part]
            while await consumer.position(part) < end:
                found = (await consumer.getmany(part, timeout_ms=500, max_records=5_000)).get(part, ())
                with gzip.open(self._out / "examples.ndjson.gz", "ab", compresslevel=3) as file:
                    file.writelines(record.value + b"\n" for record in found)
                self._examples += len(found)
                self._next = found[-1].offset + 1 if found else self._next
            return True

        await self._until(self._is_handled, "handled")
        await self._until(has_read, "read")

    async def _until(self, done: Callable[[], Awaitable[bool]], what: str) -> None:
        """Ask until it is done; a cluster that does not answer, as when all has been stopped for a while, is no end."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            with contextlib.suppress(KafkaError, TimeoutError):
                if await done():
                    return
            assert time.monotonic() < deadline, f"not everything is {what}"
            self._see_to(self._learners, "-c", _LEARNER, "learner")
            self._see_to(self._workers, "-c", _WORKER, "worker")
            self._see_to_triton()
            await asyncio.sleep(LOOK_S)

    async def _is_handled(self) -> bool:
        return await self._behind() == 0

    async def _has_learned(self) -> bool:
        return await self._learned() >= self._next

    async def _behind(self) -> int:
        async with admin(self.client) as client:
            counts = (await layout(client, APP_ID)).counts
            by_lane = await lags(client, self.client, APP_ID, counts)
        return sum(sum(topics.values()) for topics in by_lane.values())

    async def _learned(self) -> int:
        if not self._next:
            return 0
        model = (await read_tables(self.client)).models.get(LEARNER)
        return 0 if model is None else msgspec.json.decode(model.payload, type=Snapshot).positions[EXAMPLES]

    async def _answers(self) -> dict[str, float]:
        """How many predictions of which model and quality have been told."""
        found = (await read_all(self.client["bootstrap_servers"], ["metrics.v1"]))["metrics.v1"]
        snapshots = sorted((decoder_of(Metrics)(record.value) for record in found), key=lambda one: one.at)
        told, last = Counter[str](), {one.process: one.counters for one in snapshots if one.role == "worker"}
        for counters in last.values():
            told.update({name: count for name, count in counters.items() if name.startswith("predictions_total")})
        return dict(told)

    async def _promote(self) -> dict[str, str]:
        """Have the newest snapshot answer; returns which, and what the gate says of it."""
        said = gate = await self._model()
        if _REFUSED in gate:
            said = await self._model("--force")
        await asyncio.sleep(3)  # the worker obeys within 2 s
        return {"said": said, "gate": gate if _REFUSED in gate else "passed"}

    async def _model(self, *options: str) -> str:
        """What `promote` says: that it is done, or that the gate refuses. Asked again when the cluster is silent."""
        command = [str(WARDSTREAM), "model", "promote", "--why", _AGAIN, *options]
        for _ in range(MOST_STARTS):
            found = await asyncio.to_thread(
                subprocess.run, command, env=self.environment, capture_output=True, timeout=600, check=False
            )
            said = found.stdout.decode().strip()
            if found.returncode == 0 or _REFUSED in said:
                return said
        raise AssertionError(found.stderr.decode())


def streamed(records: Sequence[Record], models: Path, options: argparse.Namespace) -> None:
    """Run everything, and keep what it told."""
    drifts = options.shift == "sensor"
    stays = (
        stay(record, number, timedelta(hours=options.confirmed_after), drifts and number >= options.shift_from)
        for number, record in enumerate(records)
    )
    settings = load_settings()
    with (
        tempfile.TemporaryDirectory() as name,
        Cluster(Path(name) / "kafka", jars=jars_folder(settings)) as cluster,
        TritonServer(Path(name) / "triton", models, made_of=fetch(triton_folder(settings))) as triton,
    ):
        folder = Path(name)
        told = {"RISK_OUTCOMES": '["sepsis_onset"]', "RISK_HORIZON_H": str(options.horizon), "CLOCK": "feed"}
        told |= {"TRITON_URL": triton.url, "MODELS": str(models), "TRITON_DEADLINE_MS": "10000"}
        told |= {"TOKENS_FILE": str(folder / "tokens.json")}
        environment = worker_environment(cluster, folder / "home", **told)
        create_topics(environment)
        command = [str(WARDSTREAM), "tokens", "add", "evidence", "--role", "operator"]
        token = subprocess.run(command, env=environment, check=True, timeout=60, capture_output=True).stdout
        environment["WARDSTREAM_TOKEN"] = token.decode().strip()
        stream = Stream(cluster, triton, environment, options)
        try:
            stream.start(folder / "home" / "learner.pub")
            asyncio.run(stream.run(chunks(stays, options.each)))
        finally:
            stream.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, help="challenge2019_….tar.gz, or a folder of .psv files")
    parser.add_argument("models", type=Path, help="a model repository whose `sepsis` has not seen the streamed half")
    parser.add_argument("out", type=Path)
    parser.add_argument("--patients", type=int)
    parser.add_argument("--each", type=int, default=250, help="admissions between promotions")
    parser.add_argument("--first-after", type=int, default=5_000, help="examples before the first promotion")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--horizon", type=float, default=12.0)
    parser.add_argument("--confirmed-after", type=float, default=24.0, help="hours from onset to outcomes.v1")
    parser.add_argument("--shift", choices=["sensor", "mix"])
    parser.add_argument("--shift-from", type=int, default=1_500, help="admission from which on it is so")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    options.out.mkdir(parents=True, exist_ok=True)
    records = arrivals(options.archive, options.patients, options.seed, options.shift, options.shift_from)
    streamed(records, options.models.absolute(), options)


if __name__ == "__main__":
    main()
