"""A gRPC server that speaks Triton's protocol and does as it is told: for what a real one cannot be made to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

Behaviour = Callable[["FakeTriton", Any, Any], Awaitable[Any]]


class FakeTriton(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Answers `x` with `y` = 2·x, unless `then` says otherwise; notes what was asked of it.

    Attributes
    ----------
    then : what the next calls do, one each; afterwards `always`.
    timeouts_us : the queue timeout each call asked for.
    cancelled, at_once, most_at_once, probes : counts.
    """

    def __init__(self) -> None:
        self.then: list[Behaviour] = []
        self.always: Behaviour = doubles
        self.is_ready = True
        self.timeouts_us: list[int] = []
        self.calls = self.cancelled = self.at_once = self.most_at_once = self.probes = 0
        self.release = asyncio.Event()
        self.address = ""
        self.port = 0

    async def ServerReady(self, request: Any, context: Any) -> Any:
        self.probes += 1
        return pb.ServerReadyResponse(ready=self.is_ready)

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        self.calls += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.timeouts_us.append(request.parameters["timeout"].int64_param)
        try:
            return await (self.then.pop(0) if self.then else self.always)(self, request, context)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.at_once -= 1


async def doubles(fake: FakeTriton, request: Any, context: Any) -> Any:
    """Twice the input."""
    given = np.frombuffer(request.raw_input_contents[0], np.float32)
    output = pb.ModelInferResponse.InferOutputTensor(name="y", datatype="FP32", shape=request.inputs[0].shape)
    raw = [(2 * given).tobytes()]
    return pb.ModelInferResponse(
        model_name=request.model_name, model_version="7", outputs=[output], raw_output_contents=raw
    )


async def hangs(fake: FakeTriton, request: Any, context: Any) -> Any:
    """No answer until `release` is set."""
    await fake.release.wait()
    return await doubles(fake, request, context)


def fails(code: grpc.StatusCode, text: str = "") -> Behaviour:
    """This error."""

    async def failing(fake: FakeTriton, request: Any, context: Any) -> Any:
        await context.abort(code, text)

    return failing


@asynccontextmanager
async def fake_triton(fake: FakeTriton | None = None, port: int = 0) -> AsyncIterator[FakeTriton]:
    """A fake that listens on loopback; on the port of an earlier one, if given."""
    fake = fake or FakeTriton()
    server = grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(fake, server)
    fake.port = server.add_insecure_port(f"127.0.0.1:{port}")
    fake.address = f"127.0.0.1:{fake.port}"
    await server.start()
    try:
        yield fake
    finally:
        await server.stop(None)
