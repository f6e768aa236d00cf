"""What the bare model server gives a client: `triton_client URL ROWS IN_FLIGHT SECONDS`, rows a second on stdout.

Nothing but requests: the tensors are made before the first, nothing is read from the answers.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import numpy as np
from tritonclient.grpc import InferInput
from tritonclient.grpc.aio import InferenceServerClient

from wardstream.models.sepsis import LOOK_BACK, NAME, SIGNALS, Prepared, Who, stacked

WARM_S = 2.0


async def main(url: str, rows: int, in_flight: int, seconds: float) -> None:
    rng = np.random.default_rng(1)
    medians = rng.normal(80.0, 10.0, (LOOK_BACK, len(SIGNALS)))
    medians[rng.random(medians.shape) < 0.7] = np.nan
    tensors = stacked([Prepared(medians, 1, Who(0.0, 60.0, "female"), 0.0, 0.0)] * rows)
    inputs = [
        InferInput(name, list(array.shape), "FP32").set_data_from_numpy(array) for name, array in tensors.feed().items()
    ]
    server, done = InferenceServerClient(url), 0

    async def ask(until: float) -> None:
        nonlocal done
        while time.monotonic() < until:
            await server.infer(NAME, inputs, client_timeout=30.0)
            done += rows

    async def all_ask(some_s: float) -> float:
        nonlocal done
        done, began = 0, time.monotonic()
        await asyncio.gather(*(ask(began + some_s) for _ in range(in_flight)))
        return done / (time.monotonic() - began)

    await all_ask(WARM_S)
    print(json.dumps({"per_s": await all_ask(seconds)}))
    await server.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
