"""Model `sepsis`: the probability that sepsis begins within six hours, from vital signs and laboratory results.

Training and serving make their inputs here and nowhere else. Time is a grid of hours counted from admission: hour t is
(admission + t − 1 h, admission + t h], so that row t of the Challenge of 2019, usable from the end of its hour, falls
into hour t. The value of a signal in an hour is the median of what was measured in it, as in those data; of a device's
many values it also takes the noise. A model sees the last `LOOK_BACK` hours up to the present one, which is as far as
the patient's bins surely reach (`bins.KEPT_HOURS`, counted in hours of the clock), and the time since admission.

Tensor contract of `model.onnx`, all float32, B windows of H = 48 hours:

| input | shape | |
| --- | --- | --- |
| values | B, H, 34 | in the unit of `SIGNALS`; the last one up to that hour; 0 where there is none in the window |
| measured | B, H, 34 | 1 where something was measured in that very hour, else 0 |
| since | B, H, 34 | whole hours since the last hour with a value; 48 where there is none in the window |
| about | B, H, 5 | age in years (0 unknown), 1 if the age is known, 1 if male, 1 if female, hours since admission |

| output | shape | |
| --- | --- | --- |
| logit | B, H | log-odds, as of the end of each hour; it depends on no later hour |

A window is aligned to its first hour: of a stay of n < 48 hours the first n places are used, the others are padding
(values, measured and about 0, since 48), and the present is place n − 1.

No answer is given (`Abstained`) to children, without a known admission, before admission, and while fewer than
`KNOWN_AT_LEAST` of five vital signs have been measured in the last `KNOWN_WITHIN` hours: it was made from patients in
intensive care of 15 years and more, nearly all of them adults, and with nothing known the clock alone would answer.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import repeat
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from wardstream.models.bins import Bins, MeasurementSet, sets_in
from wardstream.models.signals import HOUR

NAME: Final = "sepsis"
TARGET: Final = "sepsis_onset"
HORIZON_H: Final = 6.0
LOOK_BACK: Final = 48
ADULT_YEARS: Final = 18.0
KNOWN_AT_LEAST: Final = 3
KNOWN_WITHIN: Final = 12
KEPT_SUMMARIES: Final = 100_000  # hours, some 40 MB: the windows of 2,000 patients
VERSION: Final = "1"
"""Of the inputs. A model trained on another one is not fed by this code."""

VITALS: Final = ("hr", "spo2", "temp", "sbp", "map", "dbp", "rr", "etco2", "fio2")
LABS: Final = (
    *("be", "hco3", "ph", "paco2", "sao2", "ast", "bun", "alp", "ca", "cl", "creat", "dbili", "gluc", "lactate"),
    *("mg", "phos", "k", "bili", "tni", "hct", "hgb", "aptt", "wbc", "fibr", "plt"),
)
SIGNALS: Final = (*VITALS, *LABS)
ABOUT: Final = ("age_years", "age_known", "male", "female", "hours_since_admission")
CLOCK: Final = ABOUT.index("hours_since_admission")
INPUTS: Final = ("values", "measured", "since", "about")

_PLACE: Final = {code: place for place, code in enumerate(SIGNALS)}
_NEEDED: Final = np.array(
    [[code in group for group in (("hr",), ("rr",), ("spo2",), ("temp",), ("sbp", "map"))] for code in SIGNALS],
    np.float32,
)
"""Shape (34, 5): the signals that make each of five vital signs known."""

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Why = Literal["no_admission", "before_admission", "child", "too_little_known"]


class Who(NamedTuple):
    """What of the patient and the stay goes in: admission in seconds since 1970, age in years; None: not known."""

    admitted_at: float | None
    age_years: float | None
    sex: str | None


class Inputs(NamedTuple):
    """The tensors of the contract."""

    values: Floats
    measured: Floats
    since: Floats
    about: Floats

    def feed(self) -> dict[str, Floats]:
        """By name, as a model server wants them."""
        return dict(zip(INPUTS, self, strict=True))


class Prepared(NamedTuple):
    """One patient's hours up to the present one, and what a prediction says about them.

    Attributes
    ----------
    medians : (n, 34)
        Of the window's n hours, NaN where nothing was measured.
    first : int
        The hour of the stay of the first row.
    who : Who
        Patient and stay.
    input_from, input_until : float
        When the oldest and the newest measurement in the window were taken, seconds since 1970; inf, -inf: there is
        none.
    """

    medians: Doubles
    first: int
    who: Who
    input_from: float
    input_until: float

    @property
    def place(self) -> int:
        """Where in `logit` the answer stands."""
        return len(self.medians) - 1

    @property
    def missing(self) -> tuple[str, ...]:
        """Codes of the signals without a value in the window."""
        return tuple(SIGNALS[place] for place in np.flatnonzero(np.isnan(self.medians).all(axis=0)))


SAID: Final[Mapping[Why, str]] = {
    "no_admission": "the time of admission is not known",
    "before_admission": "the patient has not been admitted yet",
    "child": "made for adults",
    "too_little_known": f"fewer than {KNOWN_AT_LEAST} of five vital signs in the last {KNOWN_WITHIN} h",
}
"""Reasons in words."""


class Abstained(NamedTuple):
    """Why no answer is given; `known`: the inputs, where they are too few."""

    why: Why
    known: Prepared | None = None


def hour_of(at: float, admitted_at: float) -> int:
    """The hour of the stay that a time (s since 1970) falls into; what was measured at admission is of hour 1."""
    return max(1, math.ceil((at - admitted_at) / HOUR)) if at >= admitted_at else 0


def hourly(sets: Iterable[MeasurementSet], admitted_at: float, first: int, last: int) -> Doubles:
    """Medians by hour and signal: shape (last − first + 1, 34), NaN where nothing was measured."""
    found: dict[tuple[int, int], list[float]] = {}
    for measured in sets:
        hour = hour_of(measured.at, admitted_at)
        if first <= hour <= last and hour:
            for code, value in measured.values.items():
                place = _PLACE.get(code)
                if place is not None and not isinstance(value, str | bool):
                    found.setdefault((hour - first, place), []).append(float(value))
    grid = np.full((last - first + 1, len(SIGNALS)), np.nan)
    for where, values in found.items():
        grid[where] = values[0] if len(values) == 1 else float(np.median(values))
    return grid


def first_hour(hour: int) -> int:
    """The first hour of the window whose present is `hour`."""
    return max(1, hour - LOOK_BACK + 1)


def windows(grid: Doubles, hours: Sequence[int]) -> Doubles:
    """Cut windows from a stay's whole grid (rows from hour 1): shape (B, 48, 34), NaN also in the padding."""
    cut = np.full((len(hours), LOOK_BACK, grid.shape[1]), np.nan)
    for place, hour in enumerate(hours):
        rows = grid[first_hour(hour) - 1 : hour]
        cut[place, : len(rows)] = rows
    return cut


