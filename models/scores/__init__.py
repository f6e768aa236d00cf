"""Rule-based scores: pure functions of `Observations`, one score a file.

The rules of them all:

- A part whose value is unknown is named in `missing`, never taken for normal. The value is then a lower bound, the sum
  of what is known (0 if nothing is), and `complete` is False. The lowest band is claimed by complete scores only. The
  shock index, a ratio, has no value then.
- Parts and what is missing carry the names of the fields of `Observations` they are read from, those of `vitals.v1`.
- Vital signs count as they would be charted, rounded half up (`chart`).
- A patient for whom the rule was not made gets no value and the reason in `not_applicable`; `complete` is then False
  and nothing is missing.
"""

from collections.abc import Callable

from wardstream.models.scores.kdigo import Kidneys, kdigo
from wardstream.models.scores.mews import mews
from wardstream.models.scores.news import news
from wardstream.models.scores.news2 import news2
from wardstream.models.scores.observations import Observations
from wardstream.models.scores.qsofa import qsofa
from wardstream.models.scores.shock_index import shock_index
from wardstream.models.scores.sirs import sirs
from wardstream.models.scores.sofa import sofa
from wardstream.schemas.scores import Score

__all__ = [
    "ALL",
    "Kidneys",
    "Observations",
    "kdigo",
    "mews",
    "news",
    "news2",
    "qsofa",
    "rule_scores",
    "shock_index",
    "sirs",
    "sofa",
]

ALL: tuple[tuple[str, Callable[[Observations], Score]], ...] = (
    ("news2", news2),
    ("news", news),
    ("qsofa", qsofa),
    ("sirs", sirs),
    ("mews", mews),
    ("shock_index", shock_index),
)
"""Every rule score of the bedside by name, in the order in which they are published: computed after each event.

SOFA and KDIGO's stage are not among them: they read laboratory results, and are computed when something they read has
changed (`agents/labs.py`). Their values hold until then."""


def rule_scores(o: Observations) -> tuple[Score, ...]:
    """Compute every score of `ALL`, in its order."""
    return tuple([score(o) for _, score in ALL])
