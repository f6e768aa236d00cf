"""The client of the model server: batches in, arrays out, or one exception within the deadline.

Whoever asks for a prediction gets it in time or learns why not, and goes on without (`degraded`). So:

- One deadline covers waiting for a place, all tries and the answer. The server gets what is left of it as its queue
  timeout (obeyed where `config.pbtxt` allows it): it does not work on what nobody waits for any more. gRPC's core keeps
  the deadline in a thread of its own; an answer that came in time counts even if the event loop is late to look.
- At most `in_flight` calls are on the wire, since an overloaded Triton may not recover by itself (triton-inference-
  server/server issue 4662). Who comes later waits for a place within its own deadline, and is `overloaded` when it gets
  none; more than `WAITING` waiting calls for each place are refused at once.
- Only gRPC's UNAVAILABLE is tried again, a few milliseconds later, within the deadline, twice at most; not when the
  server says that its queue is full.
- Failures in a row open a circuit (`models/circuit.py`); a task of the client's own then probes the server's readiness,
  one probe at a time, and ends when the server is back. Nothing that is asked meanwhile costs any time.
- A cancelled call cancels its RPC. gRPC can also raise `CancelledError` by itself (a channel closed under a call): that
  is no cancellation of our caller, and is `unavailable`.

One channel a client and one client an event loop, for the life of the process: channels leak when they are made again
and again (triton-inference-server/client issue 731). gRPC by default waits up to 120 s before it connects again; here
at most 1 s. Keepalive, off by default, finds a peer that went away without a word (it also sets TCP_USER_TIMEOUT); no
pings while idle, since Triton hangs up on a client that sends more than one in 5 minutes then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from tritonclient.grpc import InferInput, InferResult
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from wardstream.models.circuit import Circuit

T = TypeVar("T")
Array = np.ndarray[Any, Any]
Reason = Literal["deadline", "unavailable", "circuit_open", "overloaded", "rejected"]

WAITING = 16  # calls that may wait for each place
TRIES = 3
BACKOFF_S = 0.01  # doubled for each further try
GRACE_S = 0.25  # after the deadline: gRPC itself failed to end the call
PROBE_DEADLINE_S = 1.0
LOAD_DEADLINE_S = 60.0
_LEAST_S = 0.001  # gRPC refuses a deadline of nothing
_MIB = 1 << 20
_CHANNEL = [
    ("grpc.max_send_message_length", 64 * _MIB),
    ("grpc.max_receive_message_length", 64 * _MIB),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),  # also the time a connection may take to be made
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.keepalive_permit_without_calls", 0),
]


class Unavailable(Exception):
    """There is no answer; the caller goes on without one.

    Attributes
    ----------
    reason
        deadline: not in time. unavailable: not reachable, or the model is not loaded. circuit_open: not asked, since
        the last calls failed. overloaded: no place to wait, here or in the server's queue. rejected: the server is
        well and refuses this request (no such model, wrong shape), or failed to compute it.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason: Reason = reason


class Answer(NamedTuple):
    """What a model said."""

    version: str
    """Of the model that answered."""
    outputs: dict[str, Array]
    """By output name, first dimension as in the inputs; read-only views."""
    took_s: float
    """From the call of `infer` on, waiting included."""


class Outcome(NamedTuple):
    """How one call of `infer` ended: what metrics are made of."""

    model: str
    version: str | None
    """None without an answer."""
    rows: int
    took_s: float
    tries: int
    """RPCs sent; 0 when none was."""
    reason: Reason | Literal["cancelled"] | None
    """None: answered. cancelled: by the caller."""


