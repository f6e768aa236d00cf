"""`wardstream deploy MODEL` and `rollback MODEL`: which version serves. No request is lost meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from wardstream.infra.commands.gate import check_candidate, newest_candidate
from wardstream.infra.failure import Failure
from wardstream.infra.model_store import Loader, Store
from wardstream.infra.recipes import MODELS, OTHER_CODE, code_differs
from wardstream.infra.settings import load_settings
from wardstream.models.serving import CONFIG
from wardstream.models.triton import TritonClient

_SET = "is the one to serve: a server that starts takes it (WARDSTREAM_TRITON_URL is not set, so none was told)"


def deploy(
    model: Annotated[str, typer.Argument(help="such as sepsis")],
    candidate: Annotated[Path | None, typer.Option(help="the candidate's folder; the newest without it")] = None,
) -> None:
    """Make an accepted candidate a version, and let it serve. Without WARDSTREAM_TRITON_URL only the files change."""
    store = _store(model)
    chosen = candidate if candidate is not None else newest_candidate(model)
    made = check_candidate(chosen, model)
    if not store.accepted(chosen):
        raise Failure(f"the gate has not accepted this candidate: `wardstream gate {model}` judges it")
    config = chosen / CONFIG
    if code_differs(model, made):
        typer.echo(OTHER_CODE, err=True)
    loader = _loader()
    number = store.deploy(chosen, config.read_text(encoding="utf-8") if config.is_file() else "", loader)
    typer.echo(f"version {number} of {model} serves" if loader else f"version {number} of {model} {_SET}")


def rollback(
    model: Annotated[str, typer.Argument(help="such as sepsis")],
    version: Annotated[int | None, typer.Option(help="the version to go back to; the one before without it")] = None,
) -> None:
    """Let an earlier version serve again."""
    store = _store(model)
    now = store.serving()
    wanted = store.before() if version is None else version
    if wanted is None:
        raise Failure(
            f"no version of {model} serves yet" if now is None else f"no version of {model} served before version {now}"
        )
    if wanted not in store.versions():
        raise Failure(f"there is no version {wanted} of {model}; there are {store.versions() or 'none'}")
    if not any(change["version"] == wanted for change in store.history()):
        raise Failure(f"version {wanted} of {model} has never been deployed")
    loader = _loader()
    store.serve(wanted, "rolled back", "", loader)
    typer.echo(f"version {wanted} of {model} serves again" if loader else f"version {wanted} of {model} {_SET}")


def _store(model: str) -> Store:
    if model not in MODELS:
        raise Failure(f"no model of that name; there are {', '.join(MODELS)}")
    return Store(load_settings().models, model)


class _Triton:
    """The server of the settings."""

    def __init__(self, url: str) -> None:
        self._url = url

    def load(self, model: str) -> None:
        """See `Loader`."""
        asyncio.run(self._load(model))

    async def _load(self, model: str) -> None:
        client = TritonClient(self._url)
        try:
            await client.load(model)
        finally:
            await client.close()


def _loader() -> Loader | None:
    url = load_settings().triton_url
    return None if url is None else _Triton(url)
