"""How each alert stands: its newest transition, while it is open and for a day after it has ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from uuid import UUID

from wardstream.infra.api.ring import Row
from wardstream.schemas.alerts import ENDED, Priority

ENDED_S = 24 * 3600.0
_MOST_ENDED = 50_000
_RANK = {"high": 0, "medium": 1, "low": 2}


class Standing:
    """An alert: its newest row, when that was written (s since 1970), and the offsets of all its rows."""

    def __init__(self) -> None:
        self.row: Row
        self.at = 0.0
        self.offsets: list[int] = []

    @property
    def ended(self) -> bool:
        return self.row.alert.state in ENDED


class Standings:
    """All alerts that are open or ended lately, by id."""

    def __init__(self) -> None:
        self._alerts: dict[UUID, Standing] = {}

    def add(self, row: Row, at: float) -> None:
        """Take the next row in; `at` is when it was written, s since 1970."""
        standing = self._alerts.setdefault(row.alert.alert_id, Standing())
        if standing.offsets and row.offset <= standing.offsets[-1]:
            return  # read again
        standing.row, standing.at = row, at
        standing.offsets.append(row.offset)

    def add_older(self, older: Standings) -> None:
        """Take in open alerts of a time before, as far as nothing is known of them since."""
        for alert_id, standing in older._alerts.items():
            if not standing.ended:
                self._alerts.setdefault(alert_id, standing)

    def open(self) -> Counter[tuple[str, Priority]]:
        """How many are open, silent ones apart, by condition and priority."""
        rows = (one.row for one in self._alerts.values() if not one.ended)
        return Counter((row.alert.condition, row.alert.priority) for row in rows if not row.silent)

    def drop_ended(self) -> None:
        """Keep what is open."""
        self._alerts = {alert_id: one for alert_id, one in self._alerts.items() if not one.ended}

    def get(self, alert_id: UUID) -> Standing | None:
        """How an alert stands; None: it is not known, or ended too long ago."""
        return self._alerts.get(alert_id)

    def forget(self, now: float) -> None:
        """Drop what ended more than a day ago, and the oldest of more than can be kept."""
        ended = sorted(
            ((standing.at, alert_id) for alert_id, standing in self._alerts.items() if standing.ended), reverse=True
        )
        for place, (at, alert_id) in enumerate(ended):
            if at < now - ENDED_S or place >= _MOST_ENDED:
                del self._alerts[alert_id]

    def __iter__(self) -> Iterator[Standing]:
        """The open ones first, by priority, the newest first of each."""
        return iter(sorted(self._alerts.values(), key=_order))


def _order(standing: Standing) -> tuple[bool, int, float]:
    alert = standing.row.alert
    return standing.ended, _RANK[alert.priority], -alert.raised_at.timestamp()
