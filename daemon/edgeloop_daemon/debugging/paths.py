"""Where the files of a workspace are for an editor, and by which name they travel."""

from __future__ import annotations

import os
from pathlib import Path


class PathMap:
    """The workspace folder as an editor spells it (it may stand behind a link), which need not be where it really is."""

    def __init__(self, root: Path) -> None:
        self._real = str(root)
        self.root = str(root)

    def spell(self, folder: str) -> None:
        """Use the editor's spelling of a folder inside the workspace, or above it. Looks at the disk."""
        spelled = os.path.normpath(folder)
        real = os.path.realpath(spelled)
        if real == self._real:
            self.root = spelled
        elif real.startswith(self._real + "/"):
            inside = real[len(self._real) :]
            if spelled.endswith(inside):
                self.root = spelled[: -len(inside)]

    def relative(self, path: str) -> str | None:
        """Return a file's path in the bundle, None for one outside of the workspace. May look at the disk."""
        spelled = os.path.normpath(path)
        for root in (self.root, self._real):
            if spelled.startswith(root + "/"):
                return spelled[len(root) + 1 :]
        real = os.path.realpath(spelled)
        return real[len(self._real) + 1 :] if real.startswith(self._real + "/") else None

    def spelled(self, relative: str) -> str:
        """Return a file's path as the editor knows it."""
        return f"{self.root}/{relative}"
