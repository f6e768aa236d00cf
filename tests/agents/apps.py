"""Faust without Kafka."""

from typing import Any

import faust


def unconnected_app() -> faust.App:
    """An app whose agents are called by hand; finalised by the caller."""
    app = faust.App("test", store="memory://")
    # An agent makes the app make a consumer, with a loop for a thread that never runs. Left to the garbage collector,
    # the loop may outlive its own sockets, and pytest fails the run for what it then says.
    consumer: Any = app.consumer
    consumer._thread.thread_loop.close()
    return app
