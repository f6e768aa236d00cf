"""The machine that was measured on: figures of one machine say nothing of another's."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.commit import commit
from wardstream.infra.kafka.jars import KAFKA_VERSION


def describe() -> dict[str, Any]:
    """Processor, memory, versions, date and load."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    return {
        "commit": commit(),
        "cpu": cpu[1] if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(int(memory[1]) / 1e6) if memory else None,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "kafka": KAFKA_VERSION,
        "faust": version("faust-streaming"),
        "aiokafka": version("aiokafka"),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_at_start": os.getloadavg(),
    }
