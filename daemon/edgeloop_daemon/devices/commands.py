"""Commands on their way to devices: each is sent on every link until the device has answered it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgeloop_shared.errors import EdgeloopError, MessageError, error_from_dict
from edgeloop_shared.messages import CancelTask, CommandResult, RunTask

Command = RunTask | CancelTask
Send = Callable[[Command], None]
OnResult = Callable[[EdgeloopError | None], None]


@dataclass(frozen=True)
class _Pending:
    command: Command
    on_result: OnResult


class Commands:
    """What devices have yet to answer, and the links that can carry it."""

    def __init__(self) -> None:
        self._pending: dict[str, dict[str, _Pending]] = {}
        self._links: dict[str, Send] = {}

    def is_linked(self, device_id: str) -> bool:
        """Whether the device can be told something now."""
        return device_id in self._links

    def post(self, device_id: str, command: Command, on_result: OnResult) -> None:
        """Send a command, now and after every reconnect, until its result has come.

        `on_result` is called once, with the error by which the device refused, or None.
        """
        self._pending.setdefault(device_id, {})[command.command_id] = _Pending(command, on_result)
        if send := self._links.get(device_id):
            send(command)

    def drop(self, device_id: str, command_id: str) -> None:
        """Do not send a command again; a result that still comes is ignored."""
        self._pending.get(device_id, {}).pop(command_id, None)

    def drop_all(self, device_id: str) -> None:
        """Forget everything that the device was to be told."""
        self._pending.pop(device_id, None)

    def link(self, device_id: str, send: Send) -> None:
        """A link carries commands from now on; `send` must not block. What is pending goes first."""
        self._links[device_id] = send
        for pending in tuple(self._pending.get(device_id, {}).values()):
            send(pending.command)

    def unlink(self, device_id: str, send: Send) -> None:
        """The link has gone (nothing happens when a newer one took its place)."""
        if self._links.get(device_id) == send:
            del self._links[device_id]

    def answered(self, device_id: str, result: CommandResult) -> None:
        """Hand on a device's answer; one that nobody waits for is a repetition."""
        pending = self._pending.get(device_id, {}).pop(result.command_id, None)
        if pending is not None:
            pending.on_result(None if result.error is None else device_error(result.error))


def device_error(record: Mapping[str, object]) -> EdgeloopError:
    """Return the error that a device reported. Raises `MessageError` for a record that is none."""
    if not isinstance(record.get("code"), str) or not isinstance(record.get("message"), str):
        raise MessageError("A device reported an error without code and message.")
    return error_from_dict(record)
