"""Commands are carried out once, however often the daemon repeats them, and whoever is started anew in between."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from pathlib import Path

from edgeloop_companion.runtime.storage import write_private
from edgeloop_shared.codec import decode_json, encode_json
from edgeloop_shared.errors import EdgeloopError, MessageError
from edgeloop_shared.messages import CommandResult

CAPACITY = 1024
_MAX_LINE_BYTES = 256 * 1024


class CommandLog:
    """The results of the last commands of one daemon, one line of JSON each in the file at `path`."""

    def __init__(self, path: Path, *, capacity: int = CAPACITY) -> None:
        self._path = path
        self._capacity = capacity
        self._results: OrderedDict[str, CommandResult] = OrderedDict()
        self._lines = 0
        self._busy = asyncio.Lock()

    def load(self) -> None:
        """Read what an earlier companion left; a line that cannot be read is left out. Blocks."""
        with contextlib.suppress(FileNotFoundError):
            for line in self._path.read_bytes().splitlines():
                with contextlib.suppress(MessageError):
                    self._keep(decode_json(CommandResult, line, max_bytes=_MAX_LINE_BYTES))
        if self._results:
            with contextlib.suppress(OSError):
                self._rewrite()

    async def once(self, command_id: str, begin: Callable[[], Awaitable[None]]) -> CommandResult:
        """Await `begin` unless this command was seen before; return the result of its first time, once that is on disk.

        A refusal is an `EdgeloopError` that `begin` raises. What `begin` does must stand a repetition: the companion may be
        killed before its result is on disk.
        """
        async with self._busy:
            result = self._results.get(command_id)
            if result is None:
                try:
                    await begin()
                    result = CommandResult(command_id)
                except EdgeloopError as error:
                    result = CommandResult(command_id, error.as_dict())
                self._keep(result)
                with contextlib.suppress(OSError):  # a full disk: the run's own folder still knows the command
                    await asyncio.to_thread(self._write, result)
            return result

    def _keep(self, result: CommandResult) -> None:
        self._results[result.command_id] = result
        if len(self._results) > self._capacity:
            self._results.popitem(last=False)

    def _write(self, result: CommandResult) -> None:
        if self._lines >= 2 * self._capacity:
            self._rewrite()
            return
        # It begins with a newline, because the last line may have been cut off by a kill or a full disk.
        with self._path.open("ab") as file:
            file.write(b"\n" + encode_json(result))
        self._lines += 1

    def _rewrite(self) -> None:
        write_private(self._path, b"\n".join(map(encode_json, self._results.values())))
        self._lines = len(self._results)
