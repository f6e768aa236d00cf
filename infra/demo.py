"""`wardstream demo`: a ward on this machine, from a broker of its own to a live board; nothing is left at the end.

Everything it starts asks the kernel to be killed when this process dies (`kafka.process`), so that even `kill -9`
leaves no process. All its files are in one folder below `.wardstream/demo`, removed at the end; the folder of a demo
that was killed is removed by the next one. After a failure the folder's logs stay until then.

Signals only set an event. Every wait here ends when it is set, and what was being started is ended with the rest: an
exception raised from a signal handler could hit a line between a process's start and the note that it runs.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypeVar

from rich.console import Console

from wardstream.infra.children import Child, ChildEnded, shown, tail
from wardstream.infra.failure import Failure
from wardstream.infra.gateways.auth import add_token
from wardstream.infra.kafka.broker import Cluster
from wardstream.infra.kafka.jars import fetch, jars_folder
from wardstream.infra.kafka.private_files import write_private
from wardstream.infra.kafka.process import end, spawn
from wardstream.infra.kafka.topics import create_topics, lane_count, wishes
from wardstream.infra.run_folder import run_folder
from wardstream.infra.secrets import KEY_BYTES
from wardstream.infra.settings import PREFIX, Settings, SettingsError, kafka_client_options
from wardstream.infra.triton.environment import TritonMissing, environment, triton_folder
from wardstream.infra.triton.environment import fetch as fetch_triton
from wardstream.infra.triton.models import models_in
from wardstream.infra.triton.server import TritonDown, TritonServer
from wardstream.infra.view.tap import Tap, now
from wardstream.schemas.imaging import TOPIC as IMAGING

T = TypeVar("T")
SPEED = 60  # ward minutes a minute
BAD_SHARE = 0.03  # of events, so that dead letters show within seconds
LOOK_S = 0.25
READY_DEADLINE_S = 90.0
GRACE_S = 5.0  # to stop in order; longer for a worker whose last snapshot counts
WORKER_GRACE_S = 15.0
QUIET_S = 1.0  # without a record: the stream has run dry
DRAIN_DEADLINE_S = 10.0
FILMS_MODEL = "chest_xray"  # its module needs packages that the demo can do without
BOARD_AT = re.compile(r"^the ward board is at (\S+)$", re.MULTILINE)  # as `serve api` says it
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):
    """A signal asked us to end."""


@dataclass(frozen=True)
class Options:
    """What the command line may choose; `seed` is the simulator's, `films` a folder of chest films."""

    patients: int
    seed: int
    films: Path | None = None


