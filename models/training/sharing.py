"""Training in several processes (torchrun, gloo): each takes its share of every batch, and gradients are summed.

The sum of the gradients over all shares, divided by the weight of the whole batch, is the gradient that one process
finds for the whole batch. So n processes reach the weights of one, up to rounding; nothing else is exchanged.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Final, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

DEADLINE: Final = timedelta(minutes=10)

T = TypeVar("T")


class Team(NamedTuple):
    """Which of how many processes this one is."""

    rank: int
    size: int

    @property
    def leads(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def share(self, batch: Sequence[T]) -> Sequence[T]:
        """This process's part of a batch."""
        return batch[self.rank :: self.size]

    def sum_gradients(self, parameters: Iterable[nn.Parameter], weight: float) -> None:
        """Replace gradients of sums by those of the mean over the whole batch, of total weight `weight`."""
        own = [p for p in parameters if p.requires_grad]
        for p in own:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
        flat = torch.cat([_gradient(p).flatten() for p in own]) / max(weight, 1.0)
        if self.size > 1:
            dist.all_reduce(flat)
        begin = 0
        for p in own:
            p.grad = flat[begin : begin + p.numel()].view_as(p).clone()
            begin += p.numel()

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            dist.barrier()


def _gradient(parameter: nn.Parameter) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


@contextmanager
def team() -> Iterator[Team]:
    """The team that torchrun has started, or a team of one."""
    if not dist.is_torchelastic_launched():
        yield Team(0, 1)
        return
    dist.init_process_group("gloo", timeout=DEADLINE)
    try:
        yield Team(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
