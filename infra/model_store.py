"""The model repository: versions of a model, which of them serves, and how that changes.

`<model>/config.pbtxt` names the one version that serves (`version_policy`), so that what Triton is told by a load and
what it finds at its next start are the same. A version's folder is never changed; going back is naming an older one.
`<model>/history.json` lists every change of the serving version, and `<model>/looks.json` every look at the locked
patients: both belong into version control with the model.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol, TypedDict, TypeVar

import msgspec

from wardstream.infra.failure import Failure
from wardstream.models.serving import CONFIG, version_named
from wardstream.models.training.record import CALIBRATION, CARD, FALLBACK, MODEL, RECORD, file_hash, read, write

T = TypeVar("T")

_JUDGED: Final = (MODEL, RECORD, CALIBRATION, FALLBACK)  # of a candidate: what decides what it will say
_ANY_POLICY: Final = re.compile(r"version_policy\s*:?\s*\{[^{}]*\{[^{}]*\}\s*\}")
_POLICY: Final = "version_policy: {{ specific: {{ versions: [ {} ] }} }}"


class Loader(Protocol):
    """A model server that can be told to read a model's folder anew; `models/triton.py` has it."""

    def load(self, model: str) -> None:
        """Serve what the repository now says of a model; returns when it does, and raises, with why, when it cannot."""
        ...


class Change(TypedDict):
    """One change of the serving version: since when (ISO 8601, UTC), and why."""

    version: int
    at: str
    why: str


