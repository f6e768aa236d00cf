"""Stores on the site's lists are asked, others never; no redirect is followed."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from wardstream.infra.imaging_store import Allowed, ImageStore
from wardstream.models.imaging.film import Unusable

FILM = b"a film" * 100


class Server:
    """A store on loopback that notes who asks for what."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        name = request.path.rpartition("/")[2]
        match name:
            case "film.dcm":
                return web.Response(body=FILM)
            case "moved":
                return web.Response(status=302, headers={"Location": f"{self.url}/images/film.dcm"})
            case "endless":
                response = web.StreamResponse()
                await response.prepare(request)
                for _ in range(1_000):
                    await response.write(bytes(1_000))
                return response
            case "slow":
                await asyncio.sleep(10)
                return web.Response()
            case "broken":
                return web.Response(status=503)
            case "secret":
                return web.Response(status=403)
        return web.Response(status=404)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    server.url = f"http://127.0.0.1:{port}"
    yield server
    await runner.cleanup()


@pytest.fixture
async def store(server: Server) -> AsyncIterator[ImageStore]:
    allowed = Allowed(
        hosts=frozenset({"images.example", "images.example:8443"}),
        s3_endpoint=server.url,
        s3_buckets=frozenset({"images"}),
        s3_options={"region": "us-east-1", "access_key_id": "key", "secret_access_key": "secret"},
    )
    store = ImageStore(allowed, max_bytes=10_000, deadline_s=1.0)
    yield store
    await store.close()


async def code(store: ImageStore, uri: str, sha256: str | None = None) -> str:
    try:
        for each in await store.images(uri):
            async with store.fetched(each, sha256):
                pass
    except Unusable as unusable:
        return unusable.code
    raise AssertionError("it was fetched")


async def test_s3_requests_are_signed(store: ImageStore, server: Server) -> None:
    async with store.fetched("s3://images/a%20b/film.dcm", hashlib.sha256(FILM).hexdigest()) as raw:
        assert raw == FILM
    (asked,) = server.asked
    assert asked.startswith("/images/a%20b/film.dcm?")
    assert "X-Amz-Signature=" in asked
    assert "X-Amz-Expires=60" in asked
    assert "secret" not in asked


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("moved", "not_allowed"),
        ("endless", "too_large"),
        ("slow", "store_unavailable"),
        ("broken", "store_unavailable"),
        ("secret", "not_found"),
        ("gone", "not_found"),
    ],
)
async def test_answers_that_are_no_film(store: ImageStore, server: Server, name: str, wanted: str) -> None:
    assert await code(store, f"s3://images/{name}") == wanted
    assert len(server.asked) == 1  # a redirect is not followed


async def test_another_film_than_announced(store: ImageStore) -> None:
    assert await code(store, "s3://images/film.dcm", "0" * 64) == "hash"


@pytest.mark.parametrize(
    "uri",
    [
        "s3://others/film.dcm",
        "s3://images/../others/film.dcm",
        "s3://images/%2e%2e/others/film.dcm",
        "s3://images/film.dcm?versionId=1",
        "s3://images/",
        "s3://user:word@images/film.dcm",
        "gs://images/film.dcm",
        "az://images/film.dcm",
        "https://elsewhere.example/film.dcm",
        "https://169.254.169.254/latest/meta-data",
        "https://images.example:8444/film.dcm",
        "https://user@images.example/film.dcm",
        "https://images.example@elsewhere.example/film.dcm",
        "https://images.example.elsewhere.example/film.dcm",
        "https://localhost/film.dcm",
        "https://images.example:nonsense/film.dcm",
        "file:///etc/passwd",
    ],
)
async def test_what_is_not_allowed_is_never_asked(store: ImageStore, server: Server, uri: str) -> None:
    assert await code(store, uri) == "not_allowed"
    assert server.asked == []


async def test_allowed_hosts(store: ImageStore) -> None:
    for uri in ("https://images.example/film.dcm", "https://images.example:443/x", "https://images.example:8443/x"):
        assert await store.images(uri) == [uri]


async def test_nobody_there(tmp_path: Path) -> None:
    allowed = Allowed(s3_endpoint="http://127.0.0.1:9", s3_buckets=frozenset({"images"}))
    store = ImageStore(allowed, deadline_s=2.0)
    try:
        assert await code(store, "s3://images/film.dcm") == "store_unavailable"
    finally:
        await store.close()


async def test_saliency_beside_the_image_or_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    image = tmp_path / "images" / "a b.dcm"
    image.write_bytes(FILM)
    beside = ImageStore(Allowed(folders=[tmp_path / "images"]))
    uri = image.as_uri()
    assert await beside.keep(uri, "e1-1", b"png") == (tmp_path / "images/e1-1.wardstream.png").as_uri()
    assert await beside.keep("s3://images/film.dcm", "e1-1", b"png") is None
    (tmp_path / "saliency").mkdir()
    apart = ImageStore(Allowed(folders=[tmp_path / "images"], saliency=tmp_path / "saliency"))
    for each in (uri, "s3://images/film.dcm"):
        assert await apart.keep(each, "e1-1", b"png") == (tmp_path / "saliency/e1-1.wardstream.png").as_uri()
    gone = ImageStore(Allowed(saliency=tmp_path / "gone"))
    assert await gone.keep(uri, "e1-1", b"png") is None
