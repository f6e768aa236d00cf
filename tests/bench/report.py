"""Results as markdown tables for the README. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tests.bench.contestants import ALL, Contestant
from tests.bench.steady import settled
from tests.bench.timeline import spread


def table(results: Iterable[Mapping[str, Any]]) -> str:
    """Throughput of the contestants of one job: medians, the spread, and what bounds each figure.

    "wardstream is" compares what ran in the same repeat, one after the other: the machine is not as fast at all times.
    """
    rows: dict[tuple[str, str, str], dict[int, Mapping[str, Any]]] = {}
    troubles: list[str] = []
    for result in results:
        name, job = result["contestant"], result["job"]
        if "failed" in result:
            troubles.append(f"{name} failed: {result['failed'].splitlines()[0]}")
            continue
        if result["wrong_patients"] or result["outputs"] != result["events"]:
            troubles.append(
                f"{name}: {result['outputs']} outputs of {result['events']} events, "
                f"{result['wrong_patients']} patients wrong"
            )
        for part in ("whole", "cold", "warm"):
            if part in result:
                rows.setdefault((job, name, part), {})[result["repeat"]] = result[part]
    known: dict[tuple[str, str], Contestant] = {(who.job, who.name): who for who in ALL}
    ours = {job: found for (job, name, _), found in rows.items() if name.startswith("wardstream")}
    lines = ["| | msg/s | wardstream is | CPU µs | keeps | bounded by |", "| --- | --- | --- | --- | --- | --- |"]
    for (job, name, part), found in rows.items():
        rate, cpu = spread([one["per_s"] for one in found.values()]), spread([one["cpu_us"] for one in found.values()])
        who = known[job, name]
        label = name if part == "whole" else f"{name}, {part}"
        lines.append(
            f"| {label} | {rounded(rate.median)} ({rounded(rate.low)}–{rounded(rate.high)}) "
            f"| {_times(ours.get(job, {}), found)} | {cpu.median:.3g} | {who.keeps} | {who.bounds} |"
        )
    return "\n".join(lines + [f"\n**{trouble}**" for trouble in dict.fromkeys(troubles)])


def _times(ours: Mapping[int, Mapping[str, Any]], found: Mapping[int, Mapping[str, Any]]) -> str:
    if ours is found or not (both := sorted(ours.keys() & found.keys())):
        return ""
    times = spread([ours[repeat]["per_s"] / found[repeat]["per_s"] for repeat in both])
    digits = 2 if times.median < 2 else 1 if times.median < 20 else 0
    return f"{times.median:.{digits}f}× ({times.low:.{digits}f}–{times.high:.{digits}f})"


def rounded(value: float) -> str:
    """Two or three digits that mean something, with separators."""
    digits = len(str(int(value)))
    return f"{round(value, 3 - digits):,.0f}" if digits > 3 else f"{value:.0f}"


def latency_table(results: Iterable[Mapping[str, Any]]) -> str:
    """Latency by rate."""
    lines = [
        "| events/s | p50 ms | p95 ms | p99 ms | max ms | worker's share of its core |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for one in results:
        if one["p50_ms"] is None:
            lines.append(f"| {one['rate']:,} | nothing came out | | | | |")
            continue
        over = "" if one["out_per_s"] >= 0.95 * one["rate"] else f" (saturated: {rounded(one['out_per_s'])}/s)"
        times = " | ".join(f"{one[name]:.0f}" for name in ("p50_ms", "p95_ms", "p99_ms", "max_ms"))
        lines.append(f"| {one['rate']:,}{over} | {times} | {one['worker_cpu_share']:.0%} |")
    return "\n".join(lines)


def steady_table(one: Mapping[str, Any]) -> str:
    """Memory and descriptors of each third of the time, and latency."""
    memory, descriptors = settled(one["looks"], "rss_mb"), settled(one["looks"], "descriptors")
    lines = ["| minutes | memory MB (min–max) | descriptors (min–max) |", "| --- | --- | --- |"]
    for number, part in enumerate(memory):
        begin, end = (one["minutes"] * third / 3 for third in (number, number + 1))
        (low, high), (few, many) = memory[part], descriptors[part]
        lines.append(f"| {begin:.0f}–{end:.0f} | {low:.0f}–{high:.0f} | {few:.0f}–{many:.0f} |")
    seen = f"{one['seen']:,} of {one['sent']:,} events at {rounded(one['rate'])}/s"
    times = ", ".join(f"{name} {one[f'{name}_ms']:.0f} ms" for name in ("p50", "p95", "p99", "max"))
    return "\n".join([*lines, "", f"{seen}: {times}; the worker used {one['worker_cpu_share']:.0%} of its core"])


def patients_table(results: Iterable[Mapping[str, Any]]) -> str:
    """Memory and restore by number of patients."""
    lines = [
        "| patients | events | memory loaded / restored MB | restore s | changelog written → left (keys) |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {one['patients']:,} | {one['events']:,} | {one['loaded_rss_mb']:.0f} / {one['restored_rss_mb']:.0f} "
        f"| {one['restore_s']:.1f} | {one['changelog_written']:,} → {one['changelog_left']:,} "
        f"({one['changelog_keys']:,}) |"
        for one in results
    ]
    return "\n".join(lines)


def scaling_table(results: Iterable[Mapping[str, Any]]) -> str:
    """Throughput and cost by lanes and workers."""
    shapes: dict[tuple[int, int], list[Mapping[str, Any]]] = {}
    for one in results:
        shapes.setdefault((one["lanes"], one["workers"]), []).append(one)
    lines = ["| lanes | workers | msg/s, all on one core (min–max) | msg a CPU second |", "| --- | --- | --- | --- |"]
    for (lanes, workers), found in shapes.items():
        rate, cost = spread([one["per_s"] for one in found]), spread([one["per_cpu_s"] for one in found])
        lines.append(
            f"| {lanes} | {workers} | {rounded(rate.median)} ({rounded(rate.low)}–{rounded(rate.high)}) "
            f"| {rounded(cost.median)} |"
        )
    return "\n".join(lines)
