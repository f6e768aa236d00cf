"""Whether explanations by occlusion hold: against integrated gradients, and by what happens when groups are left out.

For the hours with the highest answers, those that would be explained: the rank correlation of the groups'
contributions by occlusion (as served, `explaining`) and by integrated gradients (Sundararajan et al., ICML 2017; from
a patient of whom nothing has been measured); and how far the log-odds fall when the three groups that matter most are
left out together, by occlusion, by integrated gradients, and three at random (deletion test; Samek et al., IEEE TNNLS
2017;28:2660). An explanation that is worth its name falls further than chance.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from wardstream.models.explaining import GROUPS, groups_of, without
from wardstream.models.sepsis import LOOK_BACK, SIGNALS, Inputs, Prepared, first_hour, stacked
from wardstream.models.training.fitting import as_tensors
from wardstream.models.training.stays import Stays
from wardstream.models.training.windows import Hours, Run

EXPLAINED: Final = 200
LEFT_OUT: Final = 3
STEPS: Final = 32

_PLACE: Final = {code: place for place, code in enumerate(SIGNALS)}


def check(net: Any, run: Run, stays: Stays, places: npt.NDArray[np.intp], said: Hours, seed: int) -> dict[str, Any]:
    """See the head of this module.

    Parameters
    ----------
    net : Net
        In torch, for its gradients; of a blend its net, and None without one, since trees have no gradients.
    run : Run
        What is served.
    stays, places, said
        Patients that the net has not learnt from, and what it said of their hours.
    """
    rng = np.random.default_rng(seed)
    highest = np.argsort(np.where(said.answered, said.logit, -np.inf), kind="stable")[::-1]
    hours, seen = list[Prepared](), set[int]()
    for row in highest:  # one hour a patient: neighbours are explained alike
        if int(said.stay[row]) not in seen and said.answered[row] and len(hours) < EXPLAINED:
            seen.add(int(said.stay[row]))
            hours.append(_prepared(stays, int(places[said.stay[row]]), int(said.hour[row])))
    falls: dict[str, list[float]] = {"occlusion": [], "integrated_gradients": [], "random": []}
    alike, explained = [], 0
    for prepared in hours:
        groups = [group for group in groups_of(prepared) if group in GROUPS]
        if len(groups) <= LEFT_OUT:
            continue
        whole, *others = _logits(run, [prepared, *(without(prepared, group) for group in groups)])
        by_occlusion = whole - np.array(others)
        orders = {"occlusion": np.argsort(-by_occlusion), "random": rng.permutation(len(groups))}
        explained += 1
        if net is not None:
            by_gradients = gradients(net, prepared, groups)
            alike.append(_rank_correlation(by_occlusion, by_gradients))
            orders["integrated_gradients"] = np.argsort(-by_gradients)
        for name, order in orders.items():
            left = prepared
            for group in order[:LEFT_OUT]:
                left = without(left, groups[group])
            falls[name].append(whole - _logits(run, [left])[0])
    return {
        "hours": explained,
        "rank_correlation": float(np.mean(alike)) if alike else None,
        "log_odds_fall": {name: float(np.mean(values)) if values else None for name, values in falls.items()},
    }


def gradients(net: Any, prepared: Prepared, groups: Sequence[str]) -> npt.NDArray[np.float64]:
    """Integrated gradients of the answer by group, from a patient of whom nothing has been measured."""
    values, measured, since, about = as_tensors(stacked([prepared]))
    ends = values, measured, since
    begins = net.reading.mean.expand_as(values), torch.zeros_like(measured), torch.full_like(since, LOOK_BACK)
    known = since < LOOK_BACK
    ends = torch.where(known, values, begins[0]), measured, since
    total = [torch.zeros_like(end) for end in ends]
    for step in range(STEPS):
        at = [
            (begin + (end - begin) * (step + 0.5) / STEPS).requires_grad_()
            for begin, end in zip(begins, ends, strict=True)
        ]
        answer = net(*at, about)[0, prepared.place]
        for sum_, slope in zip(total, torch.autograd.grad(answer, at), strict=True):
            sum_ += slope / STEPS
    added = sum(((end - begin) * slope)[0].sum(dim=0) for begin, end, slope in zip(begins, ends, total, strict=True))
    by_signal = np.asarray(torch.as_tensor(added).detach().numpy(), np.float64)
    return np.array([by_signal[[_PLACE[code] for code in GROUPS[group]]].sum() for group in groups])


def _prepared(stays: Stays, i: int, hour: int) -> Prepared:
    first = first_hour(hour)
    return Prepared(stays.rows(i)[first - 1 : hour].astype(np.float64), first, stays.who(i), 0.0, 0.0)


def _logits(run: Callable[[Inputs], npt.NDArray[np.float32]], rows: Sequence[Prepared]) -> list[float]:
    return [float(logits[row.place]) for logits, row in zip(run(stacked(rows)), rows, strict=True)]


def _rank_correlation(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    """Spearman's; ties in their order, for contributions are all but never equal."""
    ranks = [np.argsort(np.argsort(values)).astype(np.float64) for values in (one, other)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])