class Demo:
    """Starts the parts one by one; `running` yields once events flow, and ends all of them afterwards.

    Parameters
    ----------
    settings : of the person who runs it. Without a `broker_url` a broker is started.
    console : takes the progress of the start-up.

    Attributes
    ----------
    board : str or None
        Where a browser finds the ward board, token included; None: there is none.
    """

    def __init__(self, settings: Settings, options: Options, console: Console) -> None:
        self.settings = settings
        self.options = options
        self.console = console
        self.stopped_by: int | None = None
        self.board: str | None = None
        self._stop = asyncio.Event()
        self._cluster: Cluster | None = None
        self._children: list[Child] = []
        self._reading: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Tap]:
        """Start everything; what it yields sees all that comes out.

        Raises
        ------
        Interrupted : a signal came.
        Failure : something did not start, or has ended by itself.
        """
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self._stop_for, number)
        with run_folder(self.settings.home / "demo") as folder:
            async with AsyncExitStack() as stack:
                settings = await self._broker(folder, stack)
                tap, lanes = await self._topics(settings, stack)
                key, names = self._dead_letter_key(folder), self._identity_key(folder)
                url = await self._triton(folder, stack)
                stack.push_async_callback(self._end_children, ("worker", "imaging", "flow", "feed", "board"), GRACE_S)
                stack.callback(self._say_ending)
                mine = {} if key is None else {"DEAD_LETTER_KEY_FILE": str(key)}
                mine |= {} if url is None else {"TRITON_URL": url}
                await self._worker(settings, folder, mine, tap, lanes)
                films = self._imaging(settings, folder, mine)
                self._spawn("flow", settings, folder, {**mine, "CLOCK": "feed"}, "worker", "--group", "flow")
                await self._board(settings, folder, names, films)
                self._feed(settings, folder, names, films)
                yield tap

    async def wait(self, seconds: float) -> None:
        """Wait; then look whether all is as it should be.

        Raises
        ------
        Interrupted, Failure : as `running`.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        self._check()

    async def finish(self, tap: Tap) -> None:
        """End the feed, let the workers come to the end of their input, and end the workers too."""
        await self._end_children(("feed",), GRACE_S)
        quiet_since, seen = time.monotonic(), -1
        deadline = quiet_since + DRAIN_DEADLINE_S
        while time.monotonic() < min(quiet_since + QUIET_S, deadline):
            await self.wait(LOOK_S / 2)
            films = tap.tally.inputs[IMAGING.name]
            answers = {model: n.total() for model, n in tap.tally.answers.items()}
            count = tap.tally.events + tap.tally.scores + tap.tally.transitions.total() + sum(answers.values())
            if count != seen or answers.get(FILMS_MODEL, 0) < films:
                quiet_since, seen = time.monotonic(), count
        await self._end_children(("board",), GRACE_S)
        await self._end_children(("worker", "imaging", "flow"), WORKER_GRACE_S)  # it sends its last snapshot
        await asyncio.sleep(LOOK_S)

    def _say_ending(self) -> None:
        with suppress(OSError):  # the terminal may be gone
            self.console.print("ending …", style="dim")

    def _stop_for(self, number: int) -> None:
        self.stopped_by = self.stopped_by or number
        self._stop.set()

    def _check(self) -> None:
        if self._stop.is_set():
            raise Interrupted
        if self._cluster is not None:
            self._cluster.check()
        for child in self._children:
            child.check()
        for task in (self._reading, self._keeping):
            if task is not None and task.done():
                task.result()

    async def _broker(self, folder: Path, stack: AsyncExitStack) -> Settings:
        """The cluster to use: the settings that let us in."""
        if self.settings.broker_url is not None:
            self.console.print(f"using the Kafka at {self.settings.broker_url}: its topics will stay")
            return self.settings
        if self.settings.security_protocol != "PLAINTEXT":
            raise SettingsError(f"{PREFIX}SECURITY_PROTOCOL is set but {PREFIX}BROKER_URL is not: set both or neither")
        cluster = Cluster(folder / "kafka", jars=jars_folder(self.settings))
        with self._step("Apache Kafka, one broker"):
            stack.push_async_callback(asyncio.to_thread, cluster.stop)
            await self._start(cluster.start, lambda: cluster.kill(1))
        self._cluster = cluster
        return cluster.settings(home=folder)

    async def _triton(self, folder: Path, stack: AsyncExitStack) -> str | None:
        """The model server that we bring, if any. The stream goes on without one, so nothing here ends the demo."""
        if self.settings.triton_url is not None:
            self.console.print(f"using the Triton at {self.settings.triton_url}")
            return None
        models = models_in(self.settings.models)
        if not models:
            self.console.print("predictions are off: there is no model yet")
            return None
        try:
            server = TritonServer(
                folder / "triton", self.settings.models, made_of=environment(triton_folder(self.settings))
            )
            with self._step(f"Triton, {', '.join(models)}", server.log):
                stack.push_async_callback(asyncio.to_thread, server.stop)
                await self._start(server.start, server.kill)
        except (TritonMissing, TritonDown) as failure:
            self.console.print(f"predictions are off: {failure}", style="bold", markup=False, highlight=False)
            return None
        self._keeping = asyncio.create_task(self._keep(server))
        stack.push_async_callback(self._end_task, self._keeping)
        return server.url

    async def _keep(self, server: TritonServer) -> None:
        """Start it again when it has ended: meanwhile predictions are degraded, and recover by themselves."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                server.check()
            except TritonDown:
                await asyncio.to_thread(server.kill)  # what is left of it
                await self._start(server.start, server.kill)

    async def _start(self, start: Callable[[], None], kill: Callable[[], None]) -> None:
        """Start something that takes a while; a signal kills it instead."""
        starting = asyncio.create_task(asyncio.to_thread(start))
        try:
            await self._unless_stopped(asyncio.shield(starting))
        except Interrupted:
            while not starting.done():
                with suppress(KeyError, RuntimeError):  # not there yet; when it is, its start fails at once
                    kill()
                await asyncio.wait({starting}, timeout=LOOK_S / 5)
            raise
        finally:
            with suppress(Failure):
                await starting

    async def _topics(self, settings: Settings, stack: AsyncExitStack) -> tuple[Tap, int]:
        options = kafka_client_options(settings)
        with self._step("topics"):
            wanted = wishes(settings.lanes, settings.replication)
            await self._unless_stopped(create_topics(options, wanted))
            lanes = await self._unless_stopped(lane_count(options))
            tap = Tap(options, lanes)
            stack.push_async_callback(tap.stop)
            await self._unless_stopped(tap.start())
            self._reading = asyncio.create_task(tap.run())
            stack.push_async_callback(self._end_task, self._reading)
        return tap, lanes

    async def _end_task(self, task: asyncio.Task[None]) -> None:
        task.cancel()
        await asyncio.wait({task})
        task.cancelled() or task.exception()  # told already, if it matters

    def _dead_letter_key(self, folder: Path) -> Path | None:
        """A key for this run, unless there is one: nobody needs the dead letters of a demo afterwards."""
        if self.settings.dead_letter_key_bytes() is not None:
            return None
        return _new_key(folder / "dead-letter-key")

    def _identity_key(self, folder: Path) -> dict[str, str]:
        """With which the feed seals names and the board opens them: a key for this run, unless there is one."""
        return {} if self.settings.identity_keys() else {"IDENTITY_KEY_FILE": str(_new_key(folder / "identity-key"))}

    async def _worker(self, settings: Settings, folder: Path, mine: dict[str, str], tap: Tap, lanes: int) -> None:
        with self._step("worker", folder / "worker.log"):
            self._spawn("worker", settings, folder, {**mine, "CLOCK": "feed"}, "worker")
            deadline = time.monotonic() + READY_DEADLINE_S
            while tap.pipeline.lanes(now()) < lanes:
                await self.wait(LOOK_S)
                if time.monotonic() > deadline:
                    raise ChildEnded(f"the worker has not opened its lanes in time:\n{tail(folder / 'worker.log')}")

    def _imaging(self, settings: Settings, folder: Path, mine: dict[str, str]) -> Path | None:
        """The group of films, where there is a model for them; returns the folder of the films."""
        if FILMS_MODEL not in models_in(self.settings.models):
            return None
        try:
            films = self.options.films or draw_films(folder / "films")
        except ModuleNotFoundError as missing:
            self.console.print(f"films are off: {missing.name} is not installed (pip install 'wardstream[imaging]')")
            return None
        told = {**mine, "CLOCK": "feed", **_images(films, folder)}
        self._spawn("imaging", settings, folder, told, "worker", "--group", "imaging")
        self.console.print(f"worker of films, log in {shown(folder / 'imaging.log')}", highlight=False)
        return films

    async def _board(self, settings: Settings, folder: Path, names: dict[str, str], films: Path | None) -> None:
        """The ward board for browsers of this machine, with a token of this run."""
        if find_spec("fastapi") is None:
            self.console.print("board: off, fastapi is not installed (pip install 'wardstream[gateway]')", markup=False)
            return
        tokens = folder / "tokens.json"
        token = add_token(tokens, "demo", ("clinician", "operator"))
        told = {"API_LISTEN": "127.0.0.1:0", "TOKENS_FILE": str(tokens), **names}
        if films is not None:
            told |= _images(films, folder)
        log = folder / "board.log"
        self._spawn("board", settings, folder, told, "serve", "api")
        deadline = time.monotonic() + READY_DEADLINE_S
        while (found := BOARD_AT.search(log.read_text(errors="replace") if log.exists() else "")) is None:
            await self.wait(LOOK_S)
            if time.monotonic() > deadline:
                raise ChildEnded(f"the board has not begun to listen in time:\n{tail(log)}")
        self.board = f"{found[1]}#token={token}"
        self.console.print(f"board: {self.board}", markup=False, highlight=False, soft_wrap=True)

    def _feed(self, settings: Settings, folder: Path, names: dict[str, str], films: Path | None) -> None:
        chosen = {"patients": self.options.patients, "seed": self.options.seed, "speed": SPEED, "bad-share": BAD_SHARE}
        words = [word for name, value in chosen.items() for word in (f"--{name}", str(value))]
        words += [] if films is None else ["--films", str(films)]
        self._spawn("feed", settings, folder, names, "simulate", *words)
        what = f"feed: {self.options.patients} simulated patients, {SPEED} times the clock"
        self.console.print(f"{what}, log in {shown(folder / 'feed.log')}", highlight=False)

    def _spawn(self, name: str, settings: Settings, folder: Path, environment: dict[str, str], *words: str) -> None:
        """Start a command of ours; what it is told beyond our own environment goes through `env`."""
        told = {"HOME": str(folder), "BROKER_URL": str(settings.broker_url), **environment}
        told["REPLICATION"] = str(settings.replication)
        command = ["/usr/bin/env", *(f"{PREFIX}{variable}={value}" for variable, value in told.items())]
        command += [sys.executable, "-P", "-m", "wardstream.infra.cli", *words]
        log = folder / f"{name}.log"
        self._children.append(Child(name, spawn(command, log), log))

    async def _end_children(self, names: tuple[str, ...], grace_s: float) -> None:
        ending = [child for child in self._children if child.name in names]
        self._children = [child for child in self._children if child.name not in names]
        await asyncio.to_thread(end, [child.process for child in ending], grace_s=grace_s)

    async def _unless_stopped(self, work: Awaitable[T]) -> T:
        """Wait for something, or raise `Interrupted` as soon as a signal comes."""
        task, stop = asyncio.ensure_future(work), asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError, Failure):
                    await task
                raise Interrupted
            return task.result()
        finally:
            stop.cancel()

    @contextmanager
    def _step(self, what: str, log: Path | None = None) -> Iterator[None]:
        began = time.monotonic()
        where = "" if log is None else f", log in {shown(log)}"
        with self.console.status(f"{what} …"):
            yield
        self.console.print(f"{what}: {time.monotonic() - began:.1f} s{where}", highlight=False)


