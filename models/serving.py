"""A deep model as the stream asks it: rows in, calibrated answers out, and what is said when the server is silent.

The files beside each served version (`<model>/<version>/`) say how to read its answers: `calibration.json` makes a
probability of its log-odds, `fallback.json` one of NEWS2's points, for the time in which the server does not answer.
Both are read once a version, and looked for again until they are there. The version is the one that the server names
in its answer, so an answer is never read with the calibration of another version, whatever is deployed meanwhile.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import isfinite
from pathlib import Path
from time import monotonic
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from wardstream.models.explaining import contributions, groups_of, without
from wardstream.models.sepsis import LOOK_BACK, NAME, Calibration, Prepared, load_calibration, sigmoid, stacked
from wardstream.models.triton import Answer, Reason, Unavailable
from wardstream.schemas.predictions import Contribution, Quality

ROWS = 64  # of one request: as many as the server computes at once
BUDGET_S = 4.0  # for all rows of one call, however many hours end at once after an outage; a handler has 10 s
CONFIG = "config.pbtxt"  # Triton's, of a model's folder
_SERVES = re.compile(r"version_policy\s*:?\s*\{\s*specific\s*:?\s*\{\s*versions\s*:\s*\[\s*(\d+)\s*\]\s*\}\s*\}")
CALIBRATION_AGAIN_S = 5.0  # after a calibration was not there: its version may be copied to this machine just now
Silence = Reason | Literal["contradiction"]
"""Why there is no answer. contradiction: what came is none: of another shape, or not finite."""
_SAID: Mapping[Silence, str] = {
    "deadline": "the model server did not answer in time",
    "unavailable": "the model server is not reachable",
    "circuit_open": "the model server has not answered lately",
    "overloaded": "the model server is overloaded",
    "rejected": "the model server refused the request",
    "contradiction": "what the model server said is no answer",
}


class Answered(NamedTuple):
    """What is known of a probability; `version` None: no model answered."""

    quality: Quality
    reason: str | None
    version: str | None = None
    probability: float | None = None
    calibrated: float | None = None
    logit: float = 0.0


Said = tuple[str, float] | Silence
"""Version and log-odds; or why there is no answer."""


def version_named(config: str) -> int | None:
    """The one version that Triton's configuration of a model lets serve; None: it names none, or several."""
    found = _SERVES.search(config)
    return None if found is None else int(found[1])


class Infers(Protocol):
    """What of `triton.TritonClient` is needed here."""

    async def infer(self, model: str, inputs: Mapping[str, Any]) -> Answer: ...


