"""Films and where a finding comes from, as PNG.

What a URI may reach is what the site has allowed (`imaging_store`). Films are decoded in a process that has nothing to
lose (`imaging_readers`), reduced to grey pictures of at most 512 pixels a side: to recognise, not to diagnose by.
"""

from __future__ import annotations

import asyncio
import io
from typing import Final

from PIL import Image

from wardstream.agents.imaging import stated_by
from wardstream.infra.gateways.http import Refused
from wardstream.infra.imaging_app import allowed
from wardstream.infra.imaging_files import SALIENCY_SUFFIX
from wardstream.infra.imaging_readers import Readers
from wardstream.infra.imaging_store import ImageStore
from wardstream.infra.settings import Settings
from wardstream.models.imaging.film import Film, Unusable
from wardstream.models.imaging.suitability import Rules
from wardstream.schemas.findings import Finding
from wardstream.schemas.imaging import Imaging

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_RULES: Final = Rules(youngest=0, oldest=130)  # it is shown, not judged
_MOST_BYTES: Final = 8 << 20  # of a saliency picture
_NONE: Final = "there is no such picture"


class Pictures:
    """Reads them."""

    def __init__(self, settings: Settings) -> None:
        self._films = ImageStore(allowed(settings))
        own = allowed(settings)
        kept = () if own.saliency is None else (own.saliency,)
        self._saliency = ImageStore(own._replace(folders=(*own.folders, *kept)), _MOST_BYTES)
        self._readers = Readers(count=1)
        self._schemes = frozenset(
            scheme
            for scheme, there in (
                ("file", bool(own.folders or kept)),
                ("https", bool(own.hosts)),
                ("s3", own.s3_endpoint is not None),
            )
            if there
        )

    def may_show(self, uri: str) -> bool:
        """Whether the site has allowed any place of the kind that a URI names."""
        return uri.partition(":")[0] in self._schemes

    async def film(self, image: Imaging, finding: Finding) -> bytes:
        """The picture that a finding is about.

        Raises
        ------
        Refused
            With 404: it cannot be shown.
        """
        if image.pixels_uri is None:
            raise Refused(404, _NONE)
        try:
            for uri in await self._films.images(image.pixels_uri):
                one = image.pixels_sha256 if uri == image.pixels_uri else None
                async with self._films.fetched(uri, one) as raw:
                    reading = await self._readers(raw, stated_by(image), _RULES)
                if finding.instance_uid not in (None, reading.about.instance_uid, image.instance_uid):
                    continue
                for film in reading.films:
                    if film.frame == finding.frame:
                        return await asyncio.to_thread(_png, film)
        except Unusable:
            pass
        raise Refused(404, _NONE)

    async def saliency(self, finding: Finding) -> bytes:
        """Where it comes from; raises as `film`."""
        uri = finding.saliency_uri
        if uri is None or not uri.endswith(SALIENCY_SUFFIX):  # nothing but what we wrote
            raise Refused(404, _NONE)
        try:
            async with self._saliency.fetched(uri, None) as raw:
                if raw.startswith(_PNG):
                    return raw
        except Unusable:
            pass
        raise Refused(404, _NONE)

    async def close(self) -> None:
        """End connections and processes."""
        await self._films.close()
        await self._saliency.close()
        await self._readers.close()


def _png(film: Film) -> bytes:
    out = io.BytesIO()
    Image.fromarray(film.array()).save(out, "PNG")
    return out.getvalue()
