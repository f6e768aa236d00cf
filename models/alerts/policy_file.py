"""A policy as it is written, in TOML: read whole, each mistake named by the path of its entry."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, time, tzinfo
from importlib.resources import files
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from wardstream.models.alerts.operators import MEASURED, OPERATOR_KINDS, operator_mistakes
from wardstream.models.alerts.policy import PRIORITIES, AnyKind, Policy, Quiet, Rule, Tier
from wardstream.schemas.alert_policies import LONGEST_TEXT
from wardstream.schemas.alerts import Priority
from wardstream.schemas.envelope import Label, Phrase

FORMAT: Final = 1
SCORES: Final = ("news2", "news", "qsofa", "sirs", "mews", "shock_index", "sofa", "kdigo_aki")
BY_MODEL: Final = "model"
_MOST_TIERS: Final = 8
_MOST_ROLES: Final = 16  # Alert.to
_is_name = re.compile(r"[A-Za-z0-9_-]{1,24}").fullmatch  # it is a label of metrics, where * stands for all
_MINUTE: Final = 60.0
_HOUR: Final = 3600.0
_WEEK_MIN: Final = 7 * 24 * 60
_TOP: Final = ("format", "timezone", "times", "tiers", "repeat_min", "conditions", "units", "quiet")
_STATED: Final = frozenset({"staleness", "lab"})  # kinds whose priority is stated, for nothing is measured
_OF: Final = frozenset({"score", "prediction", "finding"})
_PROBABLE: Final = frozenset({"prediction", "finding"})

_Flag = Literal["critical_low", "critical_high", "delta_down", "delta_up"]
_Number = Annotated[float, Meta(ge=-1e9, le=1e9)]
_Minutes = Annotated[float, Meta(ge=0, le=_WEEK_MIN)]
_LongMinutes = Annotated[float, Meta(ge=1, le=_WEEK_MIN)]
_Hours = Annotated[float, Meta(ge=1, le=31 * 24)]


class PolicyError(ValueError):
    """A policy cannot be used; `mistakes` has one line each, beginning with the path of the entry."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class _Times(msgspec.Struct, kw_only=True):
    hold_min: _Minutes = 0.0
    silence_min: _Minutes = 30.0
    reassess_min: _LongMinutes = 240.0
    max_snooze_min: _Minutes = 120.0
    expire_h: _Hours = 48.0


class _Condition(msgspec.Struct, kw_only=True):
    """`[conditions.NAME]`, as it is written."""

    kind: AnyKind
    of: Label | None = None
    low: _Number | Literal["model"] | None = None
    medium: _Number | Literal["model"] | None = None
    high: _Number | Literal["model"] | None = None
    single: Priority | None = None
    end: _Number | None = None
    end_share: Annotated[float, Meta(gt=0, le=1)] | None = None
    within_h: Annotated[float, Meta(gt=0, le=48)] | None = None
    least: Annotated[int, Meta(ge=1)] | None = None
    tiers: dict[str, Any] | None = None
    priority: Priority | None = None
    flags: Annotated[list[_Flag], Meta(min_length=1)] | None = None
    hold_min: _Minutes | None = None
    silence_min: _Minutes | None = None
    reassess_min: _LongMinutes | None = None
    max_snooze_min: _Minutes | None = None
    expire_h: _Hours | None = None
    silent: bool = False
    suggest: dict[Priority, Phrase] = {}
    source: Phrase | None = None


