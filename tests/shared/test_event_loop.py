"""Tests of the event loop that processes run in."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import asyncio
from edgeloop_shared import event_loop

async def module() -> str:
    return type(asyncio.get_running_loop()).__module__

print(event_loop.run(module()))
"""


@pytest.mark.parametrize(
    ("before", "expected"), [("", "uvloop"), ("import sys; sys.modules['uvloop'] = None", "asyncio.unix_events")]
)
def test_a_process_runs_in_uvloop_and_where_that_cannot_be_in_the_loop_of_python(before: str, expected: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", before + PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == expected