def tensors(rows: Doubles, firsts: npt.ArrayLike, lengths: npt.ArrayLike, whos: Sequence[Who]) -> Inputs:
    """The tensors of the contract.

    Parameters
    ----------
    rows : (B, 48, 34)
        Windows of medians, NaN where nothing was measured.
    firsts, lengths : (B,)
        The hour of the stay at place 0, and how many places are used.
    whos : B of Who
        Whose windows they are.
    """
    there = ~np.isnan(rows)
    values, since = np.zeros(rows.shape, np.float32), np.full(rows.shape, LOOK_BACK, np.float32)
    last = np.zeros((rows.shape[0], rows.shape[2]), np.float32)
    age = np.full(last.shape, LOOK_BACK, np.float32)
    for place in range(rows.shape[1]):
        now = there[:, place]
        last = np.where(now, np.nan_to_num(rows[:, place]).astype(np.float32), last)
        age = np.where(now, 0, np.minimum(age + 1, LOOK_BACK)).astype(np.float32)
        values[:, place], since[:, place] = last, age
    places = np.arange(rows.shape[1])
    used = places[None, :] < np.asarray(lengths)[:, None]
    about = np.zeros((*rows.shape[:2], len(ABOUT)), np.float32)
    for i, who in enumerate(whos):
        known = who.age_years is not None
        about[i, :, :CLOCK] = (who.age_years or 0.0, known, who.sex == "male", who.sex == "female")
    about[:, :, CLOCK] = np.asarray(firsts)[:, None] + places[None, :]
    about *= used[:, :, None]
    values *= used[:, :, None]
    since[~used] = LOOK_BACK
    return Inputs(values, there.astype(np.float32), since, about)


def enough(since: Floats) -> Flags:
    """Where enough is known to answer: shape of `since` (…, 34) without its last axis."""
    recent = (since < KNOWN_WITHIN).astype(np.float32)
    return np.asarray((recent @ _NEEDED > 0).sum(axis=-1) >= KNOWN_AT_LEAST)


def is_child(who: Who) -> bool:
    """Whether the patient is known to be younger than those it was made for."""
    return who.age_years is not None and who.age_years < ADULT_YEARS


