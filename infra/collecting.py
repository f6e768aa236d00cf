"""How often Python looks for garbage: it stands still meanwhile, and what services keep is no garbage.

What events and models are made of is freed as soon as nobody refers to it; only what refers to itself (a connection
that has ended, an error with its stack) waits for a collection. By itself Python goes over all objects whenever a
quarter of them is new: with a thousand streams and 8,192 transitions in memory 0.4 s, every 7 s.
"""

from __future__ import annotations

import gc
from typing import Final

BATCHES: Final = (50_000, 20, 50)
"""Of a worker: a batch is thousands of events, which at Python's own 700 objects would be gone over several times."""
STEADY: Final = (1_000, 10, 100)
"""Of who must never stand still for long: few objects at a time (about 15 ms), all of them after a million new ones."""


def collect_rarely(thresholds: tuple[int, int, int]) -> None:
    """Leave out of collections all that there is (modules and classes), and look for garbage after so many objects.

    To be called once, when a service has been set up and before it takes anything.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*thresholds)
