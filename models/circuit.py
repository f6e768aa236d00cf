"""A circuit breaker: after repeated failures nobody waits for a server that is not there.

closed: calls pass. After `threshold` failures in a row it opens.
open: calls are refused at once. `probe_at` says when to look whether the server is back: first after `first_s`, then
after twice as long each time, `longest_s` at most. A good probe makes it half-open.
half-open: one call passes, all others are refused. Its success closes the circuit; its failure opens it again.

Nothing here waits or asks the time by itself: the clock is given, and whoever owns the circuit sends the probes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

State = Literal["closed", "open", "half_open"]


class Circuit:
    """The state of one server as its caller sees it.

    Parameters
    ----------
    now
        Monotonic seconds.
    threshold
        Failures in a row that open it.
    first_s, longest_s
        Pause before the first probe after it opened, and the longest between two. A server that is back is noticed
        after `longest_s` and the probe's own time at the latest.
    """

    def __init__(
        self, now: Callable[[], float], *, threshold: int = 3, first_s: float = 0.25, longest_s: float = 2.0
    ) -> None:
        self._now = now
        self._threshold = threshold
        self._first_s = first_s
        self._longest_s = longest_s
        self._failures = 0
        self._pause_s = first_s
        self._trial = False
        self.state: State = "closed"
        self.probe_at = 0.0
        """When open: the time of the next probe."""

    def admits(self) -> bool:
        """Whether a call may be made now; a half-open circuit gives its one trial to who asks first."""
        if self.state == "half_open" and not self._trial:
            self._trial = True
            return True
        return self.state == "closed"

    def succeeded(self) -> None:
        """A call was answered, be it by a refusal of its content: the server is there."""
        if self.state != "open":  # an answer that was on its way when it opened proves nothing new
            self.state = "closed"
            self._trial = False
            self._failures = 0
            self._pause_s = self._first_s

    def failed(self) -> None:
        """A call was not answered, or not in time."""
        self._failures += 1
        if self.state == "half_open" or (self.state == "closed" and self._failures >= self._threshold):
            self._open()

    def abandoned(self) -> None:
        """A call that was admitted ended without saying anything of the server (its caller went away)."""
        self._trial = False

    def probed(self, ready: bool) -> None:
        """What the probe of an open circuit found."""
        if self.state != "open":
            return
        if ready:
            self.state = "half_open"
            self._trial = False
        else:
            self._open()

    def _open(self) -> None:
        self.state = "open"
        self._trial = False
        self.probe_at = self._now() + self._pause_s
        self._pause_s = min(2 * self._pause_s, self._longest_s)
