"""The arguments of an editor's `launch` and `attach`, as its configuration has them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from edgeloop_daemon.debugging.dap import Body
from edgeloop_shared.codec import decode
from edgeloop_shared.errors import InvalidInputError

_ALIASES = {"program": "task", "args": "arguments", "cwd": "folder", "workspace": "folder"}


@dataclass(frozen=True)
class LaunchArguments:
    """What to debug. Names are those of an editor's configuration.

    `task` is a script of the workspace (also `program`), `arguments` are its own (also `args`), `folder` is one inside of
    the workspace (also `workspace` or `cwd`). `session` and `run` are for `attach` alone.
    """

    task: str | None = field(default=None, metadata={"min_length": 1, "max_length": 4096})
    arguments: tuple[str, ...] = field(default=(), metadata={"max_length": 1024})
    device: str | None = field(default=None, metadata={"max_length": 256})
    include: tuple[str, ...] = field(default=(), metadata={"max_length": 256})
    trace: bool = False
    memory: int | None = field(default=None, metadata={"ge": 1, "le": 2**30})
    stopOnEntry: bool = False  # noqa: N815 - an editor's name
    justMyCode: bool = True  # noqa: N815 - an editor's name
    folder: str | None = field(default=None, metadata={"max_length": 4096})
    session: str | None = field(default=None, metadata={"max_length": 64})
    run: str | None = field(default=None, metadata={"max_length": 64})

    @property
    def where(self) -> str | None:
        """A folder of the workspace: the one that is named, else that of a task whose path is absolute."""
        if self.folder is None and self.task is not None and self.task.startswith("/"):
            return str(Path(self.task).parent)
        return self.folder


_NAMES = frozenset(one.name for one in fields(LaunchArguments))


def launch_arguments(arguments: Body) -> LaunchArguments:
    """Return what is meant for us; an editor's own keys are left out. Raises `InvalidInputError` that names a field."""
    known: dict[str, Any] = {}
    for name, value in arguments.items():
        ours = _ALIASES.get(name, name)
        if ours in _NAMES and value is not None and (name == ours or ours not in arguments):
            known[ours] = [value] if ours == "arguments" and isinstance(value, str) else value
    try:
        given = decode(LaunchArguments, known)
    except InvalidInputError as error:
        message = f"The debug configuration does not fit: {error.message}"
        raise InvalidInputError(message, hint="docs/debugging.md lists what it may hold.") from None
    if given.folder is not None and not Path(given.folder).is_absolute():
        raise InvalidInputError(f"The folder {given.folder!r} of the debug configuration is not absolute.")
    return given


def attach_choice(given: LaunchArguments) -> str | None:
    """Return the id of the session or the run to attach to; None means the newest."""
    return given.session or given.run
