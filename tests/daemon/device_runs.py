"""Beginning runs on the device of a test, and waiting for their end."""

from __future__ import annotations

from typing import Any

from daemon.device_daemon import DeviceDaemon
from daemon.device_peer import SECONDS, Link

from edgeloop_daemon.devices.run_table import Run
from edgeloop_shared.codec import encode_json
from edgeloop_shared.run_events import LogLine


async def begin(daemon: DeviceDaemon, linked: Link, **options: Any) -> Run:
    """Start a run of `task.py`, which the device accepts."""
    run = await daemon.runs.start(daemon.workspace, "task.py", **options)
    await linked.accept()
    return run


async def ended(daemon: DeviceDaemon, run: Run) -> Run:
    """Return a run once it has ended."""
    found = await daemon.runs.get(run.id, wait=SECONDS)
    assert found.state.is_terminal
    return found


def line(text: str) -> bytes:
    """Return a line of a run's output, as it is sent."""
    return encode_json(LogLine(1, "stdout", text))
