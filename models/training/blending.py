"""Boosting and a net as one file: the mean of their log-odds, computed from the tensors of the contract.

The graph has three parts: torch's (the net, and the features of boosting, `Table`), skl2onnx's (the trees), and the few
nodes that join them.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

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
    """What torch computes of a blend: the net's log-odds (B, 48), and the rows for the trees (B × 48, features)."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net, self.table = net, Table()

    def forward(self, values: Tensor, measured: Tensor, since: Tensor, about: Tensor) -> tuple[Tensor, Tensor]:
        made = (values, measured, since, about)
        return self.net(*made), self.table(*made).flatten(0, 1)


def join(parts: Path, trees: Any, path: Path, opset: int) -> None:
    """Write the file of a blend.

    Parameters
    ----------
    parts : Path
        ONNX file of `Parts`, with outputs `NET_LOGIT` and `FEATURES`.
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
    last = _mean(second.opset_import)
    for one in (second, last):
        one.ir_version = first.ir_version
    both = compose.merge_models(first, second, io_map=[(FEATURES, "rows")], outputs=[NET_LOGIT, "probabilities"])
    whole = compose.merge_models(both, last, io_map=[(NET_LOGIT, "one"), ("probabilities", "scores")])
    onnx.checker.check_model(whole, full_check=True)
    onnx.save_model(whole, path)


def _mean(opsets: Iterable[Any]) -> onnx.ModelProto:
    """The mean of the net's log-odds (B, 48) and the trees' (B × 48, 2; those of the second class count)."""
    nodes = [
        helper.make_node("Gather", ["scores", "second"], ["of_trees"], axis=1),
        helper.make_node("Shape", ["one"], ["shape"]),
        helper.make_node("Reshape", ["of_trees", "shape"], ["other"]),
        helper.make_node("Mean", ["one", "other"], ["logit"]),
    ]
    graph = helper.make_graph(
        nodes,
        "mean",
        [
            helper.make_tensor_value_info("one", TensorProto.FLOAT, ["batch", LOOK_BACK]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, 2]),
        ],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["batch", LOOK_BACK])],
        [numpy_helper.from_array(torch.tensor(1).numpy(), "second")],
    )
    return helper.make_model(graph, opset_imports=list(opsets))


def _highest(values: Tensor, hours: int) -> Tensor:
    padded = functional.pad(values.transpose(1, 2), (hours - 1, 0), value=-torch.inf)
    return functional.max_pool1d(padded, hours, 1).transpose(1, 2)


def _earlier(values: Tensor, hours: int) -> Tensor:
    return functional.pad(values[:, :-hours], (0, 0, hours, 0))
