"""Editors that start `edgeloop dap` as a process and debug through it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dap_client import DapClient
from end_to_end.command_line import CommandLine

TASK = """\
import numpy as np


def scale(image, factor):
    scaled = image * factor
    return scaled


image = np.arange(12, dtype=np.float32).reshape(3, 4)
image[1, 1] = np.nan
print("mean", np.nanmean(scale(image, 2)))
"""
"""A script for a real editor to debug."""


@asynccontextmanager
async def editor(user: CommandLine, *options: str) -> AsyncIterator[DapClient]:
    """Start `edgeloop dap` in the user's folder and speak to it for the block; it has to end by itself then."""
    process = await asyncio.create_subprocess_exec(
        str(user.command),
        "dap",
        *options,
        cwd=user.folder,
        env={**os.environ, **user.variables, "EDGELOOP_HOME": str(user.home), "PWD": str(user.folder)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    given, said = process.stdin, process.stdout

    async def send(data: bytes) -> None:
        given.write(data)
        await given.drain()

    client = DapClient(send, lambda: said.read(65536))
    try:
        yield client
    finally:
        await client.close()
        given.close()
        try:
            async with asyncio.timeout(20):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise AssertionError("edgeloop dap did not end with its editor") from None
