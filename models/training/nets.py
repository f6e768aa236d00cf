"""The two nets that are compared: a recurrent one that lets old values fade, and a causal attention net.

Both take the tensors of `models/sepsis.py` and give one log-odds an hour, from that hour and earlier ones only. Means
and spreads of the signals are part of the net, so that its inputs are in clinical units. As in GRU-D (Che et al., Sci
Rep 2018;8:6085) a value that was carried forward fades towards the mean, the faster the more the training found; its
fading of the hidden state is left out, since it would take a loop of Python over hours. Attention knows the order by a
penalty on distance (ALiBi; Press et al., ICLR 2022), not by places, which would tell the hour of the stay.

`without` names what a variant does not see: clock (hours since admission), counts (what was measured when). It still
sees how many hours the window has, as any net that reads hour by hour; the card says so.
"""

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from wardstream.models.sepsis import ABOUT, CLOCK, LOOK_BACK, SIGNALS
from wardstream.models.training.boosting import TRENDS

Kind = Literal["recurrent", "attention"]
VALUE_EDGES: Final = (-3.0, -1.5, -0.75, -0.25, 0.25, 0.75, 1.5, 3.0)  # standard deviations
CLOCK_EDGES_H: Final = (0.0, 3.0, 6.0, 12.0, 24.0, 48.0, 96.0, 200.0)
AGE_EDGES_Y: Final = (30.0, 45.0, 55.0, 65.0, 75.0, 90.0)


class Shape(NamedTuple):
    """What a net is built as. Deterministic given the seed of torch."""

    kind: Kind
    width: int = 64
    layers: int = 1
    without: tuple[str, ...] = ()


