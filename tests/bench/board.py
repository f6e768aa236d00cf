"""300 beds on the ward board, each changing every second: what that costs the page. It takes ten minutes.

Chromium's own trace says when the tasks of the page's main thread ran, and for how much of its own time: what another
process took from it meanwhile is not its work. Work is summed in steps of a sixtieth of a second; steps without work
are not counted. Memory is the heap after a collection. The server and what is told run in this process, so that all
share the machine. `python -m tests.bench.board --minutes 1` needs none of what `make bench` installs.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.bench.timeline import quantile
from tests.board.browser import Browser, browser, chromium, packages
from tests.board.serving import Shown, raised, shown

MINUTES = 10
BEDS, UNITS = 300, 12
LONG_MS = 50
_TRACED_S, _MINUTE_S = 40, 60.0
_TURNS = 0.01  # of the scores change at each update: three beds a second
_SETTLE_S = 5
_TRACE = """
const session = await page.context().newCDPSession(page);
await session.send("Performance.enable");
const browser = await page.context().browser().newBrowserCDPSession();
const events = [];
browser.on("Tracing.dataCollected", ({ value }) => events.push(...value));
const traceConfig = { includedCategories: ["toplevel", "__metadata"] };
await browser.send("Tracing.start", { traceConfig, transferMode: "ReportEvents" });
await page.waitForTimeout(SECONDS * 1000);
const done = new Promise((resolve) => browser.once("Tracing.tracingComplete", resolve));
await browser.send("Tracing.end");
await done;
const thread = ({ pid, tid }) => `${pid}/${tid}`;
const named = events.filter((one) => one.name === "thread_name" && one.args.name === "CrRendererMain");
const mains = new Set(named.map(thread));
const isTask = (one) => one.name === "ThreadControllerImpl::RunTask" && one.ph === "X";
// What was under way when the trace ended has no length.
const tasks = events.filter((one) => isTask(one) && mains.has(thread(one)) && one.tdur !== undefined);
const steps = new Map();
for (const { ts, tdur } of tasks) {
  const step = Math.floor(ts / 16_667);
  steps.set(step, (steps.get(step) ?? 0) + tdur / 1000);
}
await session.send("HeapProfiler.collectGarbage");
const { metrics } = await session.send("Performance.getMetrics");
const { JSHeapUsedSize, Nodes, JSEventListeners } = Object.fromEntries(metrics.map(({ name, value }) => [name, value]));
await session.detach();
await browser.detach();
return {
  steps: [...steps.values()],
  longest_ms: Math.max(...tasks.map((one) => one.tdur / 1000)),
  longest_wall_ms: Math.max(...tasks.map((one) => one.dur / 1000)),
  heap_mb: JSHeapUsedSize / 1e6,
  nodes: Nodes,
  listeners: JSEventListeners,
};
"""


def board(minutes: float, save: Path | None = None) -> list[dict[str, Any]]:
    """Each minute's figures, of a screen of 1920 x 1080."""
    found = asyncio.run(_board(minutes))
    if save is not None:
        save.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    return found


def board_table(found: list[dict[str, Any]]) -> str:
    """The figures by minute; work beyond what a frame may take is marked."""
    heads = ("minute", "frames with work", "median ms", "99 % ms", "most ms", "above 50 ms", "heap MB", "nodes", "load")
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    lines += [_row(minute, one) for minute, one in enumerate(found, 1)]
    if long := sum(one["long"] for one in found):
        lines.append(f"\n**{long} frames took more than {LONG_MS} ms of work**")
    return "\n".join(lines)


def _row(minute: int, one: dict[str, Any]) -> str:
    return (
        f"| {minute} | {one['frames']} | {one['median_ms']:.1f} | {one['p99_ms']:.1f} | {one['most_ms']:.1f} "
        f"| {one['long']} | {one['heap_mb']:.1f} | {one['nodes']:.0f} | {one['load']:.1f} |"
    )


async def _board(minutes: float) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    with pytest.MonkeyPatch.context() as patch:
        async with shown(patch) as served, browser(packages(), chromium()) as chrome:
            for number in range(20):
                served.say(raised(f"p{number}", f"ward-{number % UNITS}", f"{number:03}"))
            async with asyncio.TaskGroup() as group:
                living = group.create_task(_live(served))
                await chrome.do(
                    "wall",
                    f"await page.goto('{served.url}/#token=nurse');"
                    f"await page.locator('.tile').nth({BEDS - 1}).waitFor({{ state: 'attached' }});",
                    viewport={"width": 1920, "height": 1080},
                )
                await asyncio.sleep(_SETTLE_S)
                for _ in range(max(1, round(minutes))):
                    found.append(await _minute(chrome))
                    print(_row(len(found), found[-1]), file=sys.stderr, flush=True)
                living.cancel()
    return found


async def _minute(chrome: Browser) -> dict[str, Any]:
    end, load = time.monotonic() + _MINUTE_S, os.getloadavg()[0]
    found: dict[str, Any] = await chrome.do("wall", _TRACE.replace("SECONDS", str(_TRACED_S)))
    steps = sorted(found.pop("steps"))
    await asyncio.sleep(max(0.0, end - time.monotonic()))
    return found | {
        "frames": len(steps),
        "median_ms": quantile(steps, 0.5),
        "p99_ms": quantile(steps, 0.99),
        "most_ms": steps[-1],
        "long": sum(step > LONG_MS for step in steps),
        "load": load,
    }


async def _live(board: Shown) -> None:
    rng = random.Random(1)
    news2 = [rng.choice((0, 1, 2, 3, 5, 7)) for _ in range(BEDS)]
    while True:
        for bed in range(BEDS):
            if rng.random() < _TURNS:
                news2[bed] = rng.choice((0, 1, 2, 3, 5, 7))
            board.patient(
                f"p{bed}",
                f"ward-{bed % UNITS}",
                f"{bed:03}",
                news2[bed],
                bed % 50 / 100 + rng.random() / 100,
                heart_rate_bpm=float(rng.randint(60, 120)),
            )
            if bed % 60 == 0:
                await asyncio.sleep(0.2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    print(board_table(board(parser.parse_args().minutes)))
