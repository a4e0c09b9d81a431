"""Copying a project template into a folder."""

from __future__ import annotations

import importlib.resources
import json
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath

from edgeloop.declarations import ProjectTemplate
from edgeloop_daemon.workspaces.settings import SETTINGS_FILE
from edgeloop_shared.errors import InvalidInputError, PluginError

_RENAMED = {"gitignore": ".gitignore"}
_NOT_COPIED = ("__pycache__",)


def check_requirements(template: ProjectTemplate) -> None:
    """Raise `InvalidInputError` with the command that installs them when distributions of the template are missing."""
    missing = [name for name in template.requires if not _is_installed(name)]
    if missing:
        raise InvalidInputError(
            f"The template {template.name} needs {', '.join(missing)}, which this environment does not have.",
            hint=f"Install with `{sys.executable} -m pip install {' '.join(missing)}`, then try again.",
            details={"missing": missing},
        )


def copy_template(template: ProjectTemplate, folder: Path, name: str, created: list[Path]) -> None:
    """Copy the template into `folder`, which is made if need be; what is created is added to `created`, in that order.

    Files that exist already stay as they are. `name` replaces `@NAME@` in edgeloop.toml. Raises `PluginError` when the
    template's own folder is missing or holds no edgeloop.toml.
    """
    package, _, inner = template.folder.partition(":")
    try:
        source = importlib.resources.files(package).joinpath(*PurePosixPath(inner).parts)
        files = sorted(_files(source, PurePosixPath()), key=lambda pair: pair[0])
    except (ImportError, OSError) as error:
        raise _broken(template, str(error)) from error
    if PurePosixPath(SETTINGS_FILE) not in (path for path, _ in files):
        raise _broken(template, f"it holds no {SETTINGS_FILE}")
    for path, file in files:
        target = folder / path.with_name(_RENAMED.get(path.name, path.name))
        content = file.read_bytes()
        if path == PurePosixPath(SETTINGS_FILE):
            # JSON's escapes are TOML's as well.
            content = content.replace(b"@NAME@", json.dumps(name, ensure_ascii=False)[1:-1].encode())
        for parent in reversed([parent for parent in target.parents if not parent.exists()]):
            parent.mkdir()
            created.append(parent)
        if not target.exists() and not target.is_symlink():
            created.append(target)
            target.write_bytes(content)


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _files(folder: Traversable, path: PurePosixPath) -> Iterator[tuple[PurePosixPath, Traversable]]:
    for item in folder.iterdir():
        if item.name in _NOT_COPIED:
            continue
        if item.is_dir():
            yield from _files(item, path / item.name)
        else:
            yield path / item.name, item


def _broken(template: ProjectTemplate, reason: str) -> PluginError:
    return PluginError(
        f"The template {template.name} at {template.folder} cannot be copied: {reason}.",
        hint="Check how the plugin that declares it is installed.",
    )
