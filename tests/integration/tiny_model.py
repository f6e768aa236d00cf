"""A model whose answers are known: made here, so that the tests of Triton need no trained one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

STEPS, CHANNELS = 48, 8
WEIGHTS = (np.arange(STEPS * CHANNELS, dtype=np.float32) / 1000).reshape(-1, 1)
CONFIG = f"""
backend: "onnxruntime"
max_batch_size: 256
input [ {{ name: "x" data_type: TYPE_FP32 dims: [ {STEPS}, {CHANNELS} ] }} ]
output [ {{ name: "sum" data_type: TYPE_FP32 dims: [ 1 ] }}, {{ name: "above" data_type: TYPE_BOOL dims: [ 1 ] }} ]
version_policy: {{ latest: {{ num_versions: 1 }} }}
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
dynamic_batching {{
  default_queue_policy {{
    timeout_action: REJECT
    default_timeout_microseconds: 1000000
    allow_timeout_override: true
    max_queue_size: 64
  }}
}}
"""


def write_model(repository: Path, name: str = "tiny", version: int = 1, config: str = CONFIG) -> Path:
    """A version of the model: `sum` is the weighted sum of `x`, times the version; `above` says whether it exceeds 1.

    The version appears in one step, as a deployment must do it.
    """
    nodes = [
        helper.make_node("Reshape", ["x", "flat"], ["rows"]),
        helper.make_node("MatMul", ["rows", "weights"], ["sum"]),
        helper.make_node("Greater", ["sum", "one"], ["above"]),
    ]
    constants = [
        numpy_helper.from_array(np.array([0, -1]), "flat"),
        numpy_helper.from_array(WEIGHTS * np.float32(version), "weights"),
        numpy_helper.from_array(np.float32([1]), "one"),
    ]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", STEPS, CHANNELS])
    said = [
        helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["rows", 1]),
        helper.make_tensor_value_info("above", TensorProto.BOOL, ["rows", 1]),
    ]
    graph = helper.make_graph(nodes, "tiny", [given], said, constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(made, full_check=True)
    folder = repository / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.pbtxt").write_text(config)
    (folder / "card.md").write_text("# tiny\n")
    coming = folder / f"coming-{version}"
    coming.mkdir()
    onnx.save(made, coming / "model.onnx")
    (coming / "record.json").write_text("{}")
    coming.rename(folder / str(version))
    return folder


def expected(x: np.ndarray[Any, Any], version: int = 1) -> np.ndarray[Any, Any]:
    """What `sum` is to be."""
    return np.asarray(x.reshape(len(x), -1).astype(np.float64) @ WEIGHTS.astype(np.float64) * version)
