"""The devices of `load.py`, all in one process: real links and outboxes, whose scripts do nothing but trace.

Reads pairings (a JSON array) and a plan from the standard input, links, waits for a run on every device, says `ready`, waits for
a line, sends, and says how much. Every frame is a run of a model, whose operators carry its number.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from daemon_parts import Device, linked

from edgeloop_companion.link.pairing import Pairing
from edgeloop_companion.runtime.storage import BlobStore
from edgeloop_shared.messages import RunTask
from edgeloop_shared.run_events import TaskStarted, encode_event
from edgeloop_shared.traces import Operator, OperatorTable, TraceBatch, pack_batch

OPERATORS = 169  # of the model: a frame has 4 KiB
TABLE = OperatorTable(1, "load.mnn", "cpu", 0, tuple(Operator(f"conv{n}", "Convolution") for n in range(OPERATORS)))


def frame(number: int) -> TraceBatch:
    """Return the run of the model with a number."""
    begins = [number * 10_000_000 + place * 50_000 for place in range(OPERATORS)]
    return TraceBatch(1, range(OPERATORS), [number] * OPERATORS, begins, [40_000 + number % 97] * OPERATORS)


async def trace(device: Device, run: str, frames: int, per_second: float, begin: float) -> float:
    """Send frames at an even pace until all are stored; return by how many seconds the slowest was late."""
    stream, late, number = f"{run}.traces", 0.0, 0
    for number in range(1, frames + 1):
        due = begin + number / per_second
        await asyncio.sleep(due - time.monotonic())
        await device.outbox.append(stream, pack_batch(frame(number)))
        late = max(late, time.monotonic() - due)
    await device.outbox.stored(stream, number)
    return late


async def main() -> None:
    """Do what the plan says."""
    plan = json.loads(sys.stdin.readline())
    pairings = [Pairing(**record) for record in plan["pairings"]]
    frames = round(plan["seconds"] * plan["per_second"])
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        store = BlobStore(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        devices = [await stack.enter_async_context(linked(pairing, store)) for pairing in pairings]
        print("linked", flush=True)
        runs = []
        for device in devices:
            command = await device.commands.get()
            assert isinstance(command, RunTask)
            await device.outbox.append(f"{command.run_id}.events", encode_event(TaskStarted(0)))
            await device.outbox.append(f"{command.run_id}.events", encode_event(TABLE))
            runs.append(command.run_id)
        print("ready", flush=True)
        await loop.run_in_executor(None, sys.stdin.readline)
        begin, tasks = time.monotonic() + 0.1, []
        for number, (device, run) in enumerate(zip(devices, runs, strict=True)):
            phase = number / len(devices) / plan["per_second"]  # real devices do not beat in time
            tasks.append(asyncio.create_task(trace(device, run, frames, plan["per_second"], begin + phase)))
        late = max(await asyncio.gather(*tasks))
        print(json.dumps({"runs": runs, "frames": frames, "late": late}), flush=True)
        await loop.run_in_executor(None, sys.stdin.readline)


if __name__ == "__main__":
    asyncio.run(main())
