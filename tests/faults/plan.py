"""Which faults, in which order, when and at what: all of it from one seed."""

from __future__ import annotations

import random
from dataclasses import dataclass

KINDS = (
    "kill_worker",
    "terminate_worker",
    "stop_worker",
    "kill_broker",
    "pause_broker",
    "kill_controller",
    "pause_controller",
    "rebalance",
    "rolling_upgrade",
    "cut_network",
    "slow_link",
    "full_disk",
    "recreate_topic",
    "outage_hour",
)


@dataclass(frozen=True)
class Step:
    """One fault: after so many seconds of quiet. `rng` makes every choice in it."""

    number: int
    kind: str
    quiet_s: float
    rng: random.Random


def plan(faults: int, seed: int, quiet_s: tuple[float, float]) -> list[Step]:
    """So many faults: each kind once, in a random order, before any comes again."""
    rng = random.Random(f"faults/{seed}")
    order: list[str] = []
    while len(order) < faults:
        order += rng.sample(KINDS, len(KINDS))
    return [
        Step(number, kind, rng.uniform(*quiet_s), random.Random(f"faults/{seed}/{number}"))
        for number, kind in enumerate(order[:faults], start=1)
    ]
