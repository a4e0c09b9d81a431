"""Artifacts of trainings in the workspace: one folder per run that appears as a whole, and `latest`, a link to the newest."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from edgeloop_shared.errors import ConflictError, InvalidInputError

LATEST = "latest"
PROVENANCE = "run.json"


def artifacts_folder(workspace: Path, relative: str) -> Path:
    """Return the workspace's folder for artifacts. Raises `InvalidInputError` for a path that leads out of the workspace."""
    path = PurePosixPath(relative)
    if path.is_absolute() or not path.parts or ".." in path.parts or path.parts[0] == ".git":
        raise InvalidInputError(
            f"{relative!r} cannot be the folder for artifacts.",
            hint="Name a folder inside of the workspace in edgeloop.toml.",
        )
    return workspace / path


def draft_of(folder: Path, run_id: str) -> Path:
    """Return where the artifacts of a run gather until they are whole."""
    return folder / f".{run_id}.new"


def publish_artifacts(
    folder: Path, run_id: str, fetch: Callable[[Path], None], provenance: Mapping[str, Any]
) -> tuple[Path, ...]:
    """Let `fetch` fill a draft, add `run.json` with the provenance, and make it `<folder>/<run_id>`.

    Returns the files, without `run.json`. Git ignores a folder that is made here: artifacts are no part of the next snapshot.
    Raises `ConflictError` when the run has artifacts already.
    """
    target, draft = folder / run_id, draft_of(folder, run_id)
    if os.path.lexists(target):
        raise ConflictError(f"{target} exists already.", hint="Move it away, then train again.")
    if not folder.exists():
        folder.mkdir(parents=True)
        (folder / ".gitignore").write_text("*\n")
    draft.mkdir()
    try:
        fetch(draft)
        files = _files(draft)
        _add_provenance(draft, provenance)
        draft.rename(target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return tuple(target / name for name in files)


def point_latest_at(folder: Path, run_id: str) -> None:
    """Make `<folder>/latest` a link to the run's artifacts, with no moment at which there is none.

    Raises `ConflictError` when something else has that name.
    """
    latest, draft = folder / LATEST, folder / f".{run_id}.{LATEST}"
    if latest.exists() and not latest.is_symlink():
        raise ConflictError(f"{latest} is not a link that edgeloop made, so it still stands for something else.")
    draft.unlink(missing_ok=True)
    draft.symlink_to(run_id)
    draft.replace(latest)


def _add_provenance(draft: Path, provenance: Mapping[str, Any]) -> None:
    path = draft / PROVENANCE
    if os.path.lexists(path):
        raise ConflictError(
            f"The training wrote an artifact named {PROVENANCE}, where edgeloop records where artifacts come from.",
            hint="Let it write the file under another name.",
        )
    path.write_text(json.dumps(provenance, indent=2, ensure_ascii=False) + "\n")


def _files(root: Path) -> list[str]:
    found = []
    for parent, folders, files in os.walk(root):
        links = [name for name in folders if Path(parent, name).is_symlink()]
        found += [Path(parent, name).relative_to(root).as_posix() for name in files + links]
    return sorted(found)
