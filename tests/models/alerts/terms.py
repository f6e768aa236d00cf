"""The policy of one condition, in numbers, for tests of the life of alerts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from wardstream.models.alerts.policy import Quiet, Rule, Tier
from wardstream.schemas.alerts import Priority


@dataclass(frozen=True)
class Terms:
    """One condition's policy, in numbers (s). Quiet hours: from, to (s of the day), and of which priorities."""

    hold: float = 0.0
    silence: float = 1800.0
    reassess: float = 3600.0
    max_snooze: float = 1800.0
    expire: float = 7200.0
    tiers: dict[Priority, tuple[float, ...]] = field(default_factory=dict)
    repeat: dict[Priority, float] = field(default_factory=dict)
    quiet: tuple[float, float, tuple[Priority, ...]] | None = None

    def rule(self, name: str) -> Rule:
        quiet: tuple[Quiet, ...] = ()
        if self.quiet is not None:
            begin, end = (datetime.fromtimestamp(at, UTC).time() for at in self.quiet[:2])
            quiet = (Quiet(frozenset(), begin, end, frozenset(self.quiet[2])),)
        return Rule(
            name=name,
            kind="score",
            hold_s=self.hold,
            silence_s=self.silence,
            reassess_s=self.reassess,
            max_snooze_s=self.max_snooze,
            expire_s=self.expire,
            all_tiers={
                of: tuple(Tier((f"role{n}",), s) for n, s in enumerate(all_)) for of, all_ in self.tiers.items()
            },
            all_repeats=self.repeat,
            quiet=quiet,
        )

    def quiet_end(self, at: float, priority: Priority | None) -> float | None:
        if self.quiet is None or priority not in self.quiet[2]:
            return None
        begin, end, _ = self.quiet
        return at - at % 86400 + end if begin <= at % 86400 < end else None
