"""Images by reference: files, https, S3-compatible stores. What a URI may reach is what the site has allowed.

URIs come with events, so they are anybody's: none may make a worker ask the hospital's other machines (server-side
request forgery). Hosts are on a list of the site; S3 goes to the one configured endpoint and the buckets on a list; no
redirect is followed, for it would leave the list; no proxy of the environment is used; size and time are bounded while
the bytes come. Requests to S3 are signed by obstore (the URL only, valid for a minute) and sent by aiohttp like the
others, since obstore's own client follows redirects.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

import aiohttp
import obstore
from obstore.store import S3Store
from yarl import URL

from wardstream.infra.imaging_files import SALIENCY_SUFFIX, ImageFolders, check_hash, path_of
from wardstream.models.imaging.film import Unusable

MAX_BYTES = 64 << 20  # of a file; the largest radiographs have 30 MB
MAX_INSTANCES = 16  # of a study that are judged
FETCH_DEADLINE_S = 15.0
AT_ONCE = 4  # files in memory
_CHUNK = 1 << 16
_SIGNED_FOR = timedelta(minutes=1)


class Allowed(NamedTuple):
    """What a site allows.

    Attributes
    ----------
    folders : below which image files may be read.
    hosts : `host` or `host:port` of https stores.
    s3_endpoint : URL of the one S3-compatible store, None: none.
    s3_buckets : its buckets.
    s3_options : `region`, `access_key_id` and `secret_access_key`; empty: requests are not signed.
    saliency : folder for saliency pictures; None: beside the image, where that is a file.
    """

    folders: Sequence[Path] = ()
    hosts: frozenset[str] = frozenset()
    s3_endpoint: str | None = None
    s3_buckets: frozenset[str] = frozenset()
    s3_options: dict[str, str] = {}  # noqa: RUF012 - never changed
    saliency: Path | None = None


class ImageStore:
    """Reads images and keeps saliency pictures."""

    def __init__(self, allowed: Allowed, max_bytes: int = MAX_BYTES, deadline_s: float = FETCH_DEADLINE_S) -> None:
        self._allowed = allowed
        self._max_bytes = max_bytes
        self._deadline_s = deadline_s
        self._folders = ImageFolders(allowed.folders, max_bytes, MAX_INSTANCES)
        saliency = () if allowed.saliency is None else (allowed.saliency,)
        self._saliency = ImageFolders(saliency, max_bytes, MAX_INSTANCES)
        self._places = asyncio.Semaphore(AT_ONCE)
        self._session: aiohttp.ClientSession | None = None

    async def images(self, uri: str) -> list[str]:
        """The URIs of the files that a URI means: itself, or those of a folder.

        Raises
        ------
        Unusable
            Its place is not allowed, or nothing is there.
        """
        scheme = uri.partition(":")[0]
        if scheme == "file":
            paths = await self._in_time(asyncio.to_thread(self._folders.names, path_of(uri)))
            return [_file_uri(path) for path in paths]
        self._url(uri)
        return [uri]

    @contextlib.asynccontextmanager
    async def fetched(self, uri: str, sha256: str | None) -> AsyncIterator[bytes]:
        """One file's bytes, while no more than `AT_ONCE` are held.

        Raises
        ------
        Unusable
            not_allowed, not_found, store_unavailable, too_large, hash.
        """
        async with self._places:
            if uri.startswith("file:"):
                raw = await self._in_time(asyncio.to_thread(self._folders.read, path_of(uri), sha256))
            else:
                raw = await self._in_time(self._get(self._url(uri)))
                check_hash(raw, sha256)
            yield raw

    async def keep(self, uri: str, name: str, png: bytes) -> str | None:
        """Store a saliency picture; returns its URI, None where it can be kept nowhere."""
        if self._allowed.saliency is not None:
            folders, path = self._saliency, self._allowed.saliency.absolute() / name
        elif uri.startswith("file:"):
            folders, path = self._folders, path_of(uri)
        else:
            return None
        try:
            written = await self._in_time(
                asyncio.to_thread(folders.write_beside, path, f"{name}{SALIENCY_SUFFIX}", png)
            )
        except (OSError, Unusable):
            return None
        return _file_uri(written)

    async def close(self) -> None:
        """End the connections."""
        if self._session is not None:
            await self._session.close()

    async def _in_time(self, work: Any) -> Any:
        try:
            async with asyncio.timeout(self._deadline_s):
                return await work
        except (TimeoutError, aiohttp.ClientError) as error:
            raise Unusable("store_unavailable") from error
        except OSError as error:
            raise Unusable("store_unavailable") from error

    def _url(self, uri: str) -> str:
        """The URL to ask, if its host or bucket is on the site's list."""
        parts = urlsplit(uri)
        try:
            port = parts.port
        except ValueError:
            raise Unusable("not_allowed") from None
        if parts.username is not None or parts.password is not None or parts.fragment:
            raise Unusable("not_allowed")
        if parts.scheme == "https":
            host = (parts.hostname or "") + (f":{port}" if port not in (None, 443) else "")
            if host not in self._allowed.hosts:
                raise Unusable("not_allowed")
            return uri
        bucket, key = parts.netloc, unquote(parts.path).lstrip("/")
        if parts.scheme != "s3" or self._allowed.s3_endpoint is None or bucket not in self._allowed.s3_buckets:
            raise Unusable("not_allowed")
        if not key or parts.query or any(step in ("", ".", "..") for step in key.split("/")):
            raise Unusable("not_allowed")
        if not self._allowed.s3_options:  # without keys obstore would ask the cloud's metadata service for some
            return f"{self._allowed.s3_endpoint.rstrip('/')}/{bucket}/{quote(key)}"
        store = S3Store(
            bucket,
            endpoint=self._allowed.s3_endpoint,
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},  # settings let that pass on loopback only
            **self._allowed.s3_options,  # type: ignore[arg-type]
        )
        return obstore.sign(store, "GET", key, _SIGNED_FOR)

    async def _get(self, url: str) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                trust_env=False, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
            )
        # `encoded`: a signed URL must not be written in another way
        async with self._session.get(URL(url, encoded=True), allow_redirects=False) as answer:
            if answer.status in (403, 404, 410):
                raise Unusable("not_found")
            if answer.status >= 500 or answer.status == 429:
                raise Unusable("store_unavailable")
            if answer.status != 200:  # redirects among them
                raise Unusable("not_allowed")
            if (answer.content_length or 0) > self._max_bytes:
                raise Unusable("too_large")
            raw = bytearray()
            async for chunk in answer.content.iter_chunked(_CHUNK):
                raw += chunk
                if len(raw) > self._max_bytes:
                    raise Unusable("too_large")
            return bytes(raw)


def _file_uri(path: Path) -> str:
    return "file://" + quote(str(path))
