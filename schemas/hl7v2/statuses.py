"""OBX-11 (table 0085): whether a result counts, and the ids by which its versions belong together.

**Ids.** A sender numbers its messages (MSH-10), not its results, and uses a number twice after a restart: no id here is
made of it. What identifies a result to its sender (feed, patient, order, code, sub-id and time of observation) makes
the id of the *result*, a UUIDv5; the id of a *version* is also made of its status and of what it says. So a message
that is sent again, with whatever control id, makes the same events once more, and lanes know them.

**What revises what** is said without a memory, since a gateway has none that survives: every version names the result
(`supersedes`), whether or not an event has that id. Those that name the same are one family, and of a family the
version received last holds (`models/revisions.py`):

- A final result takes the place of the preliminary one, a correction that of the final one, a second correction that
  of the first; a cancellation takes away whatever there was.
- A result that changes without being called corrected (against table 0085: F again, with another value) is a version
  like any other, and keeps the status that its sender gave it. One that changes back to what it was before is not told
  from a resend.
- A version that is sent again has its old id, and changes nothing. A report that is sent again with one more result
  has a new time of reporting (OBR-22): only corrections and cancellations are told apart by it.
- A final result that comes for the first time after its correction holds: nothing tells it from one that has changed.
- Vital signs of monitors are preliminary, many and short-lived: a preliminary set is the result itself, and names
  nothing. Its other versions name it.
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
    """The id of one version of a result, and that of the result."""

    event_id: UUID
    result_id: UUID


def version(work: Work, status: Status, identity: tuple[object, ...], said: object, reported: str) -> Version:
    """Return which version of which result an observation is.

    Parameters
    ----------
    identity : tuple
        What identifies the result to its sender.
    said : object
        What distinguishes this version from others of its status.
    reported : str
        When it was reported (OBR-22, TXA-7), as it was sent.
    """
    more = (reported,) if status in ("corrected", "cancelled") else ()
    return Version(work.event_id(*identity, status, said, *more), work.event_id(*identity))
