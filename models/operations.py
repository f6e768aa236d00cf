"""What operators are alerted to, measured: how long a feed is silent, how many answers are degraded, whose data are
stale, how likely a unit has no bed.

What is known of a subject (a feed, a model, a unit) is a `Row`, and so are its alerts. `judged` makes verdicts of it,
as of a time; what follows from them says `models.alerts.life`.

Kind `feed` and drift of models: for as long as a notice is open, by its minutes. Kind `model`: the share of answers
that are degraded, or of requests that fail, within some hours; abstentions are left out, for they are about patients
and films of which too little is known. Kind `data`: patients with an open alert of kind staleness, of those who are in
the unit. Kind `forecast`: the worst of the hours ahead. What is too old, or too little, says nothing: an open alert is
stale then, and goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from wardstream.models.alerts.life import Verdict
from wardstream.models.alerts.policy import Rule
from wardstream.models.alerts.states import EndedAlert, OpenAlert, Pending, Silenced
from wardstream.schemas.alerts import Evidence
from wardstream.schemas.operator_alerts import OperatorKind
from wardstream.schemas.scores import Reading

HUB: Final = ""  # the name of the row of all: no subject has none
KINDS: Final[dict[str, tuple[OperatorKind, ...]]] = {
    "feed": ("feed",),
    "model": ("model",),
    "unit": ("data", "forecast"),
}
"""What is judged of each sort of subject."""
SPAN_S: Final = 300.0  # answers are counted by spans of it
KEPT_S: Final = 24 * 3600.0  # answers; no policy looks further back
FORGOTTEN_S: Final = 48 * 3600.0  # without news, a subject that has no alert
CURRENT_S: Final = 3 * 3600.0  # census and forecasts, which are told each hour
HOUR_S: Final = 3600.0
MINUTE_S: Final = 60.0


class Trouble(msgspec.Struct, array_like=True, frozen=True):
    """A notice that is open: of which condition, and when that began (s since 1970, the stream's clock)."""

    condition: str
    since: float


class Counts(msgspec.Struct, array_like=True, frozen=True):
    """Answers of a model by quality, and requests to it by whether they were answered."""

    ok: float = 0
    degraded: float = 0
    answered: float = 0
    failed: float = 0

    def plus(self, other: Counts, sign: int = 1) -> Counts:
        """The sum, or with -1 the difference."""
        return Counts(
            self.ok + sign * other.ok,
            self.degraded + sign * other.degraded,
            self.answered + sign * other.answered,
            self.failed + sign * other.failed,
        )


class Process(msgspec.Struct, array_like=True, frozen=True):
    """What a process had counted when it last said so (s since 1970, the wall clock), by model."""

    at: float
    counts: dict[str, Counts] = {}


class Ahead(msgspec.Struct, array_like=True, frozen=True):
    """What is expected so many hours ahead: probability that no staffed bed is free, patients beyond them."""

    horizon_h: int
    full: float | None = None
    shortfall: float | None = None


class Row(msgspec.Struct, omit_defaults=True):
    """What is known of a subject, and its alerts; under `HUB` what is known of all.

    Attributes
    ----------
    clock
        Hub: the stream's time, that of the last tick; None: there was none.
    processes
        Hub: what each process had counted.
    heard
        When something was last heard (s since 1970, the stream's clock).
    troubles
        Feed, model: notices that are open, by their ids.
    answers
        Model: what was counted in each span.
    census, census_at
        Unit: who was there, and at the end of which hour; None: not known.
    stale
        Unit: how many alerts of kind staleness are open.
    ahead, ahead_at
        Unit: the last forecast, and at the end of which hour it was made.
    """

    clock: float | None = None
    processes: dict[str, Process] = {}
    heard: float = 0.0
    troubles: dict[str, Trouble] = {}
    answers: dict[int, Counts] = {}
    census: int | None = None
    census_at: float = 0.0
    stale: int = 0
    ahead: tuple[Ahead, ...] = ()
    ahead_at: float = 0.0
    alerts: dict[str, OpenAlert] = {}
    pending: dict[str, Pending] = {}
    silenced: dict[str, Silenced] = {}
    ended: tuple[EndedAlert, ...] = ()

    def is_forgotten(self, now: float) -> bool:
        """Whether nothing is open, and nothing has been heard for long."""
        is_open = self.alerts or self.pending or self.troubles or self.stale
        return not is_open and now - self.heard > FORGOTTEN_S

    def forget_answers(self, now: float) -> None:
        """Drop what no policy looks at any more."""
        first, last = _span(now - KEPT_S), _span(now)
        if any(not first <= span <= last for span in self.answers):
            self.answers = {span: counts for span, counts in self.answers.items() if first <= span <= last}

    def count(self, now: float, counts: Counts) -> None:
        """Add to the span of a time (s since 1970)."""
        span = _span(now)
        self.answers = {**self.answers, span: self.answers.get(span, Counts()).plus(counts)}

    def counted(self, now: float, within_h: float) -> Counts:
        """The sum over the last hours, the present span and those that began within them."""
        found = Counts()
        for span, counts in self.answers.items():
            if _span(now - within_h * HOUR_S) < span <= _span(now):
                found = found.plus(counts)
        return found


class RowCodec:
    """How lanes keep it: every tick looks at every subject."""

    def __init__(self) -> None:
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(Row).decode

    def new(self, key: str) -> Row:
        return Row()

    def decode(self, row: bytes) -> Row:
        return self._decode(row)

    def encode(self, entity: Row) -> bytes:
        return self._encode(entity)

    def due(self, entity: Row) -> float:
        return float("-inf") if entity.clock is None else float("inf")


class Measured(NamedTuple):
    """A value to hold against thresholds; None: not known, or, where `over` says so, certainly nothing of it."""

    value: float | None
    reason: str
    numbers: Mapping[str, float] = {}
    over: bool = False


def judged(rule: Rule, name: str, row: Row, now: float, caused_by: UUID) -> Verdict:
    """The verdict of one of operators' conditions about a subject of this name.

    Parameters
    ----------
    now : s since 1970, the stream's clock.
    caused_by : event_id of the tick.
    """
    found = _MEASURES[rule.kind](rule, name, row, now)

    def shows() -> Evidence:
        at = datetime.fromtimestamp(now, UTC)
        numbers = {of: Reading(value=round(number, 4), observed_at=at) for of, number in found.numbers.items()}
        return Evidence(caused_by=caused_by, at=at, values=numbers)

    kind: Any = rule.kind
    if found.value is None:
        return Verdict(rule.name, kind, None, found.over, found.reason, shows, stale=not found.over)
    priority = rule.priority_of(found.value)
    over = rule.end is not None and found.value <= rule.end
    return Verdict(rule.name, kind, priority, over, found.reason, shows)


def _noticed(rule: Rule, name: str, row: Row, now: float) -> Measured:
    since = [trouble.since for trouble in row.troubles.values() if trouble.condition == rule.of]
    if not since:
        return Measured(None, _ENDED[rule.of or ""].format(name), over=True)
    minutes = max(0.0, now - min(since)) / MINUTE_S
    return Measured(minutes, _BEGAN[rule.of or ""].format(name, minutes), {f"{rule.of}_min": minutes})


_BEGAN: Final = {
    "silent": "no message from {} for {:.0f} minutes",
    "rejects": "too much of {} cannot be used, for {:.0f} minutes",
    "drift": "what {} is given, or how good it is, has been changing for {:.0f} minutes",
}
_ENDED: Final = {
    "silent": "a message from {} came",
    "rejects": "{} can be used again",
    "drift": "{} changes no more",
}


def _answered(rule: Rule, name: str, row: Row, now: float) -> Measured:
    if rule.of == "drift":
        return _noticed(rule, name, row, now)
    counts = row.counted(now, rule.within_h)
    numbers, shares = dict[str, float](), list[float]()
    for what, bad, good in (("degraded", counts.degraded, counts.ok), ("failed", counts.failed, counts.answered)):
        total = bad + good
        if total >= rule.least:
            shares.append(bad / total)
            numbers |= {f"{what}_share": bad / total, "answers" if what == "degraded" else "requests": total}
    if not shares:
        return Measured(None, f"{name} has hardly been asked lately")
    said = ", ".join(f"{numbers[f'{what}_share']:.0%} {_OF[what]}" for what in _OF if f"{what}_share" in numbers)
    return Measured(max(shares), f"{name}: {said} in {rule.within_h:g} h", numbers)


_OF: Final = {"degraded": "of the answers are degraded", "failed": "of the requests failed"}


def _stale(rule: Rule, name: str, row: Row, now: float) -> Measured:
    if not row.stale:
        return Measured(None, f"{name}: nobody's data are stale", over=True)
    if row.census is None or now - row.census_at > CURRENT_S:
        return Measured(None, f"{name}: how many patients are there is not known now")
    if row.census < rule.least:
        return Measured(None, f"{name} has too few patients for a share")
    share = min(1.0, row.stale / row.census)
    numbers = {"stale_share": share, "stale_patients": row.stale, "patients": row.census}
    return Measured(share, f"{name}: data of {row.stale} of {row.census} patients are stale ({share:.0%})", numbers)


def _short(rule: Rule, name: str, row: Row, now: float) -> Measured:
    if now - row.ahead_at > CURRENT_S:
        return Measured(None, f"{name}: there is no current forecast")
    near = [one for one in row.ahead if one.horizon_h <= rule.within_h]
    found = [(value, one) for one in near if (value := one.full if rule.of == "full" else one.shortfall) is not None]
    if not found:
        return Measured(None, f"{name}: nobody says how many beds are staffed")
    value, worst = max(found, key=lambda pair: pair[0])
    numbers = {"full": worst.full, "shortfall_patients": worst.shortfall, "horizon_h": worst.horizon_h}
    said = f"{value:.0%} likely that no staffed bed is free" if rule.of == "full" else f"{value:.1f} patients too many"
    return Measured(
        value, f"{name}: in {worst.horizon_h} h {said}", {of: n for of, n in numbers.items() if n is not None}
    )


_MEASURES: Final[Mapping[str, Callable[[Rule, str, Row, float], Measured]]] = {
    "feed": _noticed,
    "model": _answered,
    "data": _stale,
    "forecast": _short,
}


def _span(at: float) -> int:
    return int(at // SPAN_S)
