"""Collections of garbage: rare in services, and not of what is no garbage."""

import gc
import subprocess
import sys

from tests.alerts import alert
from tests.events import vitals

SAID = "import gc; from wardstream.infra.collecting import *; collect_rarely(STEADY); print({})"


def said(what: str) -> str:
    run = [sys.executable, "-c", SAID.format(what)]
    return subprocess.run(run, check=True, timeout=120, capture_output=True, text=True).stdout.strip()


def test_what_a_service_begins_with_is_left_out() -> None:
    assert said("gc.get_threshold() == STEADY, gc.get_freeze_count() > 1000, gc.isenabled()") == "True True True"


def test_events_are_gone_over_by_none() -> None:
    """They are trees: nothing in them refers to itself."""
    raised = alert("a")
    assert not any(map(gc.is_tracked, (raised, raised.evidence, vitals("v", 0, heart_rate_bpm=80.0))))