class _Tier(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    to: Annotated[list[Label], Meta(min_length=1)]
    after_min: _Minutes = 0.0


class _Quiet(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, rename={"begin": "from", "end": "to"}):
    begin: str
    end: str
    priorities: Annotated[list[Literal["low", "medium"]], Meta(min_length=1)]
    units: list[Label] = []


def parse_policy(text: str) -> Policy:
    """Read a policy.

    Raises
    ------
    PolicyError
        With all mistakes, each naming its entry.
    """
    if len(text) > LONGEST_TEXT:
        raise PolicyError([f"has more than {LONGEST_TEXT:,} characters"])
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
        if type(written.get("format")) is not int or written["format"] != FORMAT:
            self._wrong("format", f"must be {FORMAT}")
        times = self._struct("times", written.get("times", {}), _Times) or _Times()
        common = {
            "all_tiers": self._tiers("tiers", self._written.get("tiers", {}), ("high", "medium")),
            "all_repeats": self._repeats(),
            "zone": self._zone(),
        }
        entries = self._table("conditions", written.get("conditions", {}))
        if not entries:
            self._wrong("conditions", "there is none: nothing would ever be told")
        found = {name: self._rule(f"conditions.{name}", name, entry, times, common) for name, entry in entries.items()}
        conditions = {name: rule for name, rule in found.items() if rule is not None}
        units = self._units(entries, conditions, times, common)
        quiet = list(self._quiet(written.get("quiet", [])))
        if self._mistakes:
            raise PolicyError(sorted(set(self._mistakes)))
        return Policy(self._text, conditions, units, quiet)

    def _wrong(self, path: str, why: str) -> None:
        self._mistakes.append(f"{path}: {why}")

    def _table(self, path: str, entry: Any) -> dict[str, Any]:
        if isinstance(entry, dict):
            return entry
        self._wrong(path, "must be a table")
        return {}

    def _as(self, path: str, entry: Any, kind: Any) -> Any:
        """An entry as a type; None: it is none."""
        try:
            return msgspec.convert(entry, kind)
        except msgspec.ValidationError as error:
            text, _, where = str(error).partition(" - at `")
            self._wrong(path + where.rpartition("$")[2].rstrip("`"), text)
            return None

    def _struct(self, path: str, entry: Any, kind: type[Any]) -> Any:
        """A table as a struct; None: it is none. Each field by itself, so that no mistake hides another."""
        before, table, values = len(self._mistakes), self._table(path, entry), {}
        if table is not entry:
            return None
        fields = {field.name: field for field in msgspec.structs.fields(kind)}
        for name in table.keys() - fields.keys():
            self._wrong(f"{path}.{name}", "there is no such entry")
        for name, field in fields.items():
            if name in table:
                values[name] = self._as(f"{path}.{name}", table[name], field.type)
            elif field.required:
                self._wrong(f"{path}.{name}", "is missing")
        return kind(**values) if len(self._mistakes) == before else None

    def _zone(self) -> tzinfo:
        name = self._written.get("timezone", "UTC")
        try:
            return UTC if name == "UTC" else ZoneInfo(name)
        except (KeyError, ValueError, TypeError, AttributeError, OSError):  # what zoneinfo raises for what is none
            self._wrong("timezone", "there is no such time zone")
            return UTC

    def _tiers(self, under: str, entries: Any, needed: Iterable[str]) -> dict[Priority, tuple[Tier, ...]]:
        found: dict[Priority, tuple[Tier, ...]] = {}
        table = self._table(under, entries)
        for name, entry in self._by_priority(under, table):
            path = f"{under}.{name}"
            tiers = self._as(path, entry, list[_Tier])
            if tiers is None:
                continue
            after = [tier.after_min for tier in tiers]
            if not tiers or after[0] != 0:
                self._wrong(path, "the first tier is told at once: after_min 0")
            if after != sorted(set(after)):
                self._wrong(path, "after_min must rise from tier to tier")
            if len(tiers) > _MOST_TIERS:
                self._wrong(path, f"has more than {_MOST_TIERS} tiers")
            if len({role for tier in tiers for role in tier.to}) > _MOST_ROLES:
                self._wrong(path, f"names more than {_MOST_ROLES} roles")
            found[name] = tuple(Tier(tuple(tier.to), tier.after_min * _MINUTE) for tier in tiers)
        for priority in needed:
            if priority not in table:
                self._wrong(f"{under}.{priority}", "is missing: nobody would be told")
        return found

    def _repeats(self) -> dict[Priority, float]:
        found: dict[Priority, float] = {}
        table = self._table("repeat_min", self._written.get("repeat_min", {}))
        for name, entry in self._by_priority("repeat_min", table):
            every = self._as(f"repeat_min.{name}", entry, _LongMinutes)
            if every is not None:
                found[name] = every * _MINUTE
        return found

    def _by_priority(self, path: str, table: Mapping[str, Any]) -> Iterator[tuple[Priority, Any]]:
        for name, entry in table.items():
            if name in PRIORITIES:
                yield name, entry
            else:
                self._wrong(f"{path}.{name}", f"is no priority: {', '.join(PRIORITIES)}")

    def _rule(self, path: str, name: str, entry: Any, times: _Times, common: Mapping[str, Any]) -> Rule | None:
        if not _is_name(name):
            self._wrong(path, "a name has 1 to 24 letters, digits, _ and -")
        written: _Condition | None = self._struct(path, entry, _Condition)
        if written is None:
            return None
        self._check_condition(path, written)
        own = {name: getattr(written, name) for name in _Times.__struct_fields__ if getattr(written, name) is not None}
        lasts = msgspec.structs.replace(times, **own)
        if written.tiers is not None or written.kind in OPERATOR_KINDS:  # operators' tiers are no ward's
            reached = [step for step in PRIORITIES if getattr(written, step) is not None]
            own_tiers = self._tiers(
                f"{path}.tiers", written.tiers or {}, reached if written.kind in OPERATOR_KINDS else ()
            )
            common = {**common, "all_tiers": {**common["all_tiers"], **own_tiers}}
        return Rule(
            name=name,
            kind=written.kind,
            of=written.of,
            by_model=next((step for step in PRIORITIES if getattr(written, step) == BY_MODEL), None),
            single=written.single,
            end=written.end,
            end_share=0.5 if written.end_share is None else written.end_share,
            within_h=1.0 if written.within_h is None else written.within_h,
            least=1 if written.least is None else written.least,
            priority=written.priority,
            flags=frozenset(written.flags or ()),
            hold_s=lasts.hold_min * _MINUTE,
            silence_s=lasts.silence_min * _MINUTE,
            reassess_s=lasts.reassess_min * _MINUTE,
            max_snooze_s=lasts.max_snooze_min * _MINUTE,
            # Data that are old stay so by time alone.
            expire_s=None if written.kind == "staleness" else lasts.expire_h * _HOUR,
            silent=written.silent,
            suggest=written.suggest,
            source=written.source or "",
            low=_number(written.low),
            medium=_number(written.medium),
            high=_number(written.high),
            **common,
        )

    def _check_condition(self, path: str, written: _Condition) -> None:
        kind = written.kind
        steps = {name: step for name in ("low", "medium", "high") if (step := getattr(written, name)) is not None}
        numbers = [step for step in steps.values() if step != BY_MODEL]
        if kind in _STATED:
            if written.priority is None:
                self._wrong(f"{path}.priority", "is missing")
            for name in steps:
                self._wrong(f"{path}.{name}", f"{kind} has a priority and no thresholds")
        elif written.priority is not None:
            self._wrong(f"{path}.priority", f"{kind} has thresholds and no priority")
        elif not steps and written.single is None:
            self._wrong(path, "has no threshold: low, medium or high")
        if kind in _OF and written.of is None:
            self._wrong(f"{path}.of", "is missing: which one?")
        elif kind == "score" and written.of not in SCORES:
            self._wrong(f"{path}.of", f"is no score; there are {', '.join(SCORES)}")
        if numbers != sorted(set(numbers)):
            self._wrong(path, "low, medium and high must rise")
        if BY_MODEL in steps.values() and (kind != "prediction" or len(steps) - len(numbers) > 1):
            self._wrong(path, 'only one threshold of a prediction may be "model"')
        if kind in _PROBABLE and not all(0 < step <= 1 for step in numbers):
            self._wrong(path, "thresholds of a probability are above 0 and up to 1")
        if kind == "score" or written.of in MEASURED.get(kind, ()):
            if written.end is None or any(written.end >= step for step in numbers):
                self._wrong(f"{path}.end", "must be there, and below every threshold")
        elif written.end is not None:
            self._wrong(f"{path}.end", "is for scores and what is measured of operators' conditions")
        if kind != "score" and written.single is not None:
            self._wrong(f"{path}.single", "is for scores")
        self._mistakes += [f"{path}{mistake}" for mistake in operator_mistakes(written, numbers)]
        if written.end_share is not None and kind not in _PROBABLE:
            self._wrong(f"{path}.end_share", "is for probabilities")
        if (written.flags is not None) != (kind == "lab"):
            self._wrong(f"{path}.flags", "is for laboratory results, and needed there")
        if written.suggest and written.source is None:
            self._wrong(f"{path}.source", "is missing: who says what is usually done?")

    def _units(
        self, entries: Mapping[str, Any], conditions: Mapping[str, Rule], times: _Times, common: Mapping[str, Any]
    ) -> dict[str, dict[str, Rule]]:
        found: dict[str, dict[str, Rule]] = {}
        for unit, entry in self._table("units", self._written.get("units", {})).items():
            path = f'units."{unit}"'
            table = self._table(path, entry)
            for name in table.keys() - {"conditions"}:
                self._wrong(f"{path}.{name}", "there is no such entry")
            for name, own in self._table(f"{path}.conditions", table.get("conditions", {})).items():
                here = f"{path}.conditions.{name}"
                if name not in entries:
                    self._wrong(here, "the hospital has no such condition")
                    continue
                changed = self._table(here, own)
                for fixed in sorted(changed.keys() & {"kind", "of"}):
                    self._wrong(f"{here}.{fixed}", "is the hospital's")
                if name not in conditions:  # it is wrong already
                    continue
                rule = self._rule(here, name, {**entries[name], **changed}, times, common)
                if rule is not None:
                    found.setdefault(unit, {})[name] = rule
        return found

    def _quiet(self, entries: Any) -> Iterator[Quiet]:
        for number, entry in enumerate(self._as("quiet", entries, list[_Quiet]) or ()):
            path = f"quiet[{number}]"
            begin, end = self._time(f"{path}.from", entry.begin), self._time(f"{path}.to", entry.end)
            if begin is not None and end is not None:
                if begin == end:
                    self._wrong(path, "from and to are the same")
                yield Quiet(frozenset(entry.units), begin, end, frozenset(entry.priorities))

    def _time(self, path: str, text: str) -> time | None:
        try:
            found = time.fromisoformat(text)
        except ValueError:
            found = None
        if found is None or found.tzinfo is not None:
            self._wrong(path, "must be a time of day in the policy's time zone, as 22:00")
            return None
        return found


def _number(step: float | str | None) -> float | None:
    return None if isinstance(step, str) else step


DEFAULT: Final = parse_policy(files("wardstream.models.alerts").joinpath("default.toml").read_text("utf-8"))
"""The policy that holds where none has been applied."""
