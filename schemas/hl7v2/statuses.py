"""OBX-11 (table 0085): whether a result counts, and the ids by which it and its corrections name each other.

**Ids.** A sender numbers its messages (MSH-10), not its results, and uses a number twice after a restart: no id here is
made of it. An event's id is a UUIDv5 of what identifies the result to its sender (feed, patient, order, code, sub-id
and time of observation) and of its status. So a message that is sent again, with whatever control id, makes the same
events once more, and lanes know them.

**What revises what** is said without a memory, since a gateway has none that survives: the id of the final result can
be computed from its correction, and that of the preliminary one from the final. A final result names the preliminary
one (whether there was one or not), a correction and a cancellation name the final one. `models/revisions.py` makes of
that:

- A second correction names the final result too, and has an id of its own, because a correction's id is also made of
  what it says and of OBR-22; of several, the one received last holds. Sent again it has the same id.
- A correction whose original never came counts; the original, should it still come, does not.
- A cancellation comes twice, once for the final and once for the preliminary result: either may be all there was.
- A final result that changes without being called corrected (against table 0085) has the id of the first, and is taken
  for a resend. Such a sender must be mended: nothing here can tell which of two final results is meant.
- Vital signs are many and short-lived: a final set names no preliminary one, and is simply the later of the two.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple
from uuid import UUID

from wardstream.schemas.envelope import Status
from wardstream.schemas.hl7v2.work import Work

COUNTS: Final[Mapping[str, Status]] = {
    "F": "final",
    "": "final",  # not sent: versions before 2.3 do not ask for it
    "C": "corrected",
    "P": "preliminary",
    "R": "preliminary",  # entered, not verified: what monitors send
    "S": "preliminary",  # partial
    "X": "cancelled",  # cannot be obtained
    "D": "cancelled",  # deleted
    "W": "cancelled",  # was wrong: of another patient
}
LEFT_OUT: Final = frozenset(("I", "N", "O", "U"))
"""No result: in the laboratory, not asked for, a detail of the order, or a status alone that repeats no value."""


class Version(NamedTuple):
    """One version of a result: its id, its status and what it revises."""

    event_id: UUID
    status: Status
    supersedes: UUID | None


def versions(work: Work, status: Status, identity: tuple[object, ...], said: object) -> list[Version]:
    """Return what an observation of a status is in the stream: one event, or two if it is cancelled.

    Parameters
    ----------
    identity : tuple
        What identifies the result to its sender.
    said : object
        What distinguishes one correction from the next.
    """
    preliminary, final = (work.event_id(*identity, word) for word in ("preliminary", "final"))
    match status:
        case "preliminary":
            return [Version(preliminary, status, None)]
        case "final":
            return [Version(final, status, preliminary)]
        case "corrected":
            return [Version(work.event_id(*identity, "corrected", said), status, final)]
        case "cancelled":
            return [
                Version(work.event_id(*identity, "cancelled", revised), status, revised)
                for revised in (final, preliminary)
            ]
