"""What the board keeps of one patient: the newest day, bounded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple, get_args
from uuid import UUID

from wardstream.infra.api.ring import Row
from wardstream.infra.board.series import KEPT_S, Line, Told
from wardstream.schemas.alerts import ENDED, Priority, Transition
from wardstream.schemas.findings import Finding
from wardstream.schemas.identities import Identity
from wardstream.schemas.imaging import Imaging
from wardstream.schemas.labs import Flag
from wardstream.schemas.occupancy import Occupancy
from wardstream.schemas.predictions import Prediction, Quality
from wardstream.schemas.scores import Score
from wardstream.schemas.vitals import Consciousness, OxygenDevice

VITALS: Final = (
    *("heart_rate_bpm", "respiratory_rate_per_min", "spo2_percent", "supplemental_oxygen", "fio2_fraction"),
    *("oxygen_flow_l_per_min", "oxygen_device", "systolic_mmhg", "diastolic_mmhg", "mean_pressure_mmhg"),
    *("temperature_celsius", "consciousness", "gcs_total", "urine_output_ml", "etco2_mmhg"),
)
"""Fields of vitals.v1 that are kept; a signal's bit in `Told` is its place here."""
WORDS: Final[dict[str, tuple[str, ...]]] = {
    "consciousness": get_args(Consciousness),
    "oxygen_device": get_args(OxygenDevice),
}
"""Of fields that are words: which there are; their place stands for them."""
QUALITIES: Final[tuple[Quality, ...]] = get_args(Quality)
MOST_RESULTS = 200  # of an analyte
MOST_ANALYTES = 128
MOST_MODELS = 16
MOST_FINDINGS = 64
MOST_ALERTS = 256  # whose transitions are kept
MOST_MARKS = 64  # of an alert
MOST_MOVES = 64
MOST_IDENTITIES = 32  # records of one: as many as there are sets of parts

Value = float | bool | str


class Result(NamedTuple):
    """A laboratory result: of which chain of versions, when (s since 1970), what."""

    chain: UUID
    at: float
    value: float
    flag: Flag | None
    preliminary: bool


@dataclass(slots=True)
class Analyte:
    """Results of one analyte, in one unit, by time."""

    unit: str | None
    results: list[Result] = field(default_factory=list)

    def put(self, result: Result) -> None:
        """Take a version in: it takes the place of others of its chain."""
        self.results = [one for one in self.results if one.chain != result.chain] + [result]
        self.results.sort(key=lambda one: one.at)
        del self.results[:-MOST_RESULTS]


@dataclass(slots=True)
class Answers:
    """One model's answers: the newest whole, of the others probability and quality."""

    latest: Prediction
    line: Line = field(default_factory=Line)
    quality: Line = field(default_factory=Line)

    def put(self, answer: Prediction) -> None:
        """Take an answer in."""
        at, p = answer.observed_at.timestamp(), answer.calibrated_probability
        self.line.put(at, float("nan") if p is None else p)
        self.quality.put(at, QUALITIES.index(answer.quality))
        if answer.observed_at >= self.latest.observed_at:
            self.latest = answer


class Mark(NamedTuple):
    """A transition of an alert: when (s since 1970), what, in which unit."""

    at: float
    transition: Transition
    priority: Priority
    unit: str | None


@dataclass(slots=True)
class Life:
    """An alert: its newest transition, and those before."""

    row: Row
    marks: list[Mark] = field(default_factory=list)

    @property
    def open(self) -> bool:
        return self.row.alert.state not in ENDED


class Move(NamedTuple):
    """Since when (s since 1970) somebody is where."""

    at: float
    unit: str
    bed: str | None


@dataclass(slots=True)
class Patient:
    """One patient; `heard`: the ward's time when there was last a place, or of the first event without one."""

    patient_id: str
    heard: float
    rows: dict[str, Occupancy] = field(default_factory=dict)  # where present, by key
    moves: list[Move] = field(default_factory=list)
    vitals: dict[str, Line] = field(default_factory=dict)
    told: Told = field(default_factory=Told)
    labs: dict[str, Analyte] = field(default_factory=dict)
    scores: dict[str, tuple[Line, Line]] = field(default_factory=dict)  # values, whether complete
    news2: tuple[float, Score] | None = None
    answers: dict[tuple[str, bool], Answers] = field(default_factory=dict)  # by model and whether it is silent
    findings: dict[UUID, Finding] = field(default_factory=dict)
    images: dict[UUID, Imaging] = field(default_factory=dict)
    alerts: dict[UUID, Life] = field(default_factory=dict)
    code_status: tuple[float, str] | None = None
    identities: dict[str, Identity] = field(default_factory=dict)  # sealed, by key
    comfort: dict[UUID, float] = field(default_factory=dict)  # orders by id: when they end

    @property
    def place(self) -> Occupancy | None:
        """Where they are; None: in no bed that is known."""
        return max(self.rows.values(), key=lambda row: row.since, default=None)

    @property
    def unit(self) -> str | None:
        """The unit they are in."""
        row = self.place
        return None if row is None else row.unit

    def latest(self, name: str) -> tuple[float, Value] | None:
        """Time and newest value of a vital sign."""
        line = self.vitals.get(name)
        return None if line is None or not line.times else (line.times[-1], spoken(name, line.values[-1]))

    def trim(self, now: float) -> None:
        """Forget what is older than a day."""
        before = now - KEPT_S
        lines = [*self.vitals.values(), *(line for pair in self.scores.values() for line in pair)]
        for line in (*lines, *(line for one in self.answers.values() for line in (one.line, one.quality))):
            line.trim(before)
        for name, analyte in list(self.labs.items()):
            analyte.results = [one for one in analyte.results if one.at >= before] or analyte.results[-1:]
            if not analyte.results:
                del self.labs[name]
        self.findings = {key: one for key, one in self.findings.items() if one.observed_at.timestamp() >= before}
        self.images = {key: one for key, one in self.images.items() if one.observed_at.timestamp() >= before}
        self.alerts = {key: life for key, life in self.alerts.items() if life.open or life.marks[-1].at >= before}
        self.comfort = {key: until for key, until in self.comfort.items() if until > now}


def spoken(name: str, value: float) -> Value:
    """A kept number as the event had it."""
    if name in WORDS:
        return WORDS[name][int(value)]
    return bool(value) if name == "supplemental_oxygen" else value


def kept(name: str, value: Value) -> float:
    """The number that is kept of a value."""
    return float(WORDS[name].index(str(value))) if name in WORDS else float(value)
