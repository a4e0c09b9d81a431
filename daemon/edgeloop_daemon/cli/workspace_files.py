"""Files of a workspace, as a user who stands somewhere in it names them and as a device needs them."""

from __future__ import annotations

from pathlib import Path


def workspace_path(root: Path, path: Path) -> str:
    """Return `path` relative to the workspace; a path outside of it stays absolute, for the daemon to refuse clearly."""
    try:
        return path.resolve().relative_to(root).as_posix()
    except ValueError:
        return str(path)


def script_arguments(root: Path, folder: Path, arguments: tuple[str, ...]) -> list[str]:
    """Return a script's arguments as the device needs them, for a user who stands in `folder`."""
    return [_argument(root, folder, text) for text in arguments]


def _argument(root: Path, folder: Path, text: str) -> str:
    """Return a script's argument as the device needs it: a file of the workspace by its path from the workspace's root."""
    path = folder / text
    if text and not text.startswith("-") and path.exists() and path.resolve().is_relative_to(root) and folder != root:
        return path.resolve().relative_to(root).as_posix()
    return text
