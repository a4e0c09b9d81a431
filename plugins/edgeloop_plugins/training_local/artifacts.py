"""Artifacts: the files of a run's output folder, copied without following a link out of it."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from edgeloop_shared.errors import InvalidInputError


def copy_artifacts(output: Path, folder: Path) -> None:
    """Copy all that lies in `output` into `folder`, which exists and is empty; links that stay inside remain links.

    Raises `InvalidInputError`, naming the path, for a link that leads out of `output` and for what is no file, folder or link.
    """
    root = output.resolve()
    for parent, folders, files in os.walk(root):
        here = Path(parent)
        for name in sorted(folders + files):
            source, target = here / name, folder / here.relative_to(root) / name
            mode = source.lstat().st_mode
            if stat.S_ISLNK(mode):
                target.symlink_to(_inside(source, root))
            elif stat.S_ISDIR(mode):
                target.mkdir()
            elif stat.S_ISREG(mode):
                shutil.copy2(source, target)
            else:
                raise _refused(source, root, "is neither a file nor a folder")


def _inside(link: Path, root: Path) -> str:
    """Return the text that makes the link work wherever the tree is copied to."""
    try:
        destination = link.resolve()
    except (OSError, RuntimeError):  # links in a circle
        destination = Path(os.sep)
    if not destination.is_relative_to(root):
        raise _refused(link, root, "is a link that leads out of the output folder")
    return os.path.relpath(destination, link.parent.resolve())


def _refused(path: Path, root: Path, reason: str) -> InvalidInputError:
    return InvalidInputError(
        f"The artifact {path.relative_to(root)} {reason}, so it was not copied.",
        hint=f"Let the training write a copy of the file into $EDGELOOP_OUTPUT. What this run wrote is still in {root}.",
        details={"path": str(path.relative_to(root))},
    )