class Look(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One look at the locked patients.

    Attributes
    ----------
    number : int
        From 1.
    at : str
        When it began.
    candidate : str
        Hash of all files that decide what the candidate says.
    outcome : str
        begun, or as in `recipe.Verdict`.
    data_hash : str
        Of the data.
    code_differs : bool
        Whether the code that the candidate was made with (`code_hash` of its record) had another text by then.
    measured : mapping
        What was found.
    """

    number: int
    at: str
    candidate: str
    outcome: str
    data_hash: str
    code_differs: bool = False
    measured: Mapping[str, Any] = {}


def candidate_hash(candidate: Path) -> str:
    """Of weights, record and calibrations: a candidate with other ones is another."""
    found = hashlib.sha256()
    for name in _JUDGED:
        path = candidate / name
        found.update(f"{name} {file_hash(path) if path.is_file() else 'none'}\n".encode())
    return found.hexdigest()


class Store:
    """The versions of one model in a repository."""

    def __init__(self, repository: Path, model: str) -> None:
        self.folder, self.model = repository / model, model

    def versions(self) -> list[int]:
        """All versions, ascending."""
        if not self.folder.is_dir():
            return []
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdecimal() and path.is_dir())

    def serving(self) -> int | None:
        """The version that serves; None: none does.

        Raises
        ------
        Failure
            The configuration names a version that is not there.
        """
        version = version_named(self._config())
        if version is not None and version not in self.versions():
            raise Failure(f"{self.folder / CONFIG} names version {version}, which is not there")
        return version

    def version(self, number: int) -> Path:
        """A version's folder."""
        return self.folder / str(number)

    def looks(self) -> list[Look]:
        """Every look at the locked patients so far.

        Raises
        ------
        Failure
            They cannot be read.
        """
        return self._kept("looks.json", list[Look])

    def count_look(self, candidate: Path, outcome: str, data_hash: str, code_differs: bool = False) -> Look:
        """Write a look down. This comes before its result is shown, so that no look goes uncounted."""
        looks = self.looks()
        look = Look(
            number=len(looks) + 1,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            candidate=candidate_hash(candidate),
            outcome=outcome,
            data_hash=data_hash,
            code_differs=code_differs,
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        write(self.folder / "looks.json", [*looks, look])
        return look

    def settle_look(self, number: int, outcome: str, measured: Mapping[str, Any] | None = None) -> None:
        """Write down what came of a look."""
        looks = [
            msgspec.structs.replace(look, outcome=outcome, measured=measured or {}) if look.number == number else look
            for look in self.looks()
        ]
        write(self.folder / "looks.json", looks)

    def accepted(self, candidate: Path) -> bool:
        """Whether the gate has accepted this very candidate, and has not rejected it since."""
        whole = candidate_hash(candidate)
        found = [look.outcome for look in self.looks() if look.candidate == whole and look.outcome != "begun"]
        return bool(found) and found[-1] == "accepted"

    def deploy(self, candidate: Path, config: str, loader: Loader | None) -> int:
        """Add a candidate and let it serve; returns its number. One that cannot be served leaves nothing.

        Raises
        ------
        Failure
            As `serve`.
        """
        number = self.add(candidate)
        try:
            self.serve(number, "deployed", config, loader)
        except BaseException:
            if version_named(self._config()) != number:  # else it serves, and something after that went wrong
                shutil.rmtree(self.version(number))
            raise
        return number

    def add(self, candidate: Path) -> int:
        """Copy a candidate into a new version; it does not serve yet."""
        number = max(self.versions(), default=0) + 1
        part = self.folder / f".{number}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for path in sorted(candidate.iterdir()):
            if path.name in (MODEL, RECORD, CALIBRATION, FALLBACK, CARD) or path.suffix == ".png":
                shutil.copy2(path, part / path.name)
        part.rename(self.version(number))
        return number

    def serve(self, number: int, why: str, config: str, loader: Loader | None) -> None:
        """Let a version serve: configuration first, then the server; if it refuses, the configuration goes back.

        `config` is the model's `config.pbtxt` where there is none yet; one that is there is a site's own, and kept.

        Raises
        ------
        Failure
            The server did not load it, for the reason that it gave; or `history.json` cannot be read.
        """
        before, history = self._config(), self.history()
        text = before or config
        policy = _POLICY.format(number)
        text = _ANY_POLICY.sub(policy, text) if _ANY_POLICY.search(text) else f"{text.rstrip()}\n{policy}\n"
        self._write_config(text)
        if loader is not None:
            try:
                loader.load(self.model)
            except BaseException as error:  # whatever a server's client raises, the old version stays
                self._write_config(before)
                with suppress(Exception):  # one that was only late may load it yet: it is to end with the old one
                    loader.load(self.model)
                if not isinstance(error, Exception):
                    raise
                # After an empty line come places in the server's code.
                said = str(error).partition("\n\n")[0] or type(error).__name__
                raise Failure(f"the model server did not load version {number}: {said}") from error
        card = self.version(number) / CARD
        if card.is_file():
            shutil.copy2(card, self.folder / CARD)
        change = Change(version=number, at=datetime.now(UTC).isoformat(timespec="seconds"), why=why)
        write(self.folder / "history.json", [*history, change])

    def history(self) -> list[Change]:
        """Every change of the serving version.

        Raises
        ------
        Failure
            They cannot be read.
        """
        return self._kept("history.json", list[Change])

    def before(self) -> int | None:
        """The version that served before the present one; None: none did. What was gone back from is none to go to."""
        served: list[int] = []
        for entry in self.history():
            version = entry["version"]
            served = [*(served[: served.index(version)] if version in served else served), version]
        if served and served[-1] == self.serving():
            served.pop()
        return served[-1] if served else None

    def _kept(self, name: str, form: type[list[T]]) -> list[T]:
        """What a file of the model's folder lists; nothing where there is none."""
        try:
            return read(self.folder / name, form)
        except FileNotFoundError:
            return []
        except ValueError as error:
            raise Failure(f"{error}: it is kept under version control, take it from there") from error

    def _config(self) -> str:
        path = self.folder / CONFIG
        return path.read_text(encoding="utf-8") if path.is_file() else ""

    def _write_config(self, text: str) -> None:
        path = self.folder / CONFIG
        if not text:
            path.unlink(missing_ok=True)
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(text, encoding="utf-8")
        part.replace(path)
