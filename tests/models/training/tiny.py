"""A model of the contract made without torch: log-odds from the carried heart rate and lactate of the same hour."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from wardstream.models.sepsis import ABOUT, INPUTS, LOOK_BACK, SIGNALS, VERSION, Calibration
from wardstream.models.training import record


def write_model(path: Path, heart: float = 0.12, lactate: float = 1.0, bias: float = -16.0) -> None:
    weights = np.zeros((len(SIGNALS), 1), np.float32)
    weights[SIGNALS.index("hr")], weights[SIGNALS.index("lactate")] = heart, lactate
    widths = {name: len(ABOUT) if name == "about" else len(SIGNALS) for name in INPUTS}
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["values", "weights"], ["product"]),
            helper.make_node("Add", ["product", "bias"], ["sum"]),
            helper.make_node("Squeeze", ["sum", "axis"], ["logit"]),
        ],
        "tiny",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", LOOK_BACK, w]) for n, w in widths.items()],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["batch", LOOK_BACK])],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.array([bias], np.float32), "bias"),
            numpy_helper.from_array(np.array([2], np.int64), "axis"),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)


def write_candidate(folder: Path, locked: str = "", code_hash: str = "c" * 64, **weights: float) -> Path:
    """A folder as training leaves it, with the numbers that the gate reads."""
    folder.mkdir(parents=True, exist_ok=True)
    write_model(folder / record.MODEL, **weights)
    record.write(folder / record.CALIBRATION, Calibration(method="platt", thresholds={"alert": 0.5, "utility": 0.1}))
    record.write(folder / record.FALLBACK, Calibration(method="platt", slope=0.3, intercept=-4.0))
    made = record.Record(
        model="sepsis",
        made_at="2026-01-01T00:00:00+00:00",
        data_hash="d" * 64,
        code_hash=code_hash,
        inputs_version=VERSION,
        settings={},
        sizes={"open": 1, "open_septic": 1, "folds": 5, "locked": 1, "unlabelled": 0},
        compared={},
        differences={},
        against="boosting",
        chosen="tiny",
        curves={},
        locked=locked,
        explanations={},
        parity=0.0,
        latency_s=0.001,
        model_hash=record.file_hash(folder / record.MODEL),
    )
    record.write(folder / record.RECORD, msgspec.to_builtins(made))
    (folder / "config.pbtxt").write_text('backend: "onnxruntime"\n')
    (folder / record.CARD).write_text(f"card of {folder.name}\n")
    return folder
