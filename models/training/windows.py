"""Windows of stays: for learning, cut so that every hour is learnt once; for judging, exactly as serving cuts them.

Up to hour 48 of a stay one window serves all its hours, since no answer depends on a later hour. Beyond, serving moves
the window hour by hour. Learning moves it by `STRIDE` hours and counts the last of them, which have nearly as long a
past as they have in serving; judging takes a window for each hour.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from wardstream.models.sepsis import LOOK_BACK, SIGNALS, Inputs, enough, is_child, tensors
from wardstream.models.training.stays import UNLABELLED, Stays

STRIDE: Final = 12
BATCH: Final = 256

Floats = npt.NDArray[np.float32]
Run = Callable[[Inputs], Floats]
"""A model: log-odds (B, 48) of a batch of windows."""
Rows = npt.NDArray[np.float64]


class Cut(NamedTuple):
    """A window of a stay: its first hour, how many hours, and from which place on it counts."""

    stay: int
    first: int
    length: int
    counts_from: int


def to_learn(stays: Stays, places: Sequence[int] | npt.NDArray[np.intp]) -> list[Cut]:
    """Windows in which every hour of the stays counts once."""
    cuts = []
    for i in map(int, places):
        hours = len(stays.labels(i))
        done = min(hours, LOOK_BACK)
        cuts.append(Cut(i, 1, done, 0))
        while done < hours:
            end = min(done + STRIDE, hours)
            cuts.append(Cut(i, end - LOOK_BACK + 1, LOOK_BACK, LOOK_BACK - (end - done)))
            done = end
    return cuts


def to_judge(stays: Stays, places: Sequence[int] | npt.NDArray[np.intp]) -> list[Cut]:
    """Windows as serving cuts them, for every hour."""
    cuts = []
    for i in map(int, places):
        hours = len(stays.labels(i))
        cuts.append(Cut(i, 1, min(hours, LOOK_BACK), 0))
        cuts += [Cut(i, hour - LOOK_BACK + 1, LOOK_BACK, LOOK_BACK - 1) for hour in range(LOOK_BACK + 1, hours + 1)]
    return cuts


def raw(stays: Stays, cuts: Sequence[Cut]) -> Rows:
    """Medians of the windows, (B, 48, 34), NaN where nothing was measured and in the padding."""
    found = np.full((len(cuts), LOOK_BACK, len(SIGNALS)), np.nan)
    for place, cut in enumerate(cuts):
        found[place, : cut.length] = stays.rows(cut.stay)[cut.first - 1 : cut.first - 1 + cut.length]
    return found


def inputs(stays: Stays, cuts: Sequence[Cut], rows: Rows | None = None) -> Inputs:
    """The tensors of windows; `rows` stand in for their medians."""
    whos = [stays.who(cut.stay) for cut in cuts]
    found = raw(stays, cuts) if rows is None else rows
    return tensors(found, [cut.first for cut in cuts], [cut.length for cut in cuts], whos)


def labels(stays: Stays, cuts: Sequence[Cut]) -> tuple[Floats, Floats]:
    """Labels of the windows and whether they count, both (B, 48)."""
    label, counts = np.zeros((2, len(cuts), LOOK_BACK), np.float32)
    for place, cut in enumerate(cuts):
        known = stays.labels(cut.stay)[cut.first - 1 : cut.first - 1 + cut.length]
        label[place, : cut.length] = known == 1
        counts[place, cut.counts_from : cut.length] = known[cut.counts_from :] != UNLABELLED
    return label, counts


def batches(cuts: Sequence[Cut], size: int = BATCH) -> Iterator[Sequence[Cut]]:
    """The windows, so many at a time."""
    for begin in range(0, len(cuts), size):
        yield cuts[begin : begin + size]


class Hours(NamedTuple):
    """Every hour of some stays, stay by stay.

    Attributes
    ----------
    stay, hour : (hours,)
        Place of the stay among those asked for; hour of the stay.
    logit : (hours,)
        What the model says.
    answered : (hours,) bool
        Whether serving gives an answer.
    """

    stay: npt.NDArray[np.int64]
    hour: npt.NDArray[np.int64]
    logit: npt.NDArray[np.float64]
    answered: npt.NDArray[np.bool_]


def answer(
    stays: Stays, places: Sequence[int] | npt.NDArray[np.intp], run: Run, progress: Callable[[int, int], None]
) -> Hours:
    """Every hour of some stays as serving answers it."""
    cuts = to_judge(stays, places)
    found = Hours(
        np.concatenate([np.full(len(stays.labels(int(i))), k) for k, i in enumerate(places)]).astype(np.int64),
        np.concatenate([np.arange(1, len(stays.labels(int(i))) + 1) for i in places]).astype(np.int64),
        np.zeros(sum(len(stays.labels(int(i))) for i in places)),
        np.zeros(sum(len(stays.labels(int(i))) for i in places), bool),
    )
    begins = dict(zip(map(int, places), np.r_[0, np.flatnonzero(np.diff(found.stay)) + 1], strict=True))
    child = {int(i): is_child(stays.who(int(i))) for i in places}
    done = 0
    for part in batches(cuts):
        made = inputs(stays, part)
        said, known = run(made), enough(made.since)
        for place, cut in enumerate(part):
            begin = begins[cut.stay] + cut.first - 1
            into = slice(begin + cut.counts_from, begin + cut.length)
            found.logit[into] = said[place, cut.counts_from : cut.length]
            found.answered[into] = known[place, cut.counts_from : cut.length] & (not child[cut.stay])
        done += len(part)
        progress(done, len(cuts))
    return found