class TritonClient:
    """One per event loop; makes its channel at the first call and needs `close`.

    Parameters
    ----------
    url
        `host:port` of the server's gRPC.
    deadline_s
        For one call of `infer`, all in all.
    in_flight
        RPCs at once.
    now
        Monotonic seconds.
    circuit
        None: one with the defaults of `Circuit`. It is the server's, not a model's: a model so slow that it misses
        deadlines wants a client of its own.
    on_outcome
        Told of each call of `infer` once, when it ends. Must not raise.
    """

    def __init__(
        self,
        url: str,
        *,
        deadline_s: float = 0.25,
        in_flight: int = 4,
        now: Callable[[], float] = time.monotonic,
        circuit: Circuit | None = None,
        on_outcome: Callable[[Outcome], None] = lambda outcome: None,
    ) -> None:
        self.circuit = Circuit(now) if circuit is None else circuit
        self._url = url
        self._deadline_s = deadline_s
        self._now = now
        self._on_outcome = on_outcome
        self._places = asyncio.Semaphore(in_flight)
        self._room = in_flight * (1 + WAITING)
        self._calls = 0
        self._server: InferenceServerClient | None = None
        self._probing: asyncio.Task[None] | None = None
        self._closed = False

    async def infer(self, model: str, inputs: Mapping[str, Array]) -> Answer:
        """Ask the served version of a model; the first dimension of every input is the batch.

        Raises
        ------
        Unavailable
            No answer, for the reason it names; within the deadline (and `GRACE_S` if gRPC itself hangs).
        """
        call = _Call(model, max((len(array) for array in inputs.values() if array.ndim), default=0), self._now())
        try:
            async with self._place(call.began + self._deadline_s):
                response = await self._admitted(call, inputs)
        except Unavailable as unavailable:
            self._on_outcome(call.outcome(self._now(), unavailable.reason))
            raise
        except asyncio.CancelledError:
            self._on_outcome(call.outcome(self._now(), "cancelled"))
            raise
        version = response.get_response().model_version
        outputs = {output.name: response.as_numpy(output.name) for output in response.get_response().outputs}
        outcome = call.outcome(self._now(), None, version)
        self._on_outcome(outcome)
        return Answer(version, outputs, outcome.took_s)

    async def ready(self) -> bool:
        """Whether the server answers and says that all its models are loaded; within `PROBE_DEADLINE_S`."""
        try:
            return bool(await self._rpc(self._channel().is_server_ready, PROBE_DEADLINE_S))
        except (_TryAgain, Unavailable):
            return False

    async def versions(self) -> dict[str, list[str]]:
        """The versions that are served, by model; models of the repository that are not loaded have none.

        Raises
        ------
        Unavailable
        """
        index = await self._control(self._channel().get_model_repository_index)
        found: dict[str, list[str]] = {}
        for model in index.models:
            found.setdefault(model.name, []).extend([model.version] if model.state == "READY" else [])
        return found

    async def load(self, model: str) -> None:
        """Let the server read the model's folder again; what it serves until then goes on, and stays if this fails.

        Raises
        ------
        Unavailable
            rejected: the server could not load it, and says why.
        """
        await self._control(self._channel().load_model, model)

    async def unload(self, model: str) -> None:
        """Let the server drop all versions of a model; calls that it has begun are answered.

        Raises
        ------
        Unavailable
        """
        await self._control(self._channel().unload_model, model)

    async def close(self) -> None:
        """End the probe and the channel. Calls that are under way, and later ones, are `unavailable`."""
        self._closed = True
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.wait({self._probing})
        if self._server is not None:
            await self._server.close()

    def _channel(self) -> InferenceServerClient:
        if self._closed:
            raise Unavailable("unavailable", "the client is closed")
        if self._server is None:  # not in __init__: a channel belongs to the loop that runs
            self._server = InferenceServerClient(self._url, channel_args=_CHANNEL)
        return self._server

    @asynccontextmanager
    async def _place(self, deadline: float) -> AsyncIterator[None]:
        if self.circuit.state == "open":
            self._watch()
            await asyncio.sleep(0)  # else a caller that asks in a loop would keep the probe from ever running
            raise Unavailable("circuit_open")
        if self._calls == self._room:
            raise Unavailable("overloaded", "too many calls wait already")
        self._calls += 1
        try:
            try:
                async with asyncio.timeout(deadline - self._now()):
                    await self._places.acquire()
            except TimeoutError:
                raise Unavailable("overloaded", "no place within the deadline") from None
            try:
                yield
            finally:
                self._places.release()
        finally:
            self._calls -= 1

    async def _admitted(self, call: _Call, inputs: Mapping[str, Array]) -> InferResult:
        if not self.circuit.admits():
            raise Unavailable("circuit_open")
        try:
            result = await self._tries(call, inputs)
        except Unavailable as unavailable:
            if unavailable.reason == "rejected":
                self.circuit.succeeded()
            else:
                self.circuit.failed()
                self._watch()
            raise
        except BaseException:
            self.circuit.abandoned()
            raise
        self.circuit.succeeded()
        return result

    async def _tries(self, call: _Call, inputs: Mapping[str, Array]) -> InferResult:
        channel, tensors = self._channel(), _tensors(inputs)
        deadline = call.began + self._deadline_s
        while True:
            left_s = max(deadline - self._now(), _LEAST_S)
            call.tries += 1
            try:
                return await self._rpc(channel.infer, left_s, call.model, tensors, timeout=int(left_s * 1e6))
            except _TryAgain as error:
                pause_s = BACKOFF_S * 2 ** (call.tries - 1)
                if call.tries == TRIES or self._now() + pause_s >= deadline or self.circuit.state == "open":
                    raise Unavailable("unavailable", str(error)) from None
                await asyncio.sleep(pause_s)

    async def _control(self, method: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        try:
            return await self._rpc(method, LOAD_DEADLINE_S, *arguments)
        except _TryAgain as error:
            raise Unavailable("unavailable", str(error)) from None

    async def _rpc(self, method: Callable[..., Awaitable[T]], deadline_s: float, *arguments: Any, **options: Any) -> T:
        task = asyncio.current_task()
        assert task is not None
        cancelling = task.cancelling()
        try:
            async with asyncio.timeout(deadline_s + GRACE_S):
                return await method(*arguments, client_timeout=deadline_s, **options)
        except TimeoutError:
            raise Unavailable("deadline", "gRPC did not end the call") from None
        except asyncio.CancelledError:
            if task.cancelling() > cancelling:
                raise
            raise Unavailable("unavailable", "gRPC cancelled the call") from None
        except InferenceServerException as error:
            raise _translated(error) from None

    def _watch(self) -> None:
        """See to it that an open circuit is probed."""
        if self._probing is not None and self._probing.done() and not self._probing.cancelled():
            self._probing.result()  # a fault of the probe's own must not leave the circuit open for ever in silence
        if self.circuit.state == "open" and not self._closed and (self._probing is None or self._probing.done()):
            self._probing = asyncio.create_task(self._probe(), name="probes-triton")

    async def _probe(self) -> None:
        while self.circuit.state == "open":
            await asyncio.sleep(self.circuit.probe_at - self._now())
            self.circuit.probed(await self.ready())


class _TryAgain(Exception):
    """gRPC's UNAVAILABLE."""


class _Call:
    def __init__(self, model: str, rows: int, began: float) -> None:
        self.model = model
        self.rows = rows
        self.began = began
        self.tries = 0

    def outcome(self, now: float, reason: Reason | Literal["cancelled"] | None, version: str | None = None) -> Outcome:
        return Outcome(self.model, version, self.rows, now - self.began, self.tries, reason)


def _tensors(inputs: Mapping[str, Array]) -> list[InferInput]:
    tensors = []
    for name, array in inputs.items():
        kind = np_to_triton_dtype(array.dtype)
        if kind is None:
            raise Unavailable("rejected", f"input {name}: Triton has no type for {array.dtype}")
        tensors.append(InferInput(name, list(array.shape), kind).set_data_from_numpy(array))
    return tensors


def _translated(error: InferenceServerException) -> Exception:
    """What an RPC's failure means. Triton's texts name models, inputs and shapes, never what was in them."""
    code = str(error.status() or "").removeprefix("StatusCode.")
    text = error.message() or ""
    detail = f"{code} {text}".strip()
    if code == "DEADLINE_EXCEEDED":
        return Unavailable("deadline")
    if code == "UNAVAILABLE" and "timeout expired" in text:  # Triton's own queue timeout
        return Unavailable("deadline", detail)
    if "queue size" in text or (code == "RESOURCE_EXHAUSTED" and "larger than max" not in text):
        return Unavailable("overloaded", detail)
    if code == "UNAVAILABLE":
        return _TryAgain(detail)
    if code == "CANCELLED":
        return Unavailable("unavailable", detail)
    return Unavailable("rejected", detail)