class Hour(NamedTuple):
    """One hour of a stay: medians (34,), and when the oldest and newest measurement were taken (inf, -inf: none)."""

    medians: Doubles
    oldest: float
    newest: float


_EMPTY: Final = Hour(np.full(len(SIGNALS), np.nan), math.inf, -math.inf)


def summary(sets: Iterable[MeasurementSet], admitted_at: float, hour: int, now: float = math.inf) -> Hour:
    """One hour of a stay as of a time; sets of other hours, and later ones, are left out here."""
    found = [one for one in sets if one.at <= now and hour_of(one.at, admitted_at) == hour]
    times = [one.at for one in found if any(code in _PLACE for code in one.values)]
    if not times:
        return _EMPTY
    return Hour(hourly(found, admitted_at, hour, hour)[0], min(times), max(times))


@lru_cache(maxsize=KEPT_SUMMARIES)
def _past(begun: tuple[bytes, ...], ended: tuple[bytes, ...], admitted_at: float, hour: int) -> Hour:
    """An hour that is over, from the rows of the two hours of the clock that it lies in: asked for 47 times more, and
    the same as long as they are."""
    return summary(sets_in((*begun, *ended)), admitted_at, hour) if begun or ended else _EMPTY


def prepare(bins: Bins, who: Who, now: float) -> Prepared | Abstained:
    """The patient's hours as of a time, or why there is no answer.

    Parameters
    ----------
    bins : Bins
        What was measured.
    who : Who
        Patient and stay.
    now : float
        Seconds since 1970.
    """
    if who.admitted_at is None:
        return Abstained("no_admission")
    present = hour_of(now, who.admitted_at)
    if not present:
        return Abstained("before_admission")
    if is_child(who):
        return Abstained("child")
    first, begin = first_hour(present), who.admitted_at
    clock = int(begin // HOUR) - 1  # hour t of the stay lies in hours t and t + 1 of the clock after this one
    rows = [bins.rows(clock + hour) for hour in range(first, present + 2)]
    hours = list(map(_past, rows[:-2], rows[1:-1], repeat(begin), range(first, present)))
    is_over = now >= begin + present * HOUR
    hours.append(
        _past(rows[-2], rows[-1], begin, present)
        if is_over
        else summary(sets_in((*rows[-2], *rows[-1])), begin, present, now)
    )
    medians = np.concatenate([hour.medians for hour in hours]).reshape(len(hours), len(SIGNALS))
    oldest, newest = min(hour.oldest for hour in hours), max(hour.newest for hour in hours)
    prepared = Prepared(medians, first, who, oldest, newest)
    return prepared if enough(_ages(medians)) else Abstained("too_little_known", prepared)


def _ages(medians: Doubles) -> Floats:
    """Hours since each signal was measured, as of the last row; `LOOK_BACK` where it never was."""
    back = ~np.isnan(medians[::-1])
    return np.where(back.any(axis=0), back.argmax(axis=0), LOOK_BACK).astype(np.float32)


def stacked(rows: Sequence[Prepared]) -> Inputs:
    """The tensors of some patients, in their order."""
    windows = np.full((len(rows), LOOK_BACK, len(SIGNALS)), np.nan)
    for window, row in zip(windows, rows, strict=True):
        window[: len(row.medians)] = row.medians
    lengths = [len(row.medians) for row in rows]
    return tensors(windows, [row.first for row in rows], lengths, [row.who for row in rows])


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """What makes of a model's log-odds a probability that can be taken at its word; kept in `calibration.json`.

    platt: 1 / (1 + exp(−(slope × logit + intercept))). isotonic: straight lines between the points (`logits`,
    `probabilities`), level beyond them. `thresholds`: of the calibrated probability, by name.
    """

    method: Literal["platt", "isotonic"]
    slope: float = 1.0
    intercept: float = 0.0
    logits: tuple[float, ...] = ()
    probabilities: tuple[float, ...] = ()
    thresholds: Mapping[str, float] = {}

    def apply(self, logit: npt.ArrayLike) -> Doubles:
        """Calibrated probabilities, shape of `logit`."""
        x = np.asarray(logit, np.float64)
        if self.method == "platt":
            return sigmoid(self.slope * x + self.intercept)
        return np.interp(x, self.logits, self.probabilities)


def sigmoid(logit: npt.ArrayLike) -> Doubles:
    """Probability of log-odds, without overflow."""
    x = np.asarray(logit, np.float64)
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)))


def load_calibration(path: Path) -> Calibration:
    """Read `calibration.json`.

    Raises
    ------
    OSError, msgspec.MsgspecError
        The file is not there, or has another form.
    """
    return msgspec.json.decode(path.read_bytes(), type=Calibration)
