"""`wardstream triton`: the Triton Inference Server on this machine."""

from __future__ import annotations

import asyncio
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from wardstream.infra.settings import PREFIX, Settings, load_settings
from wardstream.infra.triton.environment import TRITON_VERSION, fetch, triton_folder
from wardstream.infra.triton.models import models_in
from wardstream.infra.triton.server import TritonServer

commands = typer.Typer(no_args_is_help=True, help="Triton Inference Server on this machine, from a Python package.")

_LOOK_S = 0.5


@commands.command("fetch")
def fetch_server() -> None:
    """Fetch Triton and check it; done in an instant when it is there."""
    found = fetch(triton_folder(load_settings()))
    typer.echo(f"Triton {TRITON_VERSION} is in {found.folder}")


@commands.command()
def start(
    models: Annotated[Path | None, typer.Option(help="folder of the models [default: WARDSTREAM_MODELS]")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="where its log and backends lie [default: WARDSTREAM_HOME/triton/local]")
    ] = None,
) -> None:
    """Run Triton until Ctrl-C, with all models of the repository."""
    settings = load_settings()
    repository = models or settings.models
    found = models_in(repository)
    made_of = fetch(triton_folder(settings))
    stop = threading.Event()
    with TritonServer(folder or triton_folder(settings) / "local", repository, made_of=made_of) as server:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        for name, value in server.environment().items():
            typer.echo(f"export {name}={value}")
        served = ", ".join(found) or "no model yet"
        typer.echo(f"Triton is running with {served}; its log is {server.log}. Ctrl-C stops it.", err=True)
        while not stop.wait(_LOOK_S):
            server.check()
    typer.echo("Triton has stopped.", err=True)


@commands.command()
def status() -> None:
    """Say which models the server at WARDSTREAM_TRITON_URL serves; exit code 1 when it is not ready."""
    settings = load_settings()
    if settings.triton_url is None:
        typer.echo(f"{PREFIX}TRITON_URL is not set; models in {settings.models}: {_listed(settings)}")
        raise typer.Exit(1)
    ready, lines = asyncio.run(_ask(settings.triton_url))
    for line in lines:
        typer.echo(line)
    raise typer.Exit(0 if ready else 1)


def _listed(settings: Settings) -> str:
    return ", ".join(models_in(settings.models)) or "none"


async def _ask(url: str) -> tuple[bool, list[str]]:
    # Imported here: gRPC would slow down every other command.
    from wardstream.models.triton import TritonClient, Unavailable

    client = TritonClient(url)
    try:
        if not await client.ready():
            return False, [f"the Triton at {url} is not ready"]
        versions = await client.versions()
        served = [f"{name}: {', '.join(found) or 'not loaded'}" for name, found in sorted(versions.items())]
        return True, [f"the Triton at {url} is ready", *(served or ["it has no models"])]
    except Unavailable as unavailable:
        return False, [f"the Triton at {url} does not answer: {unavailable}"]
    finally:
        await client.close()
