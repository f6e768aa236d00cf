"""The imaging group's tools: what is asked of the model server is measured as in the other group."""

from __future__ import annotations

import numpy as np
import pytest

from tests.models.fake_triton import fake_triton
from wardstream.agents.metrics import MODEL_FAILURES, MODEL_ROWS, MODEL_SECONDS
from wardstream.infra.imaging_app import ImagingTools
from wardstream.infra.settings import load_settings
from wardstream.infra.worker import build_imaging_app
from wardstream.models.imaging.film import Unusable

FILMS = np.zeros((3, 1, 28, 28), np.float32)
KEY = "A" * 43 + "="


async def test_requests_to_the_model_server_are_measured() -> None:
    async with fake_triton() as fake:
        made = ImagingTools(load_settings(triton_url=fake.address))
        try:
            answered = await made.tools.model(FILMS)
            assert answered.version == "7"
        finally:
            await made.close()
        with pytest.raises(Unusable):
            await made.tools.model(FILMS)  # the connection is closed
    label = ("chest_xray",)
    assert made.meters.histograms[MODEL_ROWS, label].sum == len(FILMS)
    assert made.meters.histograms[MODEL_SECONDS, label].count == 1
    assert made.meters.values[MODEL_FAILURES, ("chest_xray", "unavailable")] == 1


def test_the_worker_publishes_them() -> None:
    settings = load_settings(broker_url="kafka://127.0.0.1:9", dead_letter_key=KEY)
    made = ImagingTools(settings)
    app = build_imaging_app(settings, 4, made.tools, made.meters, made.close)
    assert app.lane_settings.meters is made.meters
