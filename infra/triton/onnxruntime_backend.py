"""Triton's `onnxruntime` backend in Python: runs inside the local Triton server, never in a process of ours.

NVIDIA's container has a native backend of that name; the wheel that the local server comes from has only the Python
backend. Triton takes a folder `onnxruntime` with a `model.py` (a copy of this file) as a backend of that name, so a
model folder whose `config.pbtxt` says `backend: "onnxruntime"` is served unchanged by both.

What it promises, as the native one: inputs, outputs and types are those of `config.pbtxt`, checked against the network
when the model is loaded; requests of one execution are run as one batch and their answers split again; one instance is
one session, closed when the version is unloaded. Unlike the native one it takes one intra-operator thread unless
`parameters` has an `intra_op_thread_count`: on a machine that the stream shares, small nets gain nothing from more.

A process of a backend that stands still for a second is given up by the server, which takes the memory of its requests
for others; when it goes on, its late answer is taken for that of the next requests (seen: three wrong answers in four
standstills of 2.5 s), and soon the server dies. So a process that has stood still ends itself: no answer is better.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb

_FILE = "model.onnx"
_STILL_S = 0.7  # the server waits 1 s for a sign of life, which comes each 0.3 s
_LOOK_S = 0.1
_ONNX_TYPES = {
    "TYPE_BOOL": "tensor(bool)",
    "TYPE_UINT8": "tensor(uint8)",
    "TYPE_INT8": "tensor(int8)",
    "TYPE_INT16": "tensor(int16)",
    "TYPE_INT32": "tensor(int32)",
    "TYPE_INT64": "tensor(int64)",
    "TYPE_FP16": "tensor(float16)",
    "TYPE_FP32": "tensor(float)",
    "TYPE_FP64": "tensor(double)",
}


class TritonPythonModel:
    """One instance of one version of a model; the name is Triton's."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the session; an error here keeps the version from being served."""
        config = json.loads(args["model_config"])
        folder = Path(args["model_repository"]) / args["model_version"]
        self.batched = int(config["max_batch_size"]) > 0
        self.outputs = [output["name"] for output in config["output"]]
        self.inputs = [given["name"] for given in config["input"]]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = _count(config, "intra_op_thread_count")
        options.inter_op_num_threads = _count(config, "inter_op_thread_count")
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            str(folder / _FILE), sess_options=options, providers=["CPUExecutionProvider"]
        )
        _compare("input", config["input"], self.session.get_inputs(), self.batched)
        _compare("output", config["output"], self.session.get_outputs(), self.batched)
        self.life = _Life()

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer all requests, in their order; those of one shape together.

        Also those that were cancelled meanwhile: `is_cancelled` asks the server through shared memory that is given
        back while the server may still hold the lock in it, which then ends the server (`lock_exception`).
        """
        responses: list[Any] = [None] * len(requests)
        groups: dict[tuple[tuple[int, ...], ...], list[tuple[int, list[Any]]]] = defaultdict(list)
        for i, request in enumerate(requests):
            arrays = [pb.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs]
            # Without a batch dimension there is nothing to join on: a group of its own.
            shape = tuple(array.shape[1:] for array in arrays) if self.batched else ((i,),)
            groups[shape].append((i, arrays))
        for group in groups.values():
            try:
                parts = self._run([arrays for _, arrays in group])
            except Exception as error:  # noqa: BLE001 - ONNX Runtime's own have no common base
                for i, _ in group:
                    responses[i] = _failed(f"{type(error).__name__}: {error}")
                continue
            for (i, _), part in zip(group, parts, strict=True):
                wanted = set(requests[i].requested_output_names())
                responses[i] = pb.InferenceResponse(
                    [pb.Tensor(name, array) for name, array in part.items() if name in wanted]
                )
        self.life.check()
        return responses

    def finalize(self) -> None:
        """Close the session: a version that is gone must not keep its memory."""
        del self.session

    def _run(self, group: list[list[Any]]) -> list[dict[str, Any]]:
        if len(group) == 1:
            return [dict(zip(self.outputs, self._outputs(group[0]), strict=True))]
        joined = [np.concatenate(column) for column in zip(*group, strict=True)]
        ends = np.cumsum([arrays[0].shape[0] for arrays in group])[:-1]
        columns = [np.split(output, ends) for output in self._outputs(joined)]
        return [dict(zip(self.outputs, part, strict=True)) for part in zip(*columns, strict=True)]

    def _outputs(self, arrays: list[Any]) -> list[Any]:
        found = self.session.run(self.outputs, dict(zip(self.inputs, arrays, strict=True)))
        return [np.ascontiguousarray(array) for array in found]


class _Life:
    """Ends this process when it has stood still, by the clock that the server waits by."""

    def __init__(self) -> None:
        self._seen_s = time.time()
        threading.Thread(target=self._look, daemon=True).start()

    def check(self) -> None:
        still_s = time.time() - self._seen_s
        if still_s > _STILL_S:
            print(f"error: the backend stood still for {still_s:.1f} s and ends", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)  # an orderly end would talk to the server

    def _look(self) -> None:
        while True:
            self.check()
            self._seen_s = time.time()
            time.sleep(_LOOK_S)


def _count(config: dict[str, Any], name: str) -> int:
    return int(config.get("parameters", {}).get(name, {}).get("string_value", 1))


def _failed(text: str) -> Any:
    return pb.InferenceResponse(output_tensors=[], error=pb.TritonError(text, pb.TritonError.INTERNAL))


def _compare(what: str, configured: list[dict[str, Any]], found: list[Any], batched: bool) -> None:
    """Refuse a `config.pbtxt` that is not the network's: the first request would fail, or be answered wrongly."""
    network = {tensor.name: tensor for tensor in found}
    names = {tensor["name"] for tensor in configured}
    if unknown := sorted(names - network.keys()):
        raise pb.TritonModelException(f"the network has no {what} {', '.join(unknown)}")
    if what == "input" and (missing := sorted(network.keys() - names)):
        raise pb.TritonModelException(f"config.pbtxt lacks the {what} {', '.join(missing)}")
    for tensor in configured:
        name, kind = tensor["name"], tensor["data_type"]
        if _ONNX_TYPES.get(kind) != network[name].type:
            raise pb.TritonModelException(
                f"{what} {name} is {kind} in config.pbtxt, {network[name].type} in the network"
            )
        dims = [int(dim) for dim in tensor["dims"]]
        expected = [-1, *dims] if batched else dims
        shape = [size if isinstance(size, int) else -1 for size in network[name].shape]
        same = len(shape) == len(expected) and all(
            -1 in pair or pair[0] == pair[1] for pair in zip(shape, expected, strict=True)
        )
        if not same:
            raise pb.TritonModelException(f"{what} {name} is {expected} in config.pbtxt, {shape} in the network")
        if batched and shape[0] != -1:
            raise pb.TritonModelException(f"{what} {name} has a fixed first dimension, but max_batch_size is set")
