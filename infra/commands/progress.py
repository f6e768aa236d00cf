"""Progress of long commands: a bar on standard error; without a terminal, a line a task and none a second."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from wardstream.models.training.recipe import Report

EVERY_S = 30.0  # between lines where there is no terminal


@contextmanager
def shown() -> Iterator[Report]:
    """A `Report` that people see."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, TextColumn("{task.fields[told]}"), console=console) as bar:
        tasks: dict[str, TaskID] = {}

        def report(task: str, done: int, of: int, told: str = "") -> None:
            if task not in tasks:
                for name in list(tasks):
                    bar.remove_task(tasks.pop(name))
                tasks[task] = bar.add_task(task, total=of, told=told)
            bar.update(tasks[task], completed=done, total=of, told=told)

        yield report


class _Lines:
    """One line when a task is over, and every half minute."""

    def __init__(self, console: Console) -> None:
        self._console, self._began, self._last = console, time.monotonic(), 0.0

    def __call__(self, task: str, done: int, of: int, told: str = "") -> None:
        now = time.monotonic()
        if done >= of or now - self._last > EVERY_S:
            self._last = now
            self._console.print(f"{now - self._began:7.0f} s  {task}: {done}/{of} {told}", highlight=False)
