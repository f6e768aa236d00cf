"""What is kept of a subject's alerts: those that are open, those that may begin, and what silences them.

Times are in seconds since 1970, of the stream's clock.
"""

from __future__ import annotations

from typing import Final, Protocol
from uuid import UUID

import msgspec

from wardstream.models.alerts.policy import AnyKind
from wardstream.schemas.alerts import Evidence, Priority, State

KEPT_ENDED: Final = 8
RANK: Final[dict[Priority | None, int]] = {None: -1, "low": 0, "medium": 1, "high": 2}
UNANSWERED: Final = frozenset({"raised", "escalated"})

_decode_evidence = msgspec.json.Decoder(Evidence).decode
_encode_evidence = msgspec.json.Encoder().encode


class OpenAlert(msgspec.Struct, omit_defaults=True):
    """An alert that has been raised; `number` is that of its last transition, `state` what that led to.

    `stepped_at` and `stepped` are when it last was raised, raised again or worsened, and the number of that transition:
    an answer to an earlier one says nothing about it. `told_at` is when people were last told: then, or escalated.
    `evidence` is what it stands on, `confirmed_at` when the condition was last seen to hold or not to be over, or a
    person had it in hand. `next_at` is when it is escalated next, `until` when a snooze or the rest after an
    acknowledgement ends, or the comfort care that closed it, `expires_at` when it expires; None: not. `answered_at`,
    `handed_at` and `rated_at` are when the last answer of each kind was given: one that comes late and was given
    earlier does not count.

    `raised_by` is the id that raised it, where the patient now has another one; None: the patient's own. `silent`:
    nobody is told. `signals` are those that a stale alert waits for. `unit` and `bed` are where it was told last.
    """

    alert_id: UUID
    kind: AnyKind
    priority: Priority
    raised_at: float
    stepped_at: float
    reason: str
    evidence: msgspec.Raw
    state: State = "raised"
    number: int = 1
    stepped: int = 1
    stale: bool = False
    tier: int = 0
    told_at: float = 0.0
    confirmed_at: float = 0.0
    next_at: float | None = None
    until: float | None = None
    expires_at: float | None = None
    assigned_to: str | None = None
    useful: bool | None = None
    answered_at: float = 0.0
    handed_at: float = 0.0
    rated_at: float = 0.0
    silent: bool = False
    raised_by: str | None = None
    signals: tuple[str, ...] = ()
    unit: str | None = None
    bed: str | None = None


class Pending(msgspec.Struct, omit_defaults=True):
    """A condition that has held since a time and is raised at `ready` if it holds still; None: when it holds again."""

    since: float
    ready: float | None
    kind: AnyKind
    priority: Priority
    reason: str
    evidence: msgspec.Raw
    silent: bool = False
    signals: tuple[str, ...] = ()


class Silenced(msgspec.Struct, array_like=True, frozen=True):
    """A person has answered: until then the condition is not raised anew, unless it is worse than this."""

    until: float
    priority: Priority


class EndedAlert(msgspec.Struct, array_like=True, frozen=True):
    """An alert that has ended, with its condition: people rate it afterwards."""

    condition: str
    alert: OpenAlert


class Book(Protocol):
    """The alerts of one subject, by condition: one at a time for each."""

    alerts: dict[str, OpenAlert]
    pending: dict[str, Pending]
    silenced: dict[str, Silenced]
    ended: tuple[EndedAlert, ...]


def pin(evidence: Evidence) -> msgspec.Raw:
    """Evidence as it is kept: as bytes, for the state is written far more often than an alert is told again."""
    return msgspec.Raw(_encode_evidence(evidence))


def pinned(alert: OpenAlert) -> Evidence:
    """What an alert stands on."""
    return _decode_evidence(alert.evidence)


def due(book: Book) -> float:
    """When time alone changes something next, in seconds since 1970; infinity: never."""
    times = [pending.ready for pending in book.pending.values() if pending.ready is not None]
    for alert in book.alerts.values():
        times += [at for at in (alert.next_at, alert.until, alert.expires_at) if at is not None]
    return min(times, default=float("inf"))
