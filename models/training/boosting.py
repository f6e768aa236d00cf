"""What the nets must beat: gradient boosting on the same inputs, the clock alone, and the rule score of today.

Boosting sees, for each hour, what can be said of the window up to it without a net: the values of the tensors, how long
ago and how often each signal was measured, and of seven vital signs the mean, lowest and highest of the last 6 and 24
hours and the change over 6. NEWS2 is partial: the data carry no consciousness, and oxygen only as FiO2. It is computed
by the code that serves it, from values of the last 12 hours.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from wardstream.models.scores import Observations, news2
from wardstream.models.sepsis import CLOCK, LOOK_BACK, SIGNALS, Inputs
from wardstream.models.training.stays import Stays
from wardstream.models.training.windows import Cut, batches, inputs, labels, to_learn

TRENDS: Final = 7  # the first of SIGNALS: hr, spo2, temp, sbp, map, dbp, rr
ROUND_H: Final = 12
_FIELDS: Final = {
    "hr": "heart_rate_bpm",
    "rr": "respiratory_rate_per_min",
    "spo2": "spo2_percent",
    "sbp": "systolic_mmhg",
    "temp": "temperature_celsius",
    "fio2": "fio2_fraction",
}

Floats = npt.NDArray[np.float32]


def table(made: Inputs, without: Sequence[str] = ()) -> Floats:
    """Features of each hour of some windows, (B, 48, features), from that hour and earlier ones."""
    known = made.since < LOOK_BACK
    values = np.where(known, made.values, np.nan)
    parts = [values, made.about if "clock" not in without else np.delete(made.about, CLOCK, axis=-1)]
    if "counts" not in without:
        parts += [np.where(known, made.since, np.nan), np.cumsum(made.measured, axis=1)]
    vital = values[:, :, :TRENDS]
    for hours in (6, 24):
        low, high, total, n = vital, vital, np.nan_to_num(vital), (~np.isnan(vital)).astype(np.float32)
        for back in range(1, hours):
            earlier = _earlier(vital, back)
            low, high = np.fmin(low, earlier), np.fmax(high, earlier)
            total = total + np.nan_to_num(earlier)
            n = n + ~np.isnan(earlier)
        with np.errstate(invalid="ignore"):
            parts += [low, high, (total / np.where(n > 0, n, np.nan))]
    parts.append(vital - _earlier(vital, 6))
    return np.concatenate(parts, axis=-1).astype(np.float32)


def _earlier(values: Floats, hours: int) -> Floats:
    found = np.full_like(values, np.nan)
    found[:, hours:] = values[:, :-hours]
    return found


class Setting(NamedTuple):
    """Settings of boosting; what a search varies."""

    rate: float = 0.05
    leaves: int = 31
    least: int = 100
    l2: float = 1.0
    rounds: int = 400
    without: tuple[str, ...] = ()
    clock_only: bool = False


def boost(
    stays: Stays,
    learn: npt.NDArray[np.intp],
    validate: npt.NDArray[np.intp] | None,
    setting: Setting,
    seed: int,
    progress: Callable[[int, int], None],
) -> tuple[Any, list[float]]:
    """Fit boosting, stopped early on `validate`, or without it after `setting.rounds`.

    Returns the classifier and its loss on `validate` after each round, from none on.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    features, label = _rows(stays, learn, setting, progress)
    features[:, np.isnan(features).all(axis=0)] = 0.0  # scikit-learn refuses a column without a value
    held, truth = (None, None) if validate is None else _rows(stays, validate, setting, progress)
    model: Any = HistGradientBoostingClassifier(
        learning_rate=setting.rate,
        max_leaf_nodes=setting.leaves,
        min_samples_leaf=min(setting.least, max(1, len(label) // 20)),
        l2_regularization=setting.l2,
        max_iter=setting.rounds,
        early_stopping=validate is not None,
        n_iter_no_change=20,
        random_state=seed,
    )
    model.fit(features, label, X_val=held, y_val=truth)
    return model, [-float(score) for score in model.validation_score_]


def runner(model: Any, setting: Setting) -> Callable[[Inputs], Floats]:
    """Boosting as `windows.answer` wants it."""

    def run(made: Inputs) -> Floats:
        rows = _features(made, setting)
        said = model.decision_function(rows.reshape(-1, rows.shape[-1]))
        return np.asarray(said, np.float32).reshape(rows.shape[:2])

    return run


def _features(made: Inputs, setting: Setting) -> Floats:
    return made.about[:, :, CLOCK:] if setting.clock_only else table(made, setting.without)


def _rows(
    stays: Stays, places: npt.NDArray[np.intp], setting: Setting, progress: Callable[[int, int], None]
) -> tuple[Floats, npt.NDArray[np.int8]]:
    cuts: list[Cut] = to_learn(stays, places)
    found, truth, done = [], [], 0
    for part in batches(cuts):
        label, counts = labels(stays, part)
        found.append(_features(inputs(stays, part), setting)[counts > 0])
        truth.append(label[counts > 0].astype(np.int8))
        done += len(part)
        progress(done, len(cuts))
    return np.concatenate(found), np.concatenate(truth)


def partial_news2(made: Inputs) -> Floats:
    """Points of NEWS2 in each hour of some windows, as if they were log-odds: only their order and steps mean much."""
    places = [(SIGNALS.index(code), field) for code, field in _FIELDS.items()]
    points = np.zeros(made.since.shape[:2], np.float32)
    for window, hour in zip(*np.nonzero(made.about[:, :, CLOCK]), strict=True):
        seen = {
            field: float(made.values[window, hour, place])
            for place, field in places
            if made.since[window, hour, place] < ROUND_H
        }
        age = float(made.about[window, hour, 0]) or None
        score = news2(Observations(**seen, age_years=age, pregnant=False))  # type: ignore[arg-type]
        points[window, hour] = score.value or 0.0
    return points
