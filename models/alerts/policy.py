"""Which conditions raise alerts, from where, for how long, and whom they reach: a site's policy, as data.

A policy is a TOML file; `default.toml` beside this module is the one that holds until another is applied, and says in
its comments what each entry means. `parse_policy` reads it whole and names every mistake by its path. Units may differ
from the hospital (`[units."4B".conditions.news2]`), and a patient from both for as long as a clinician's order holds
(directives.v1).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, time, timedelta
from functools import cached_property
from hashlib import sha256
from importlib.resources import files
from typing import Any, Final, Literal, NamedTuple, get_args
from zoneinfo import ZoneInfo

import msgspec

from wardstream.schemas.alerts import Priority, Suggestion
from wardstream.schemas.directives import Thresholds

FORMAT: Final = 1
PRIORITIES: Final[tuple[Priority, ...]] = get_args(Priority)
PatientKind = Literal["score", "prediction", "lab", "finding", "staleness"]
OperatorKind = Literal["feed", "model", "data", "forecast"]
AnyKind = PatientKind | OperatorKind
BY_MODEL: Final = "model"
_MINUTE: Final = 60.0
_HOUR: Final = 3600.0
_WEEK_MIN: Final = 7 * 24 * 60
_NAMELESS: Final = frozenset({"staleness", "lab"})  # kinds whose priority is stated, for nothing is measured


class PolicyError(ValueError):
    """A policy cannot be used; `mistakes` has one line each, beginning with the path of the entry."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


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
        over = now.replace(hour=end.hour, minute=end.minute, second=0, microsecond=0)
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
    priority: Priority | None = None
    flags: frozenset[str] = frozenset()
    hold_s: float = 0.0
    silence_s: float = 0.0
    reassess_s: float = 4 * _HOUR
    max_snooze_s: float = 0.0
    expire_s: float | None = None
    silent: bool = False
    suggest: Mapping[Priority, str] = field(default_factory=dict)
    source: str = ""
    all_tiers: Mapping[Priority, tuple[Tier, ...]] = field(default_factory=dict)
    all_repeats: Mapping[Priority, float] = field(default_factory=dict)
    quiet: tuple[Quiet, ...] = ()
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))

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
        """The rule with a patient's own thresholds in place of the policy's. Its end keeps its distance."""
        if own is None:
            return self
        steps = {name: value for name in PRIORITIES if (value := getattr(own, name)) is not None}
        changed = replace(self, by_model=None if self.by_model in steps else self.by_model, **steps)
        before, now = self.lowest(), changed.lowest()
        if self.end is not None and before is not None and now is not None:
            changed = replace(changed, end=self.end + now - before)
        return changed


class Policy:
    """A policy that holds together.

    Attributes
    ----------
    text : str
        The file.
    digest : str
        SHA-256 of its UTF-8, in hex.
    conditions : mapping
        The hospital's rules by name.
    """

    def __init__(
        self, text: str, conditions: Mapping[str, Rule], units: Mapping[str, Mapping[str, Rule]], quiet: list[Quiet]
    ) -> None:
        self.text = text
        self.conditions = conditions
        self._units = units
        self._quiet = quiet
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
            found = self._units.get(unit or "", {}).get(name) or self.conditions.get(name)
            if found is not None:
                here = tuple(q for q in self._quiet if not q.units or unit in q.units)
                found = replace(found, quiet=here)
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


_MOST_RULES: Final = 10_000


