"""The imaging group's tools, made of an installation's settings, and how they are closed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from wardstream.agents.imaging import Answered, Tools
from wardstream.agents.measuring import measure_model
from wardstream.agents.metrics import Meters
from wardstream.infra.imaging_readers import Readers
from wardstream.infra.imaging_store import Allowed, ImageStore
from wardstream.infra.settings import Settings
from wardstream.models import chest_xray
from wardstream.models.chest_xray import Tensor
from wardstream.models.imaging.film import Unusable
from wardstream.models.imaging.suitability import Rules
from wardstream.models.triton import Outcome, TritonClient, Unavailable

MODEL_DEADLINE_S: Final = 5.0  # of a batch of films: nobody's vitals wait for it


class ServedModel:
    """The chest model on a Triton server; without one every film is `model_unavailable`."""

    def __init__(self, url: str | None, on_outcome: Callable[[Outcome], None]) -> None:
        self._url = url
        self._on_outcome = on_outcome
        self._client: TritonClient | None = None

    async def __call__(self, films: Tensor) -> Answered:
        if self._url is None:
            raise Unusable("model_unavailable")
        if self._client is None:  # its channel belongs to the event loop that runs the lanes
            self._client = TritonClient(self._url, deadline_s=MODEL_DEADLINE_S, on_outcome=self._on_outcome)
        try:
            answer = await self._client.infer(chest_xray.NAME, {"image": films})
        except Unavailable as error:
            raise Unusable("model_unavailable") from error
        return Answered(answer.version, answer.outputs)

    async def close(self) -> None:
        """End the connection."""
        if self._client is not None:
            await self._client.close()


class ImagingTools:
    """Makes the tools, which connect when they are first used, and closes what they hold.

    `meters` count what becomes of the requests to the model server.
    """

    def __init__(self, settings: Settings) -> None:
        self.meters = Meters()
        self._model = ServedModel(settings.triton_url, partial(measure_model, self.meters))
        self._readers = Readers()
        self._store = ImageStore(allowed(settings))
        self.tools = Tools(images=self._store, read=self._readers, model=self._model, rules=rules(settings))

    async def close(self) -> None:
        """End connections and processes."""
        await self._store.close()
        await self._readers.close()
        await self._model.close()


def rules(settings: Settings) -> Rules:
    """The ages that the site allows."""
    return Rules(youngest=settings.imaging_ages[0], oldest=settings.imaging_ages[1])


def allowed(settings: Settings) -> Allowed:
    """What a URI may reach."""
    key, secret = settings.imaging_s3_access_key, settings.imaging_s3_secret()
    options = {}
    if key is not None and secret is not None:
        options = {"region": settings.imaging_s3_region, "access_key_id": key, "secret_access_key": secret}
    return Allowed(
        folders=settings.imaging_folders,
        hosts=settings.imaging_hosts,
        s3_endpoint=settings.imaging_s3_endpoint,
        s3_buckets=settings.imaging_s3_buckets,
        s3_options=options,
        saliency=settings.imaging_saliency_folder,
    )