class Reading(nn.Module):  # type: ignore[misc]
    """From the tensors to one vector an hour: values in steps and faded, what was measured, ages, who.

    In steps: how far a value has gone through each of several intervals, 0 to 1 (piecewise linear encoding; Gorishniy
    et al., NeurIPS 2022), for what is normal lies in the middle, and a net told one number is slow to find that.
    And what boosting is told besides (`boosting.table`): how often each signal has been measured in the window, and of
    the vital signs the lowest, highest and mean of the last 6 and 24 hours and the change over 6.
    """

    def __init__(self, shape: Shape, mean: Iterable[float], spread: Iterable[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(list(mean), dtype=torch.float32))
        self.register_buffer("spread", torch.tensor(list(spread), dtype=torch.float32))
        counts = torch.full((len(SIGNALS),), 0.0 if "counts" in shape.without else 1.0)
        about = torch.ones(len(ABOUT))
        about[CLOCK] = 0.0 if "clock" in shape.without else 1.0
        self.register_buffer("counts", counts)
        self.register_buffer("about_kept", about)
        self.register_buffer("about_scale", torch.tensor([1 / 100, 1.0, 1.0, 1.0, 1 / 100]))
        self.fade = nn.Parameter(torch.full((len(SIGNALS),), 0.1))
        self.register_buffer("value_edges", torch.tensor(VALUE_EDGES))
        self.register_buffer("clock_edges", torch.tensor(CLOCK_EDGES_H))
        self.register_buffer("age_edges", torch.tensor(AGE_EDGES_Y))
        steps = (len(VALUE_EDGES) - 1) * len(SIGNALS) + len(CLOCK_EDGES_H) - 1 + len(AGE_EDGES_Y) - 1
        self.into = nn.Linear(steps + 4 * len(SIGNALS) + 7 * TRENDS + len(ABOUT) + 1, shape.width)

    def forward(self, values: Tensor, measured: Tensor, since: Tensor, about: Tensor) -> Tensor:
        known = (since < LOOK_BACK).to(values.dtype)
        standard = ((values - self.mean) / self.spread).clamp(-5.0, 5.0) * known
        hours, kept = about[..., CLOCK:], self.about_kept[CLOCK:]
        steps = [
            ((_steps(standard, self.value_edges) - 0.5) * known[..., None]).flatten(-2),
            _steps(hours, self.clock_edges).flatten(-2) * kept,
            _steps(about[..., :1], self.age_edges).flatten(-2),
        ]
        faded = standard * torch.exp(-torch.relu(self.fade * self.counts) * since)
        age = torch.log1p(since) * self.counts / 4.0
        scaled = about * self.about_kept * self.about_scale
        clock = torch.log1p(hours) * kept / 4.0
        often = torch.log1p(torch.cumsum(measured, dim=1)) * self.counts / 4.0
        parts = [faded, measured * self.counts, age, often, _trends(standard[..., :TRENDS]), scaled, clock]
        return torch.relu(self.into(torch.cat([*steps, *parts], dim=-1)))


def _steps(values: Tensor, edges: Tensor) -> Tensor:
    """(…) → (…, edges − 1): how far each value has gone through each interval, 0 to 1."""
    return ((values[..., None] - edges[:-1]) / (edges[1:] - edges[:-1])).clamp(0.0, 1.0)


def _trends(vital: Tensor) -> Tensor:
    """(B, 48, signals) → (B, 48, 7 × signals): see `Reading`. Before the window its first hour stands for the past."""
    hours = vital.transpose(1, 2)
    found = [hours - functional.pad(hours, (6, 0), mode="replicate")[..., :LOOK_BACK]]
    for span in (6, 24):
        past = functional.pad(hours, (span - 1, 0), mode="replicate")
        found += [-functional.max_pool1d(-past, span, 1), functional.max_pool1d(past, span, 1)]
        found.append(functional.avg_pool1d(past, span, 1))
    return torch.cat(found, dim=1).transpose(1, 2)


class Recurrent(nn.Module):  # type: ignore[misc]
    """A gated recurrent unit over the hours."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.unit = nn.GRU(shape.width, shape.width, num_layers=shape.layers, batch_first=True)

    def forward(self, hours: Tensor) -> Tensor:
        return self.unit(hours)[0]


class Block(nn.Module):  # type: ignore[misc]
    """Attention to this and earlier hours, then a small net an hour."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.ask, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.net = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        place = torch.arange(LOOK_BACK)
        back = (place[:, None] - place[None, :]).to(torch.float32)
        slopes = torch.tensor([2.0 ** -(1 + 2 * head) for head in range(heads)])
        penalty = -slopes[:, None, None] * back
        # Not −inf: the earliest hour sees only itself, and an exponent of −inf less −inf would be no number.
        self.register_buffer("penalty", torch.where(back < 0, torch.tensor(-1e9), penalty))

    def forward(self, hours: Tensor) -> Tensor:
        asked = self.ask(self.before(hours)).unflatten(-1, (3, self.heads, -1))
        query, key, value = (asked[:, :, i].transpose(1, 2) for i in range(3))
        likeness = query @ key.transpose(-1, -2) * float(query.shape[-1]) ** -0.5 + self.penalty
        seen = torch.softmax(likeness, dim=-1) @ value
        hours = hours + self.out(seen.transpose(1, 2).flatten(2))
        return hours + self.net(self.after(hours))


class Net(nn.Module):  # type: ignore[misc]
    """A net of either kind. `logit` and `rebuilt` share all but their last layer."""

    def __init__(self, shape: Shape, mean: Iterable[float], spread: Iterable[float]) -> None:
        super().__init__()
        self.reading = Reading(shape, mean, spread)
        if shape.kind == "recurrent":
            self.body: nn.Module = Recurrent(shape)
        else:
            self.body = nn.Sequential(*(Block(shape.width) for _ in range(shape.layers)))
        self.last = nn.LayerNorm(shape.width)
        self.logit = nn.Linear(shape.width, 1)
        self.rebuild = nn.Linear(shape.width, len(SIGNALS))
        nn.init.constant_(self.logit.bias, -4.0)  # about the share of positive hours

    def hours(self, values: Tensor, measured: Tensor, since: Tensor, about: Tensor, kept: Tensor | None) -> Tensor:
        """One vector an hour; `kept` (B, 1, width) are the places that are not dropped, scaled; None: all."""
        read = self.reading(values, measured, since, about)
        body = self.body(read if kept is None else read * kept)
        body = self.last(body)
        return body if kept is None else body * kept

    def forward(
        self, values: Tensor, measured: Tensor, since: Tensor, about: Tensor, kept: Tensor | None = None
    ) -> Tensor:
        """Log-odds, (B, 48)."""
        return self.logit(self.hours(values, measured, since, about, kept))[..., 0]

    def rebuilt(self, values: Tensor, measured: Tensor, since: Tensor, about: Tensor) -> Tensor:
        """Standardised values of all signals in each hour, (B, 48, 34), for learning without labels."""
        return self.rebuild(self.hours(values, measured, since, about, None))
