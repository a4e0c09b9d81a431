"""The worker's end of what is asked of breakpoints on operators from outside, while its script runs."""

from __future__ import annotations

from edgeloop_companion.runtime.run_folder import MAX_ORDER_BYTES, RunFolder
from edgeloop_shared.codec import decode_json
from edgeloop_shared.operator_control import SetBreakpoints
from edgeloop_task.outside_breakpoints import OutsideBreakpoints


def outside_breakpoints(folder: RunFolder) -> OutsideBreakpoints:
    """Turn the breakpoints on that lie in the run's folder. Raises `InvalidInputError` and `NotFoundError`."""
    found = OutsideBreakpoints(folder.files)
    if folder.breakpoints.is_file():
        ordered = decode_json(SetBreakpoints, folder.breakpoints.read_bytes(), max_bytes=MAX_ORDER_BYTES)
        found.set(ordered.breakpoints)
    return found
