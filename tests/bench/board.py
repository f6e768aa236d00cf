"""`python -m tests.bench.board [--seconds 600]`: 300 beds on the ward board, each changing every second.

Main-thread work is Chromium's own trace: the tasks of the page's main thread, summed in steps of a sixtieth of a
second; steps without work are not counted. Memory is the heap after a collection. The server runs in this process, so
that both share the machine: the figures are rather too high than too low.
"""

from __future__ import annotations

import argparse
import asyncio
import random
from typing import Any

import pytest

from tests.board.browser import browser, chromium, packages
from tests.board.serving import Shown, raised, shown

BEDS, UNITS = 300, 12
MEASURE_S = 20
TURNS = 0.01  # of the scores change at each update: three beds a second
_TRACE = """
const session = await page.context().newCDPSession(page);
const heap = async () => {
  await session.send("HeapProfiler.collectGarbage");
  const { metrics } = await session.send("Performance.getMetrics");
  return Object.fromEntries(metrics.map(({ name, value }) => [name, value]));
};
await session.send("Performance.enable");
const browser = page.context().browser() ? await page.context().browser().newBrowserCDPSession() : session;
const events = [];
const take = ({ value }) => events.push(...value);
browser.on("Tracing.dataCollected", take);
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
const tasks = events.filter((one) => isTask(one) && mains.has(thread(one)));
const steps = new Map();
for (const { ts, dur } of tasks) {
  const step = Math.floor(ts / 16_667);
  steps.set(step, (steps.get(step) ?? 0) + dur / 1000);
}
const { JSHeapUsedSize, Nodes, JSEventListeners } = await heap();
return {
  steps: [...steps.values()],
  longest: Math.max(...tasks.map((one) => one.dur / 1000)),
  heap: JSHeapUsedSize,
  nodes: Nodes,
  listeners: JSEventListeners,
};
"""


async def _live(board: Shown) -> None:
    rng = random.Random(1)
    news2 = [rng.choice((0, 1, 2, 3, 5, 7)) for _ in range(BEDS)]
    while True:
        for bed in range(BEDS):
            if rng.random() < TURNS:
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


async def board(seconds: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        async with shown(patch) as served, browser(packages(), chromium()) as chrome:
            for number in range(20):
                served.say(raised(f"p{number}", f"ward-{number % UNITS}", f"{number:03}"))
            living = asyncio.create_task(_live(served))
            try:
                await chrome.do(
                    "wall",
                    f"await page.goto('{served.url}/#token=nurse');"
                    f"await page.locator('.tile').nth({BEDS - 1}).waitFor({{ state: 'attached' }});"
                    "await page.waitForTimeout(3000)",
                    viewport={"width": 1920, "height": 1080},
                )
                for _ in range(max(1, seconds // MEASURE_S)):
                    _say(await chrome.do("wall", _TRACE.replace("SECONDS", str(MEASURE_S))))
            finally:
                living.cancel()


def _say(found: dict[str, Any]) -> None:
    steps = sorted(found["steps"])
    median, p99 = steps[len(steps) // 2], steps[len(steps) * 99 // 100]
    print(
        f"a frame with work: median {median:.1f} ms, 99 % {p99:.1f} ms, most {steps[-1]:.1f} ms; "
        f"longest task {found['longest']:.1f} ms; above 50 ms: {sum(step > 50 for step in steps)} of {len(steps)}; "
        f"heap {found['heap'] / 1e6:.1f} MB, {found['nodes']:.0f} nodes, {found['listeners']:.0f} listeners",
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=600)
    asyncio.run(board(parser.parse_args().seconds))
