"""Files of a workspace, as a user who stands somewhere in it names them and as a device needs them."""

from __future__ import annotations

from pathlib import Path

from edgeloop_daemon.cli.client import Record
from edgeloop_daemon.cli.named import chosen_device
from edgeloop_daemon.cli.session import Session


def workspace_path(root: Path, path: Path) -> str:
    """Return `path` relative to the workspace; a path outside of it stays absolute, for the daemon to refuse clearly."""
    try:
        return path.resolve().relative_to(root).as_posix()
    except ValueError:
        return str(path)


def script_to_run(
    session: Session,
    workspace: Record,
    script: str,
    arguments: tuple[str, ...],
    *,
    device: str | None,
    include: tuple[str, ...],
) -> Record:
    """Return what the API is told of a script that is to run on a device. Raises as `chosen_device` does."""
    root = Path(workspace["path"])
    return {
        "script": workspace_path(root, session.folder / script),
        "arguments": [_argument(root, session.folder, text) for text in arguments],
        "device": chosen_device(session.client, device),
        "include": list(include),
    }


def _argument(root: Path, folder: Path, text: str) -> str:
    """Return a script's argument as the device needs it: a file of the workspace by its path from the workspace's root."""
    path = folder / text
    if text and not text.startswith("-") and path.exists() and path.resolve().is_relative_to(root) and folder != root:
        return path.resolve().relative_to(root).as_posix()
    return text
