"""Boosting, alone or with a net, as one file: the mean of their log-odds, computed from the tensors of the contract.

The graph has three parts: torch's (the features of boosting, `Table`, and the net), skl2onnx's (the trees), and the few
nodes that join them.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import torch
from onnx import TensorProto, compose, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from wardstream.models.sepsis import LOOK_BACK
from wardstream.models.training.boosting import TRENDS
from wardstream.models.training.nets import Net

FEATURES: Final = "features"
NET_LOGIT: Final = "net_logit"


class Table(nn.Module):  # type: ignore[misc]
    """`boosting.table` in torch, bit for bit: sums are taken in the same order."""

    def forward(self, values: Tensor, measured: Tensor, since: Tensor, about: Tensor) -> Tensor:
        """(B, 48, features), NaN where nothing is known."""
        nothing = torch.full((1,), torch.nan)
        known = since < LOOK_BACK
        parts = [torch.where(known, values, nothing), about]
        parts += [torch.where(known, since, nothing), torch.cumsum(measured, dim=1)]
        there = known[..., :TRENDS].to(values.dtype)
        vital = values[..., :TRENDS] * there
        for hours in (6, 24):
            low = -_highest(torch.where(there > 0, -values[..., :TRENDS], torch.full((1,), -torch.inf)), hours)
            high = _highest(torch.where(there > 0, values[..., :TRENDS], torch.full((1,), -torch.inf)), hours)
            total, n = vital, there
            for back in range(1, hours):
                total = total + _earlier(vital, back)
                n = n + _earlier(there, back)
            parts += [torch.where(n > 0, found, nothing) for found in (low, high, total / n.clamp(min=1.0))]
        changed = vital - _earlier(vital, 6)
        parts.append(torch.where(there * _earlier(there, 6) > 0, changed, nothing))
        return torch.cat(parts, dim=-1)


class Parts(nn.Module):  # type: ignore[misc]
    """What torch computes: the rows for the trees (B × 48, features), and with a net its log-odds (B, 48)."""

    def __init__(self, net: Net | None) -> None:
        super().__init__()
        self.net, self.table = net, Table()

    def forward(self, values: Tensor, measured: Tensor, since: Tensor, about: Tensor) -> tuple[Tensor, ...]:
        made = (values, measured, since, about)
        rows = self.table(*made).flatten(0, 1)
        return (rows,) if self.net is None else (rows, self.net(*made))


def join(parts: Path, trees: Any, path: Path, opset: int) -> None:
    """Write the whole file.

    Parameters
    ----------
    parts : Path
        ONNX file of `Parts`, with outputs `FEATURES` and, with a net, `NET_LOGIT`.
    trees : HistGradientBoostingClassifier
        Of two classes.
    path : Path
        Of the file to be written.
    opset : int
        Of `parts`.
    """
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    first = onnx.load(parts)
    options = {id(trees): {"zipmap": False, "raw_scores": True}}
    rows = [("rows", FloatTensorType([None, trees.n_features_in_]))]
    second = to_onnx(trees, initial_types=rows, target_opset=opset, options=options)
    of_net = [NET_LOGIT] if any(output.name == NET_LOGIT for output in first.graph.output) else []
    last = _mean(second.opset_import, of_net)
    for one in (second, last):
        one.ir_version = first.ir_version
    both = compose.merge_models(first, second, io_map=[(FEATURES, "rows")], outputs=[*of_net, "probabilities"])
    io_map = [("probabilities", "scores"), *((name, "one") for name in of_net)]
    whole = compose.merge_models(both, last, io_map=io_map)
    onnx.checker.check_model(whole, full_check=True)
    onnx.save_model(whole, path)


def _mean(opsets: Iterable[Any], of_net: Sequence[str]) -> onnx.ModelProto:
    """The trees' log-odds (B × 48, 2; those of the second class count) as (B, 48); with a net's, their mean."""
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, 2])
    one = [helper.make_tensor_value_info("one", TensorProto.FLOAT, ["batch", LOOK_BACK])] if of_net else []
    nodes = [
        helper.make_node("Gather", ["scores", "second"], ["of_trees"], axis=1),
        helper.make_node("Reshape", ["of_trees", "shape"], ["other"]),
        helper.make_node("Mean", ["other", *(["one"] if of_net else [])], ["logit"]),
    ]
    logit = helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["batch", LOOK_BACK])
    second = numpy_helper.from_array(np.array(1), "second")
    shape = numpy_helper.from_array(np.array([-1, LOOK_BACK]), "shape")
    graph = helper.make_graph(nodes, "mean", [scores, *one], [logit], [second, shape])
    return helper.make_model(graph, opset_imports=list(opsets))


def _highest(values: Tensor, hours: int) -> Tensor:
    padded = functional.pad(values.transpose(1, 2), (hours - 1, 0), value=-torch.inf)
    return functional.max_pool1d(padded, hours, 1).transpose(1, 2)


def _earlier(values: Tensor, hours: int) -> Tensor:
    return functional.pad(values[:, :-hours], (0, 0, hours, 0))
