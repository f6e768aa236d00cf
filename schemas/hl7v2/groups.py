"""The parts of a message of observations: orders with what was observed for them, and when that was."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from wardstream.schemas.envelope import Status
from wardstream.schemas.hl7v2.codes import Meaning
from wardstream.schemas.hl7v2.reading import Segment
from wardstream.schemas.hl7v2.times import stated
from wardstream.schemas.hl7v2.visits import encounter_id
from wardstream.schemas.hl7v2.work import Work

_LONGEST_UNIT = 64
_DAY = 3  # parts of a date


@dataclass(eq=False)
class Group:
    """An OBR with what belongs to it; an OBX without an OBR has a group without one."""

    evn: Segment | None = None
    pid: Segment | None = None
    pv1: Segment | None = None
    orc: Segment | None = None
    obr: Segment | None = None
    spm: Segment | None = None
    obx: list[Segment] = field(default_factory=list)

    @property
    def around(self) -> tuple[Segment | None, ...]:
        """What is needed to map one of its OBX again; of a movement beside which it was measured, that one too."""
        return self.evn, self.pid, self.pv1, self.orc, self.obr, self.spm

    @property
    def order(self) -> str:
        """The filler's number of the order, or else the placer's; empty: neither was sent."""
        for segment in (self.obr, self.orc):
            for number in (3, 2):
                if segment is not None and segment.text(number):
                    return segment.text(number)
        return ""

    def obr_text(self, number: int, component: int = 1) -> str:
        """Return a value of the OBR; empty where there is none."""
        return "" if self.obr is None else self.obr.text(number, component)

    def encounter(self, work: Work) -> str | None:
        """Return the pseudonym of the stay."""
        return encounter_id(work, self.pid, self.pv1)


@dataclass(eq=False)
class Observation:
    """An OBX that counts: what it means, its status, and its code as settings write it."""

    obx: Segment
    group: Group
    meaning: Meaning
    status: Status
    code: str

    @property
    def needed(self) -> tuple[Segment | None, ...]:
        """What is needed to map it again."""
        return *self.group.around, self.obx


def groups(segments: Iterable[Segment]) -> Iterator[Group]:
    """Cut a message into groups. A specimen follows its observations (ORU), or precedes their order (OUL)."""
    group, ahead = Group(), None
    for segment in segments:
        name = segment.name
        if name == "EVN":
            group.evn = segment
        elif name == "PID":
            if group.obx or group.obr:
                yield group
            group, ahead = Group(group.evn, segment), None
        elif name == "PV1":
            group.pv1 = segment
        elif name in ("ORC", "OBR"):
            if group.obx or group.obr:
                yield group
                group = Group(group.evn, group.pid, group.pv1)
            if name == "ORC":
                group.orc = segment
            else:
                group.obr, group.spm = segment, ahead
        elif name == "SPM":
            if group.obx and group.spm is None:
                group.spm = segment
            else:
                ahead = segment
        elif name == "OBX":
            group.obx.append(segment)
    if group.obx or group.obr:
        yield group


def when(work: Work, candidates: Sequence[tuple[Segment | None, int]]) -> tuple[datetime | None, str, str]:
    """Return the time of an observation; where there is none, why and the place at fault.

    Parameters
    ----------
    candidates : sequence
        Segments and fields, the best first. One that holds something that is no time, or an hour that the site does not
        want guessed, is a fault: another field might mean another time.
    """
    present = [(segment, number) for segment, number in candidates if segment is not None and segment.text(number)]
    for segment, number in present:
        said = stated(segment.text(number))
        if said is None or (said.parts >= _DAY and work.moments.read(segment.text(number)) is None):
            return None, "bad_format", segment.place(number)
    moment = work.moments.first(segment.text(number) for segment, number in present)
    if moment is not None:
        return moment, "", ""
    missing = (segment.place(number) for segment, number in candidates if segment is not None)
    return None, "missing_field", next(missing, "MSH-7")


def units(work: Work, one: Observation) -> tuple[str, ...]:
    """Return how OBX-6 (a CWE: unit, its name, system, and an alternative of each) spells the unit, the best first.

    Where it says none: what the site has declared for the code, or nothing.
    """
    obx = one.obx
    first, second = obx.text(6, 1), obx.text(6, 2)
    if first.lower() in ("10", "x10") and second:
        first = f"{first}^{second}"  # a power that was not escaped
    spelt = (first, second if not first or obx.text(6, 3) == "MDC" else "", obx.text(6, 4))
    found = tuple(unit[:_LONGEST_UNIT] for unit in spelt if unit)
    return tuple(work.feed.units.get(unit, unit) for unit in found) or (one.meaning.unit,)
