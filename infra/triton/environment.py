"""What the local Triton server is made of: fetched once, from wheels whose SHA-256 are recorded.

The wheel of PyTriton holds NVIDIA's `tritonserver` and its Python backend, with the libraries they need; only these
are used, not PyTriton. The server wants numpy<2, and River in our own process numpy>=2, so it gets an environment of
its own as it gets a container of its own in production. `requirements.txt` beside this file is all of it, by name and
hash. To move to another version: resolve anew, write the file from that, and run the connected tests of Triton.

The environment is built in a folder beside its place and moved there when it is whole, and its name holds the hash of
what it was built from: what an interrupted fetch or an older version left is never taken for it.
"""

from __future__ import annotations

import fcntl
import hashlib
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from wardstream.infra.failure import Failure
from wardstream.infra.settings import Settings

TRITON_VERSION = "2.51.0"
PYTHONS = ((3, 11), (3, 12))  # numpy<2 has no wheels for later ones
_PIP_DEADLINE_S = 900.0  # for one package; the largest has 55 MB
_TAIL_LINES = 8


class TritonMissing(Failure):
    """Triton is not here, or cannot be brought or run on this machine; the text says why and what to do."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment that holds Triton."""

    folder: Path

    @property
    def packages(self) -> Path:
        """Its site-packages."""
        return self.folder / "lib" / f"python{_python()}" / "site-packages"

    @property
    def server(self) -> Path:
        """The program."""
        return self.packages / "pytriton" / "tritonserver" / "bin" / "tritonserver"

    def backend_files(self) -> list[Path]:
        """The Python backend: library, its Python part, and the process that runs our Python version."""
        root = self.packages / "pytriton" / "tritonserver"
        stub = root / "python_backend_stubs" / _python() / "triton_python_backend_stub"
        return [*(path for path in (root / "backends" / "python").iterdir() if path.is_file()), stub]

    def variables(self) -> dict[str, str]:
        """All that the server's process is to find in its environment.

        The backend's Python looks at no variable but PATH: the first `python3` there decides whose library it uses.
        """
        libraries = [self.packages / "nvidia_pytriton.libs", libpython().parent]
        return {
            "PATH": f"{self.folder / 'bin'}:/usr/bin:/bin",
            "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
            "LANG": "C.UTF-8",
        }


def libpython() -> Path:
    """The shared library of the Python that runs us, which the backend's processes load.

    Raises
    ------
    TritonMissing
        This Python was built without one, or it is not installed.
    """
    name = f"libpython{_python()}.so.1.0"
    config = sysconfig.get_config_vars()
    said = [config.get("LIBDIR"), config.get("LIBPL"), f"{config.get('LIBDIR')}/{config.get('MULTIARCH')}"]
    folders = [Path(sys.base_prefix, "lib"), *(Path(str(folder)) for folder in said if folder)]
    folders += [Path("/usr/lib", str(config.get("MULTIARCH", ""))), Path("/usr/local/lib")]
    for folder in folders:
        if (folder / name).exists():
            return folder / name
    raise TritonMissing(
        f"Triton's Python backend needs {name}, and this Python has none. On Debian and Ubuntu: apt install "
        f"libpython{_python()}; with pyenv: PYTHON_CONFIGURE_OPTS=--enable-shared"
    )


def triton_folder(settings: Settings) -> Path:
    """Where the environments of an installation lie."""
    return settings.home / "triton"


def environment(folder: Path) -> Environment:
    """The environment in `folder` (of `triton_folder`).

    Raises
    ------
    TritonMissing
        It is not there, or cannot run here.
    """
    found = Environment(_place(folder))
    if not found.server.exists():
        raise TritonMissing("Triton is not here yet; run `wardstream triton fetch`.")
    libpython()
    return found


def fetch(folder: Path, *, console: Console | None = None) -> Environment:
    """Bring Triton into `folder` unless it is there; a progress bar goes to `console` (stderr).

    Raises
    ------
    TritonMissing
        There is no Triton for this machine or Python, or a package cannot be had or is not the recorded one.
    """
    place = _place(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder):
        if not place.exists():
            _check_machine()
            _build(place, console or Console(stderr=True))
    return environment(folder)


def recorded() -> list[tuple[str, str]]:
    """Each package with its version, and its line in the form of a requirements file."""
    text = files("wardstream.infra.triton").joinpath("requirements.txt").read_text(encoding="ascii")
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    return [(line.split()[0], line) for line in lines]


def _python() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def _place(folder: Path) -> Path:
    text = "\n".join(line for _, line in recorded())
    return folder / f"server-{_python()}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _check_machine() -> None:
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise TritonMissing("The local Triton runs on Linux on x86-64 only.")
    if sys.version_info[:2] not in PYTHONS:
        versions = " or ".join(f"{major}.{minor}" for major, minor in PYTHONS)
        raise TritonMissing(f"The local Triton needs Python {versions}; this is {_python()}.")
    libpython()


def _build(place: Path, console: Console) -> None:
    partial = place.with_name("partial")
    shutil.rmtree(partial, ignore_errors=True)
    packages = recorded()
    columns = (TextColumn("Triton " + TRITON_VERSION), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, TextColumn("{task.description}"), console=console) as progress:
            task = progress.add_task("", total=len(packages))
            _run([sys.executable, "-m", "venv", "--without-pip", str(partial)], "its environment cannot be made")
            for name, line in packages:
                progress.update(task, description=name)
                wanted = partial / "wanted.txt"
                wanted.write_text(line + "\n", encoding="ascii")
                pip = [sys.executable, "-m", "pip", "--python", str(partial / "bin" / "python"), "install"]
                pip += ["--quiet", "--disable-pip-version-check", "--no-input", "--only-binary", ":all:"]
                _run([*pip, "--no-deps", "--require-hashes", "-r", str(wanted)], f"{name} cannot be installed")
                progress.advance(task)
                wanted.unlink()
            progress.update(task, description="")
        for old in place.parent.glob(f"server-{_python()}-*"):
            shutil.rmtree(old)
        partial.rename(place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _run(command: list[str], failed: str) -> None:
    try:
        ran = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PIP_DEADLINE_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise TritonMissing(f"{failed}: no end within {_PIP_DEADLINE_S:.0f} s") from None
    if ran.returncode:
        said = "\n".join((ran.stderr or ran.stdout).strip().splitlines()[-_TAIL_LINES:])
        raise TritonMissing(f"Triton's part {failed}:\n{said}")


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """One fetch at a time in a folder, across processes."""
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