class Served:
    """Asks `sepsis`; one for all lanes of a worker.

    Lanes take turns at the server, one request at a time: two at once would wait for one another there, each within its
    own deadline, and uploads of megabytes that share a connection now and then stall for a quarter of a second.

    Parameters
    ----------
    client : Infers
        The model server's client.
    folder : Path
        The model's folder in the repository.
    budget_s : float
        For all rows of one call.
    """

    def __init__(self, client: Infers, folder: Path, budget_s: float = BUDGET_S) -> None:
        self._client = client
        self._budget_s = budget_s
        self._folder = folder
        self._turn = asyncio.Lock()
        self._calibrations: dict[tuple[str, str], tuple[Calibration | None, float]] = {}  # until when it is None
        self._answered: str | None = None

    async def ask(self, rows: Sequence[Prepared]) -> list[Answered | Silence]:
        """One answer a row, in their order, or why there is none: once the server is silent, nothing more is asked."""
        return [said if isinstance(said, str) else self._read(*said) for said in await self._logits(rows)]

    async def explain(self, rows: Sequence[tuple[Prepared, Answered]]) -> list[tuple[Contribution, ...]]:
        """What each group of inputs added to answers of this client's; nothing where another version answers by now, or
        none."""
        groups = [(index, group) for index, (prepared, _) in enumerate(rows) for group in groups_of(prepared)]
        said = await self._logits([without(rows[index][0], group) for index, group in groups])
        others: list[dict[str, float]] = [{} for _ in rows]
        for (index, group), one in zip(groups, said, strict=True):
            if not isinstance(one, str) and one[0] == rows[index][1].version:
                others[index][group] = one[1]
        return [
            contributions(prepared, answer.logit, known) for (prepared, answer), known in zip(rows, others, strict=True)
        ]

    async def _logits(self, rows: Sequence[Prepared]) -> list[Said]:
        said, until = list[Said](), monotonic() + self._budget_s
        while len(said) < len(rows):
            answers = await self._request(rows[len(said) : len(said) + ROWS], until)
            said += answers
            if isinstance(answers[0], str) and answers[0] != "contradiction":
                return said + [answers[0]] * (len(rows) - len(said))
        return said

    async def _request(self, rows: Sequence[Prepared], until: float) -> list[Said]:
        feed = stacked(rows).feed()
        try:
            async with asyncio.timeout(until - monotonic()):
                await asyncio.sleep(0)  # here it is late already, even if nobody else asks
                await self._turn.acquire()
        except TimeoutError:
            return ["deadline"] * len(rows)
        try:
            answer = await self._client.infer(NAME, feed)
        except Unavailable as unavailable:
            return [unavailable.reason] * len(rows)
        finally:
            self._turn.release()
        self._answered = answer.version
        logit = answer.outputs.get("logit")
        if logit is None or logit.shape != (len(rows), LOOK_BACK):
            return ["contradiction"] * len(rows)
        present = [float(by_hour[row.place]) for row, by_hour in zip(rows, logit, strict=True)]
        return [(answer.version, one) if isfinite(one) else "contradiction" for one in present]

    def _read(self, version: str, logit: float) -> Answered:
        probability, calibration = float(sigmoid(logit)), self._calibration(version, "calibration")
        if calibration is None:
            return Answered("degraded", f"nothing says how version {version} is calibrated", version, probability)
        return Answered("ok", None, version, probability, float(calibration.apply(logit)), logit)

    def fall_back(self, news2: float | None, reason: Silence) -> Answered:
        """What NEWS2 (points; a lower bound) says in place of the model."""
        calibration = None if news2 is None else self._calibration(self.version, "fallback")
        if news2 is None or calibration is None:
            return Answered("abstained", _SAID[reason])
        probability = float(calibration.apply(news2))
        return Answered("degraded", f"{_SAID[reason]}: from NEWS2 alone", None, probability, probability)

    def threshold(self, version: str, name: str = "alert") -> float | None:
        """The calibrated probability from which a version's answer is an alert; None: it has none."""
        calibration = self._calibration(version, "calibration")
        return None if calibration is None else calibration.thresholds.get(name)

    def is_alert(self, answer: Answered) -> bool:
        """Whether an answer is the model's own, and an alert."""
        if answer.quality != "ok" or answer.version is None or answer.calibrated is None:
            return False
        threshold = self.threshold(answer.version)
        return threshold is not None and answer.calibrated >= threshold

    @property
    def version(self) -> str:
        """The version that is stood in for: the one that answered last.

        Before any answer the one that the configuration names (after a rollback it is not the newest), else the newest
        in the repository, "0" where there is none.
        """
        if self._answered is not None:
            return self._answered
        config = self._folder / CONFIG
        named = version_named(config.read_text(encoding="utf-8")) if config.is_file() else None
        if named is not None:
            return str(named)
        return str(max((int(path.name) for path in self._folder.glob("[0-9]*") if path.name.isdigit()), default=0))

    def _calibration(self, version: str, file: str) -> Calibration | None:
        known, until = self._calibrations.get((version, file), (None, 0.0))
        if known is None and monotonic() >= until:
            with suppress(OSError, msgspec.MsgspecError):
                known = load_calibration(self._folder / version / f"{file}.json")
            self._calibrations[version, file] = known, monotonic() + CALIBRATION_AGAIN_S
        return known
