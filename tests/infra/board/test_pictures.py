"""Films and saliency pictures: made anew, and from nowhere but where the site allows."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.events import at, event_id, finding
from wardstream.infra.board.pictures import Pictures
from wardstream.infra.gateways.http import Refused
from wardstream.infra.settings import Settings
from wardstream.schemas.imaging import Imaging


def image(path: Path, **fields: Any) -> Imaging:
    stated: dict[str, Any] = {"modality": "DX", "body_part": "CHEST", "view": "PA", "age_years": 3.0} | fields
    return Imaging(
        event_id=event_id("film"),
        source="test",
        patient_id="P1",
        observed_at=at(0),
        received_at=at(0),
        study_uid="1.2",
        pixels_uri=f"file://{path}",
        **stated,
    )


def film(path: Path) -> Path:
    grey = np.tile(np.arange(400, dtype=np.uint8), (400, 1))
    about = PngInfo()
    about.add_text("Description", "Meier")
    Image.fromarray(grey).save(path, "PNG", pnginfo=about)
    return path


async def test_a_film_is_shown_from_an_allowed_folder_and_no_other(tmp_path: Path) -> None:
    allowed, other, kept = (tmp_path / name for name in ("films", "other", "kept"))
    for folder in (allowed, other, kept):
        folder.mkdir()
    pictures = Pictures(Settings(imaging_folders=(allowed,), imaging_saliency_folder=kept))
    try:
        assert pictures.may_show(f"file://{allowed}/x.png")
        assert not pictures.may_show("https://pacs/x")
        png = await pictures.film(image(film(allowed / "a.png")), finding("f", 0))
        assert Image.open(io.BytesIO(png)).size == (400, 400)
        assert b"Meier" in (allowed / "a.png").read_bytes()
        assert b"Meier" not in png  # what a file says besides goes nowhere
        (allowed / "text.png").write_text("no picture")
        for wrong in (
            film(other / "b.png"),
            allowed / "none.png",
            allowed / "text.png",
            allowed / ".." / "other/b.png",
        ):
            with pytest.raises(Refused, match="no such picture"):
                await pictures.film(image(wrong), finding("f", 0))
        with pytest.raises(Refused):  # another frame than there is
            await pictures.film(image(allowed / "a.png"), replace(finding("f", 0), frame=2))
        saliency = film(kept / "1.wardstream.png")
        told = finding("f", 0, saliency_uri=f"file://{saliency}")
        assert await pictures.saliency(told) == saliency.read_bytes()
        (kept / "2.wardstream.png").write_text("<script>")
        for uri in (f"file://{allowed}/a.png", f"file://{kept}/2.wardstream.png", f"file://{other}/3.wardstream.png"):
            with pytest.raises(Refused, match="no such picture"):
                await pictures.saliency(finding("f", 0, saliency_uri=uri))
    finally:
        await pictures.close()
