"""What a learner has to say of itself: gauges on metrics.v1, and notices of what has changed.

A notice is open for as long as the thing goes on changing: it ends `QUIET` examples after the last change. It follows
from the learner's own state alone, which examples it has seen and what they have shown, so that a learner that was
killed and learns some of them once more says the same again, under the same id.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from math import isfinite
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid5

from msgspec.structs import replace

from wardstream.agents import metrics as m
from wardstream.agents.measuring import UP_TO
from wardstream.infra.model_controls import RISK
from wardstream.schemas.notices import Notice

if TYPE_CHECKING:  # they import River
    from wardstream.models.risk.drift import Change
    from wardstream.models.risk.learner import Learner
    from wardstream.models.risk.prequential import Measures

QUIET: Final = 20_000  # examples: some 500 stays
MEASURED_EACH: Final = 500  # examples
_IDS: Final = UUID("3c0f0b1e-5a52-5d57-9c64-6d6b7a0c4c77")
_UNSAFE: Final = str.maketrans({char: "_" for char in '"{}'})


def measured(learner: Learner) -> Iterator[tuple[str, str, Measures]]:
    """All measures: of which model, over what, and which."""
    for name, watch in learner.watch.items():
        yield name, "start", watch.start.measures()
        yield name, "lately", watch.lately()
        for unit, one in watch.by_unit().items():
            yield name, f"unit {unit}", one


def gauges(meters: m.Meters, learner: Learner, behind: int | None, frozen: bool) -> None:
    """Set the gauges; the measures, which take longer, when there is something new."""
    meters.set(m.LEARNER_FROZEN, float(frozen))
    if behind is not None:
        meters.set(m.LEARNER_BEHIND, float(behind))
    before = meters.values.get((m.LEARNED, ()))
    if before is not None and learner.examples // MEASURED_EACH == before // MEASURED_EACH:
        return
    meters.set(m.LEARNED, float(learner.examples))
    for name, over, measures in measured(learner):
        for measure, value in measures._asdict().items():
            labels = (name, over.translate(_UNSAFE), measure)
            if isfinite(value):
                meters.set(m.RISK_MEASURES, float(value), labels)
            else:
                meters.values.pop((m.RISK_MEASURES, labels), None)
    for name, watch in learner.watch.items():
        for up_to, counts in zip(UP_TO, watch.late().bins(UP_TO), strict=True):
            for count, number in counts._asdict().items():
                meters.set(m.RISK_CALIBRATION, float(number), (name, str(up_to), count))
        for place, block in enumerate(reversed(watch.blocks)):
            for measure, total in (("log_loss", block.losses), ("said", block.said), ("happened", block.positives)):
                meters.set(m.RISK_COURSE, total / block.count, (name, str(place), measure))


def notices(learner: Learner, told: int, at: datetime, raised: Mapping[UUID, datetime]) -> list[Notice]:
    """What operators must be told who know how it was after `told` examples; `raised`: when what is open began."""
    found = []
    for first, last in _episodes(learner.changes):
        notice = Notice(
            notice_id=uuid5(_IDS, f"{first.what}/{first.example}"),
            condition="drift",
            feed=RISK,
            transition="raised",
            raised_at=at,
            at=at,
            reason=said(first),
        )
        if told < first.example <= learner.examples:
            found.append(notice)
        if told < last.example + QUIET <= learner.examples:
            began = raised.get(notice.notice_id, at)
            reason = f"no change for {QUIET:,} examples"
            found.append(replace(notice, transition="resolved", raised_at=min(began, at), reason=reason))
    return found


def still_changing(learner: Learner) -> list[Change]:
    """The first change of all that goes on."""
    return [first for first, last in _episodes(learner.changes) if last.example + QUIET > learner.examples]


def said(change: Change) -> str:
    """A change in words."""
    return f"{change.what} has changed: mean {change.before:.4g}, then {change.after:.4g}"


def _episodes(changes: list[Change]) -> list[tuple[Change, Change]]:
    """First and last change of each time in which something went on changing."""
    found: list[tuple[Change, Change]] = []
    going_on = dict[str, int]()
    for change in changes:
        place = going_on.get(change.what)
        if place is not None and change.example <= found[place][1].example + QUIET:
            found[place] = found[place][0], change
        else:
            going_on[change.what] = len(found)
            found.append((change, change))
    return found
