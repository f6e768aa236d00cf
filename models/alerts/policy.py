"""Which conditions raise alerts, from where, for how long, and whom they reach: a site's policy, as data.

A policy is a TOML file, which `policy_file` reads. `default.toml` beside this module holds until another is applied,
and says in its comments what each entry means. Units may differ from the hospital
(`[units."4B".conditions.news2]`), and a patient from both for as long as a clinician's order holds (directives.v1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta, tzinfo
from functools import cached_property
from hashlib import sha256
from typing import Any, Final, Literal, NamedTuple, get_args

from wardstream.models.alerts.operators import OPERATOR_KINDS
from wardstream.schemas.alerts import Priority, Suggestion
from wardstream.schemas.directives import Thresholds
from wardstream.schemas.operator_alerts import OperatorKind

PRIORITIES: Final[tuple[Priority, ...]] = get_args(Priority)
PatientKind = Literal["score", "prediction", "lab", "finding", "staleness"]
AnyKind = PatientKind | OperatorKind
_MOST_RULES: Final = 10_000


class Tier(NamedTuple):
    """Roles that are told, so many seconds after the alert was raised if nobody has answered."""

    to: tuple[str, ...]
    after_s: float


class Quiet(NamedTuple):
    """Hours of the day in which alerts of some priorities wait, in some units (none named: in all)."""

    units: frozenset[str]
    begin: time
    end: time
    priorities: frozenset[Priority]

    def until(self, now: datetime) -> datetime | None:
        """When the hours that hold now end (local time); None: they do not hold."""
        begin, end, at = self.begin, self.end, now.time()
        holds = begin <= at < end if begin < end else at >= begin or at < end
        if not holds:
            return None
        over = datetime.combine(now.date(), end.replace(fold=now.fold), now.tzinfo)
        return over if over > now else over + timedelta(days=1)


@dataclass(frozen=True)
class Rule:
    """What holds for one condition in one unit. Times in seconds.

    Attributes
    ----------
    low, medium, high : float or None
        From which value on the alert has this priority; None: never by value. `by_model` in their place: the threshold
        that the model brings is that of `by_model`.
    single : Priority or None
        Of a score: the priority of a part that gives its most points (3) by itself.
    end : float or None
        At or below it a score is over.
    end_share : float
        Of the lowest threshold: below it a probability is over.
    within_h : float
        Of a model: the hours whose answers count; of a forecast: how many hours ahead it is looked at.
    least : int
        Answers, or patients of a unit, of which a share says something.
    """

    name: str
    kind: AnyKind
    of: str | None = None
    low: float | None = None
    medium: float | None = None
    high: float | None = None
    by_model: Priority | None = None
    single: Priority | None = None
    end: float | None = None
    end_share: float = 0.5
    within_h: float = 1.0
    least: int = 1
    priority: Priority | None = None
    flags: frozenset[str] = frozenset()
    hold_s: float = 0.0
    silence_s: float = 0.0
    reassess_s: float = 4 * 3600.0
    max_snooze_s: float = 0.0
    expire_s: float | None = None
    silent: bool = False
    suggest: Mapping[Priority, str] = field(default_factory=dict)
    source: str = ""
    all_tiers: Mapping[Priority, tuple[Tier, ...]] = field(default_factory=dict)
    all_repeats: Mapping[Priority, float] = field(default_factory=dict)
    quiet: tuple[Quiet, ...] = ()
    zone: tzinfo = UTC

    def priority_of(self, value: float, model_threshold: float | None = None) -> Priority | None:
        """The priority that a value has; None: none. A threshold `by_model` is the one that is given."""
        steps = {"low": self.low, "medium": self.medium, "high": self.high}
        if self.by_model is not None:
            steps[self.by_model] = model_threshold
        for priority in PRIORITIES:
            step = steps[priority]
            if step is not None and value >= step:
                return priority
        return None

    def lowest(self, model_threshold: float | None = None) -> float | None:
        """The lowest threshold; None: there is none."""
        steps = [self.low, self.medium, self.high, model_threshold if self.by_model is not None else None]
        return min((step for step in steps if step is not None), default=None)

    def tiers(self, priority: Priority) -> tuple[Tier, ...]:
        """Who is told of an alert of this priority, the first at once."""
        return self.all_tiers.get(priority, ())

    def told(self, priority: Priority, tier: int) -> tuple[str, ...]:
        """All roles that have been told up to a tier, without repetition."""
        return tuple(dict.fromkeys(role for to, _ in self.tiers(priority)[: tier + 1] for role in to))

    def repeat_s(self, priority: Priority) -> float | None:
        """After how long the last tier is told again; None: not."""
        return self.all_repeats.get(priority)

    def quiet_until(self, at: float, priority: Priority) -> float | None:
        """When the quiet hours end that hold at a time (s since 1970) for this priority; None: none hold."""
        if not self.quiet:
            return None
        now = datetime.fromtimestamp(at, self.zone)
        ends = [quiet.until(now) for quiet in self.quiet if priority in quiet.priorities]
        return max((end.timestamp() for end in ends if end is not None), default=None)

    def suggestion(self, priority: Priority) -> Suggestion | None:
        """What is usually done; None: the policy says nothing."""
        text = self.suggest.get(priority)
        return None if text is None else Suggestion(text=text, source=self.source)

    def for_patient(self, own: Thresholds | None) -> Rule:
        """The rule with a patient's own thresholds in place of the policy's. Its end keeps its distance.

        A threshold that is now above one of higher priority takes that with it: below it nothing is raised.
        """
        if own is None:
            return self
        steps: dict[str, Any] = {}
        least: float | None = None
        for name in ("low", "medium", "high"):
            given = getattr(own, name)
            step = getattr(self, name) if given is None else given
            if given is not None:
                least = given
            elif step is not None and least is not None:
                step = max(step, least)
            steps[name] = step
        by_model = self.by_model if self.by_model is not None and steps[self.by_model] is None else None
        changed = replace(self, by_model=by_model, **steps)
        before, now = self.lowest(), changed.lowest()
        if self.end is not None and before is not None and now is not None:
            changed = replace(changed, end=max(0.0, self.end + now - before))
        return changed


class Policy:
    """A policy that holds together.

    Attributes
    ----------
    text : str
        The file.
    digest : str
        SHA-256 of its UTF-8, in hex.
    conditions, units : mapping
        The hospital's rules by name; by unit, those that it has of its own.
    quiet : list of Quiet
        Hours in which alerts wait.
    """

    def __init__(
        self, text: str, conditions: Mapping[str, Rule], units: Mapping[str, Mapping[str, Rule]], quiet: list[Quiet]
    ) -> None:
        self.text = text
        self.conditions = conditions
        self.units = units
        self.quiet = quiet
        self._rules: dict[tuple[str, str | None], Rule | None] = {}
        self._of_kind: dict[tuple[AnyKind, str | None], tuple[Rule, ...]] = {}

    @cached_property
    def digest(self) -> str:
        return sha256(self.text.encode()).hexdigest()

    def rule(self, condition: str, unit: str | None) -> Rule | None:
        """The rule of a condition (of a result: with its analyte after a point) in a unit; None: it has none."""
        name = condition.split(".", 1)[0]
        place = name, unit
        if place not in self._rules:
            if len(self._rules) > _MOST_RULES:  # units come from feeds: any number of names
                self._rules.clear()
            found = self.units.get(unit or "", {}).get(name) or self.conditions.get(name)
            if found is not None:
                here = tuple(q for q in self.quiet if not q.units or unit in q.units)
                found = replace(found, quiet=() if found.kind in OPERATOR_KINDS else here)  # they are the wards'
            self._rules[place] = found
        return self._rules[place]

    def rules(self, kind: AnyKind, unit: str | None) -> tuple[Rule, ...]:
        """The rules of one kind in a unit."""
        place = kind, unit
        found = self._of_kind.get(place)
        if found is None:
            if len(self._of_kind) > _MOST_RULES:
                self._of_kind.clear()
            names = [name for name, rule in self.conditions.items() if rule.kind == kind]
            found = tuple(rule for name in names if (rule := self.rule(name, unit)) is not None)
            self._of_kind[place] = found
        return found
