"""What the installed plugins declare, as the daemon last wrote it for this environment."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeloop_daemon.store.folders import Folders
from edgeloop_shared import __version__

Record = dict[str, Any]
OPERATIONS_HELP = "Operations on the workspace."


class Declarations:
    """The cached declarations; they are written first where there are none that fit, if they may be."""

    def __init__(self, folders: Folders, *, refresh: bool = True) -> None:
        self._record = _read(folders.declarations) or (_refresh(folders) if refresh else {})

    @property
    def tools(self) -> Sequence[Record]:
        """The model tools."""
        return self._list("tools")

    @property
    def operations(self) -> Sequence[Record]:
        """The operations on a workspace, each with its `group`."""
        return self._list("operations")

    @property
    def backends(self) -> Sequence[Record]:
        """The training backends."""
        return self._list("backends")

    @property
    def templates(self) -> Sequence[Record]:
        """The templates."""
        return self._list("templates")

    def summaries(self) -> Mapping[str, str]:
        """Return the names of the commands that the declarations give, with their one line of help."""
        tools = {str(tool["name"]): str(tool["summary"]) for tool in self.tools}
        return tools | {str(operation["group"]): OPERATIONS_HELP for operation in self.operations}

    def _list(self, name: str) -> Sequence[Record]:
        found: Sequence[Record] = self._record.get(name, ())
        return found


def _read(path: Path) -> Record | None:
    """Return the cached declarations if they were written by this version in this environment."""
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    fits = isinstance(record, dict) and (record.get("version"), record.get("prefix")) == (__version__, sys.prefix)
    return record if fits else None


def _refresh(folders: Folders) -> Record:
    """Have the declarations written by a process of its own: plugins are never imported into the command line."""
    import subprocess  # once per installation, and this module is on the way to every `--help`

    folders.create()
    command = [sys.executable, "-P", "-m", "edgeloop_daemon", "--home", str(folders.root), "--write-declarations"]
    subprocess.run(command, check=False, capture_output=True, timeout=60)
    return _read(folders.declarations) or {}