class _Condition(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`[conditions.NAME]`, as it is written."""

    kind: AnyKind
    of: str | None = None
    low: float | Literal["model"] | None = None
    medium: float | Literal["model"] | None = None
    high: float | Literal["model"] | None = None
    single: Priority | None = None
    end: float | None = None
    end_share: float | None = None
    priority: Priority | None = None
    flags: list[str] | None = None
    hold_min: float | None = None
    silence_min: float | None = None
    reassess_min: float | None = None
    max_snooze_min: float | None = None
    expire_h: float | None = None
    silent: bool = False
    suggest: dict[Priority, str] = {}
    source: str = ""


class _Times(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    hold_min: float = 0.0
    silence_min: float = 30.0
    reassess_min: float = 240.0
    max_snooze_min: float = 120.0
    expire_h: float = 48.0


class _Tier(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    to: list[str]
    after_min: float = 0.0


class _Quiet(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, rename={"begin": "from", "end": "to"}):
    begin: str
    end: str
    priorities: list[Literal["low", "medium"]]
    units: list[str] = []


_TOP: Final = ("format", "timezone", "times", "tiers", "repeat_min", "conditions", "units", "quiet")


def parse_policy(text: str) -> Policy:
    """Read a policy.

    Raises
    ------
    PolicyError
        With all mistakes, each naming its entry.
    """
    try:
        written = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError([f"not TOML: {error}"]) from None
    return _Reader(text, written).policy()


class _Reader:
    def __init__(self, text: str, written: dict[str, Any]) -> None:
        self._text = text
        self._written = written
        self._mistakes: list[str] = []

    def policy(self) -> Policy:
        written = self._written
        for name in written.keys() - set(_TOP):
            self._wrong(name, "there is no such entry")
        if written.get("format") != FORMAT:
            self._wrong("format", f"must be {FORMAT}")
        zone = self._zone(written.get("timezone", "UTC"))
        times = self._as("times", written.get("times", {}), _Times) or _Times()
        self._check_times("times", times)
        common = {
            "all_tiers": self._tiers(),
            "all_repeats": self._repeats(),
            "zone": zone,
        }
        conditions = {}
        entries = self._table("conditions", written.get("conditions", {}))
        for name, entry in entries.items():
            rule = self._rule(f"conditions.{name}", name, entry, times, common)
            if rule is not None:
                conditions[name] = rule
        if not entries:
            self._wrong("conditions", "there is none: nothing would ever be told")
        units = self._units(entries, times, common)
        quiet = list(self._quiet(written.get("quiet", [])))
        if self._mistakes:
            raise PolicyError(self._mistakes)
        return Policy(self._text, conditions, units, quiet)

    def _wrong(self, path: str, why: str) -> None:
        self._mistakes.append(f"{path}: {why}")

    def _table(self, path: str, entry: Any) -> dict[str, Any]:
        if isinstance(entry, dict):
            return entry
        self._wrong(path, "must be a table")
        return {}

    def _as(self, path: str, entry: Any, kind: type[Any]) -> Any:
        try:
            return msgspec.convert(entry, kind)
        except msgspec.ValidationError as error:
            text, _, where = str(error).partition(" - at `$")
            self._wrong(path + where.rstrip("`"), text)
            return None

    def _zone(self, name: Any) -> ZoneInfo:
        try:
            return ZoneInfo(name)
        except (KeyError, ValueError, TypeError, OSError):  # what zoneinfo raises for what is none
            self._wrong("timezone", "there is no such time zone")
            return ZoneInfo("UTC")

    def _tiers(self) -> dict[Priority, tuple[Tier, ...]]:
        found: dict[Priority, tuple[Tier, ...]] = {}
        for name, entry in self._table("tiers", self._written.get("tiers", {})).items():
            path = f"tiers.{name}"
            if name not in PRIORITIES:
                self._wrong(path, "is no priority")
                continue
            tiers = self._as(path, entry, list[_Tier])
            if tiers is None:
                continue
            after = [tier.after_min for tier in tiers]
            if not tiers or after[0] != 0:
                self._wrong(path, "the first tier is told at once: after_min 0")
            if after != sorted(set(after)) or not all(0 <= each <= _WEEK_MIN for each in after):
                self._wrong(path, "after_min must rise from tier to tier, and be a week at most")
            if len(tiers) > _MOST_TIERS:
                self._wrong(path, f"has more than {_MOST_TIERS} tiers")
            if not all(tier.to and all(tier.to) for tier in tiers):
                self._wrong(path, "each tier names a role in to")
            found[name] = tuple(Tier(tuple(tier.to), tier.after_min * _MINUTE) for tier in tiers)
        for priority in ("high", "medium"):
            if priority not in found and f"tiers.{priority}" not in " ".join(self._mistakes):
                self._wrong(f"tiers.{priority}", "is missing: nobody would be told")
        return found

    def _repeats(self) -> dict[Priority, float]:
        found: dict[Priority, float] = {}
        for name, entry in self._table("repeat_min", self._written.get("repeat_min", {})).items():
            path = f"repeat_min.{name}"
            if name not in PRIORITIES:
                self._wrong(path, "is no priority")
                continue
            every = self._as(path, entry, float)
            if every is not None:
                if not 1 <= every <= _WEEK_MIN:
                    self._wrong(path, "must be from a minute to a week")
                found[name] = every * _MINUTE
        return found

    def _rule(self, path: str, name: str, entry: Any, times: _Times, common: Mapping[str, Any]) -> Rule | None:
        if not name or "." in name or "/" in name or len(name) > _LONGEST_NAME:
            self._wrong(path, f"a name has 1 to {_LONGEST_NAME} characters, no point and no slash")
        written: _Condition | None = self._as(path, entry, _Condition)
        if written is None:
            return None
        self._check_condition(path, written)
        own = {name: getattr(written, name) for name in _Times.__struct_fields__ if getattr(written, name) is not None}
        minutes = msgspec.structs.replace(times, **own)
        self._check_times(path, minutes)
        steps = {step: getattr(written, step) for step in PRIORITIES}
        by_model = next((step for step in PRIORITIES if steps[step] == BY_MODEL), None)
        return Rule(
            name=name,
            kind=written.kind,
            of=written.of,
            by_model=by_model,
            single=written.single,
            end=written.end,
            end_share=0.5 if written.end_share is None else written.end_share,
            priority=written.priority,
            flags=frozenset(written.flags or ()),
            hold_s=minutes.hold_min * _MINUTE,
            silence_s=minutes.silence_min * _MINUTE,
            reassess_s=minutes.reassess_min * _MINUTE,
            max_snooze_s=minutes.max_snooze_min * _MINUTE,
            expire_s=None if written.kind == "staleness" else minutes.expire_h * _HOUR,  # it lasts by time alone
            silent=written.silent,
            suggest=written.suggest,
            source=written.source,
            **{step: None if value == BY_MODEL else value for step, value in steps.items()},
            **common,
        )

    def _check_condition(self, path: str, written: _Condition) -> None:
        steps = [step for name in ("low", "medium", "high") if (step := getattr(written, name)) is not None]
        numbers = [step for step in steps if step != BY_MODEL]
        if written.kind in _NAMELESS:
            if written.priority is None:
                self._wrong(f"{path}.priority", "is missing")
            if steps:
                self._wrong(path, f"{written.kind} has a priority and no thresholds")
        elif written.priority is not None:
            self._wrong(f"{path}.priority", f"{written.kind} has thresholds and no priority")
        elif not steps and written.single is None:
            self._wrong(path, "has no threshold: low, medium or high")
        if written.kind in ("score", "prediction", "finding") and not written.of:
            self._wrong(f"{path}.of", "is missing: which one?")
        if numbers != sorted(set(numbers)):
            self._wrong(path, "low, medium and high must rise")
        if BY_MODEL in steps and (written.kind != "prediction" or steps.count(BY_MODEL) > 1):
            self._wrong(path, 'only one threshold of a prediction may be "model"')
        if written.kind in ("prediction", "finding") and not all(0 < step <= 1 for step in numbers):
            self._wrong(path, "thresholds of a probability are above 0 and up to 1")
        if written.kind == "score" and (written.end is None or any(written.end >= step for step in numbers)):
            self._wrong(f"{path}.end", "must be there, and below every threshold")
        if written.kind != "score" and (written.end is not None or written.single is not None):
            self._wrong(path, "end and single are for scores")
        if written.end_share is not None and not (
            written.kind in ("prediction", "finding") and 0 < written.end_share <= 1
        ):
            self._wrong(f"{path}.end_share", "is for probabilities, above 0 and up to 1")
        if (written.flags is not None) != (written.kind == "lab"):
            self._wrong(f"{path}.flags", "is for laboratory results, and needed there")
        elif written.flags is not None and not set(written.flags) <= set(_FLAGS):
            self._wrong(f"{path}.flags", f"may be {', '.join(_FLAGS)}")
        if written.suggest and not written.source:
            self._wrong(f"{path}.source", "is missing: who says what is usually done?")

    def _check_times(self, path: str, times: Any) -> None:
        for name in _Times.__struct_fields__:
            value, least = getattr(times, name), 1 if name in ("reassess_min", "expire_h") else 0
            if not least <= value <= _WEEK_MIN:
                self._wrong(f"{path}.{name}", f"must be from {least} to a week's minutes")

    def _units(
        self, entries: Mapping[str, Any], times: _Times, common: Mapping[str, Any]
    ) -> dict[str, dict[str, Rule]]:
        found: dict[str, dict[str, Rule]] = {}
        for unit, entry in self._table("units", self._written.get("units", {})).items():
            path = f"units.{unit}"
            table = self._table(path, entry)
            for name in table.keys() - {"conditions"}:
                self._wrong(f"{path}.{name}", "there is no such entry")
            for name, changed in self._table(f"{path}.conditions", table.get("conditions", {})).items():
                here = f"{path}.conditions.{name}"
                if name not in entries or not isinstance(entries[name], dict) or not isinstance(changed, dict):
                    self._wrong(here, "changes a condition of the hospital, by its name")
                    continue
                for fixed in changed.keys() & {"kind", "of"}:
                    self._wrong(f"{here}.{fixed}", "is the hospital's")
                rule = self._rule(here, name, {**entries[name], **changed}, times, common)
                if rule is not None:
                    found.setdefault(unit, {})[name] = rule
        return found

    def _quiet(self, entries: Any) -> Iterator[Quiet]:
        written = self._as("quiet", entries, list[_Quiet])
        for number, entry in enumerate(written or ()):
            try:
                begin, end = time.fromisoformat(entry.begin), time.fromisoformat(entry.end)
            except ValueError:
                self._wrong(f"quiet[{number}]", "from and to are times of day, as 22:00")
                continue
            if begin == end or begin.tzinfo is not None or end.tzinfo is not None:
                self._wrong(f"quiet[{number}]", "from and to are two times of day, in the policy's time zone")
            yield Quiet(frozenset(entry.units), begin, end, frozenset(entry.priorities))


_FLAGS: Final = ("critical_low", "critical_high", "delta_down", "delta_up")
_MOST_TIERS: Final = 8
_LONGEST_NAME: Final = 24

DEFAULT: Final = parse_policy(files("wardstream.models.alerts").joinpath("default.toml").read_text("utf-8"))
"""The policy that holds where none has been applied."""
