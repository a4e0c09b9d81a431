"""The run of a debug session, as the session follows it: what it says, and how it ends."""

from __future__ import annotations

from collections.abc import Callable

from edgeloop_daemon.debugging.dap import Body
from edgeloop_daemon.debugging.ports import DebuggedRuns
from edgeloop_daemon.devices.run_table import Run
from edgeloop_shared.debugger_notes import is_debugger_note

_WAIT_SECONDS = 15.0
_PIECE_BYTES = 65536


async def ended(runs: DebuggedRuns, run_id: str) -> Run:
    """Return a run once it has ended; one that may return with its device has not."""
    while True:
        run = await runs.get(run_id, _WAIT_SECONDS)
        if run.state.is_terminal and not run.may_return:
            return run


async def tell_output(runs: DebuggedRuns, run_id: str, tell: Callable[[str, Body], None]) -> None:
    """Tell an editor what a run says until its end, by the protocol's `output` events."""
    offset, has_ended = 0, False
    while not has_ended:
        page = await runs.log(run_id, offset, _PIECE_BYTES, _WAIT_SECONDS)
        offset, has_ended = page.next_offset, page.ended
        for line in page.items:
            if is_debugger_note(line.source, line.text):
                continue  # it is the session that has attached
            category = line.source if line.source in ("stdout", "stderr") else "console"
            tell("output", {"category": category, "output": line.text + "\n"})