def draw_films(folder: Path) -> Path:
    """Chest films drawn by code (nobody's): of children, every other one with a shadow, and one of a grown-up."""
    from wardstream.infra.feeds.films import film

    folder.mkdir()
    for number, age in enumerate((1, 2, 3, 4, 5, 40)):
        shadow: Literal["none", "left", "right"] = ("none", "left", "right")[number % 3]
        (folder / f"{number}.dcm").write_bytes(film(f"demo {number}", datetime.now(UTC), age, shadow))
    return folder


def prepare(settings: Settings, console: Console) -> None:
    """Bring Kafka's jars and Triton unless they are there or not needed.

    Nothing is running yet: Ctrl-C ends it as ever. A machine that cannot have Triton runs the demo without.
    """
    if settings.broker_url is None:
        fetch(jars_folder(settings), console=console)
    if settings.triton_url is None and models_in(settings.models):
        try:
            fetch_triton(triton_folder(settings), console=console)
        except TritonMissing as missing:
            console.print(str(missing), style="bold", markup=False, highlight=False)


def _new_key(path: Path) -> Path:
    write_private(path, base64.b64encode(os.urandom(KEY_BYTES)))
    return path


def _images(films: Path, folder: Path) -> dict[str, str]:
    """Where films are, and the pictures of what was seen in them."""
    saliency = folder / "saliency"
    saliency.mkdir(exist_ok=True)
    return {"IMAGING_FOLDERS": json.dumps([str(films.resolve())]), "IMAGING_SALIENCY_FOLDER": str(saliency)}
