"""The strip above the beds: how the stream itself is doing, in lines of 80 columns: three, and one a model. Pure."""

from __future__ import annotations

from datetime import datetime

from wardstream.agents.metrics import MODEL_ROWS, MODEL_SECONDS
from wardstream.infra.view.board import clock
from wardstream.infra.view.pipeline import Pipeline, Value
from wardstream.infra.view.tally import Latency, Tally, listed, quantile
from wardstream.infra.view.ward import Ward


def strip(ward: Ward, tally: Tally, pipeline: Pipeline, lanes: int, now: datetime, elapsed_s: float) -> tuple[str, ...]:
    """What the pipeline does now.

    Parameters
    ----------
    lanes : how many there are.
    now : the wall clock.
    elapsed_s : since the events began to flow.
    """
    speed = tally.speed()
    fast = "" if speed is None else f" ×{speed:.0f}"
    minutes, seconds = divmod(int(elapsed_s), 60)
    return (
        f"wardstream   ward time {clock(ward.now)}{fast}   running {minutes}:{seconds:02d}"
        f"   patients {pipeline.patients(now)}   lanes {pipeline.lanes(now)}/{lanes}",
        f"{tally.events_per_s():.1f} events/s   lag {pipeline.lag(now):.0f}"
        f"   publish→score {_pair(tally.to_score)}, →alert {_pair(tally.to_alert)} ms p50/p99",
        f"dead letters {tally.dead.total()}   "
        + ", ".join(f"{why} {count}" for why, count in tally.dead.most_common()),
        *_models(tally, pipeline, now),
    )


def _models(tally: Tally, pipeline: Pipeline, now: datetime) -> list[str]:
    """One line a model that has answered: its version, how far to trust it, how it is asked."""
    if not tally.answers:
        return []
    asked: dict[tuple[str, str], Value] = {(one.name, one.labels): one for one in pipeline.series(now)}
    lines = []
    for model, found in tally.answers.items():
        label = f'model="{model}"'
        seconds, rows = (asked.get((metric.name, label)) for metric in (MODEL_SECONDS, MODEL_ROWS))
        line = f"{model} {tally.versions.get(model, '–')}: {listed(found)}"
        if seconds is not None and seconds.p50 is not None and seconds.p99 is not None:
            line += f"   asked in {seconds.p50 * 1000:.0f}/{seconds.p99 * 1000:.0f} ms p50/p99"
        if rows is not None and rows.p50 is not None:
            line += f", {rows.p50:.0f} rows at once"
        lines.append(line)
    return lines


def progress_line(ward: Ward, tally: Tally, elapsed_s: float) -> str:
    """The same in one line, where there is no terminal."""
    minutes, seconds = divmod(int(elapsed_s), 60)
    raised, resolved = tally.transitions["raised"], tally.transitions["resolved"]
    return (
        f"{minutes:02d}:{seconds:02d}  ward time {clock(ward.now)}  events {tally.events:,}  scores {tally.scores:,}  "
        f"alerts raised {raised}, resolved {resolved}  dead letters {tally.dead.total()}  "
        f"p50/p99 to score {_pair(tally.to_score)} ms"
    )


def _pair(latency: Latency) -> str:
    recent = latency.recent()
    p50, p99 = quantile(recent, 0.5), quantile(recent, 0.99)
    return "–" if p50 is None or p99 is None else f"{p50:.0f}/{p99:.0f}"
