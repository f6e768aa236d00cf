"""`wardstream worker`, changed in what a fault needs; for tests only.

python -m tests.faults.other_worker --without outcomes.v1    # the version before a topic was added
python -m tests.faults.other_worker --skew 3600              # its wall clock is an hour later
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import wardstream.infra.commands.worker as command
from wardstream.agents.streams.transport import lane_transport
from wardstream.infra import worker
from wardstream.infra.settings import Settings


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--without", action="append", default=[])
    parser.add_argument("--skew", type=float, default=0.0)
    options = parser.parse_args()
    for topic in options.without:
        del worker.HANDLERS[topic]
    as_it_is = command.build_app

    def build_app(settings: Settings, lanes: int) -> worker.WorkerApp:
        app = as_it_is(settings, lanes)
        if settings.clock == "live" and options.skew:
            app.lane_settings = replace(app.lane_settings, now=lambda: time.time() + options.skew)
            app.transport = app.producer_transport = lane_transport(app, app.lane_settings)
        return app

    command.build_app = build_app
    command.worker(log_level="info")


if __name__ == "__main__":
    main()
