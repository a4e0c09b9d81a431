"""Asking what the companion must not load itself: a module is run in a process of its own, and prints its answer."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import DEVNULL, PIPE

from edgeloop_shared.errors import EdgeloopError

ANSWER_SECONDS = 60.0


async def answer_of(module: str, seconds: float = ANSWER_SECONDS) -> bytes:
    """Return what `python -m module` prints. Raises `EdgeloopError` that says in a few words why it gives no answer."""
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", module), stdin=DEVNULL, stdout=PIPE, stderr=PIPE
        )
    except OSError as error:
        raise EdgeloopError(f"no process can be started: {error.strerror}") from None
    try:
        async with asyncio.timeout(seconds):
            answer, said = await process.communicate()
    except TimeoutError:
        raise EdgeloopError(f"no answer within {seconds:.0f} s") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    if process.returncode:
        lines = said.decode(errors="replace").strip().splitlines()
        raise EdgeloopError(lines[-1] if lines else f"it ended with status {process.returncode}")
    return answer
