"""Commands are carried out once, however often the daemon repeats them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from edgeloop_shared.errors import EdgeloopError
from edgeloop_shared.messages import CommandResult

CAPACITY = 1024


class CommandLog:
    """The results of the last commands of one daemon."""

    def __init__(self, *, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._results: OrderedDict[str, CommandResult] = OrderedDict()

    def once(self, command_id: str, begin: Callable[[], None]) -> CommandResult:
        """Call `begin` unless this command was seen before; return the result of its first time.

        A refusal is an `EdgeloopError` that `begin` raises.
        """
        result = self._results.get(command_id)
        if result is None:
            try:
                begin()
                result = CommandResult(command_id)
            except EdgeloopError as error:
                result = CommandResult(command_id, error.as_dict())
            self._results[command_id] = result
            if len(self._results) > self._capacity:
                self._results.popitem(last=False)
        return result
