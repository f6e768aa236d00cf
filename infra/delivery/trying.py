"""When a delivery that failed is tried again, and when no more.

Exponential back-off with full jitter (a wait between nothing and the bound): after an outage a receiver is not struck
by all at once. Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

FIRST_S: Final = 0.5
LONGEST_S: Final = 300.0
AT_LEAST: Final = 5
"""Attempts, however old a transition is by then."""


class Trying(NamedTuple):
    """How long is it tried.

    Attributes
    ----------
    for_s : from the publication of what caused the transition on, seconds.
    draw : a number from 0 to 1.
    """

    for_s: float
    draw: Callable[[], float]

    def wait_s(self, attempts: int, rest_s: float) -> float:
        """How long to wait after so many attempts, the last of which asked for a rest."""
        bound: float = min(FIRST_S * 2 ** min(attempts - 1, 32), LONGEST_S)
        return max(bound * self.draw(), rest_s)

    def over(self, attempts: int, age_s: float) -> bool:
        """Whether it is given up after so many attempts."""
        return attempts >= AT_LEAST and age_s >= self.for_s
