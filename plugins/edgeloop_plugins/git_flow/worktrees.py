"""Worktrees: a commit laid out in a folder of its own, so that a run and the user's editing do not meet."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from edgeloop_plugins.git_flow.repository import Repository, is_commit_id, run_git
from edgeloop_shared.errors import InvalidInputError, SourceControlError


def checkout(workspace: Path, commit: str, folder: Path) -> Path:
    """Lay a detached worktree of `commit` at `folder`, which must not exist or be empty.

    Returns the folder in it that corresponds to the workspace: `folder` itself unless the workspace is a subfolder of its
    repository. Submodules that are checked out in the workspace are laid out too, from their repositories on this computer.
    Raises `SourceControlError` when Git fails or the commit does not hold the workspace.
    """
    if not is_commit_id(commit):
        raise InvalidInputError(f"{commit!r} is not a commit's id.", hint="Give the whole id, 40 or 64 digits.")
    repository = Repository.open(workspace)
    folder = folder.absolute()
    _lay(repository, commit, folder)
    present = folder / repository.folder.relative_to(repository.root)
    if not present.is_dir():
        discard(workspace, folder)
        raise SourceControlError(
            f"The commit {commit[:12]} does not hold the workspace {workspace}.",
            hint=f"Is it ignored by the repository {repository.root}? `git init` in the workspace gives it one of its own.",
        )
    return present


def discard(workspace: Path, folder: Path) -> None:
    """Remove a worktree and all that lies in it, changes included; one that is gone or was never finished is no error."""
    _remove(Repository.open(workspace), folder.absolute())


def _lay(repository: Repository, commit: str, folder: Path) -> None:
    with repository.lock():
        repository.write(f"lay out {commit[:12]}", "worktree", "add", "--force", "--detach", "--", str(folder), commit)
    for path, linked in _submodules(repository, commit):
        if os.path.lexists(repository.root / path / ".git"):
            _lay(Repository.open(repository.root / path), linked, folder / path)


def _remove(repository: Repository, folder: Path) -> None:
    if os.path.lexists(folder / ".git"):
        head = run_git(["rev-parse", "--verify", "--quiet", "HEAD^{commit}"], folder=folder)
        for path, _ in _submodules(repository, head.text) if head.status == 0 else ():
            if os.path.lexists(folder / path / ".git") and os.path.lexists(repository.root / path / ".git"):
                _remove(Repository.open(repository.root / path), folder / path)
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise SourceControlError(
            f"The worktree {folder} cannot be removed: {error.strerror}: {error.filename}.",
            hint="Remove the folder by hand, then run `git worktree prune` in the workspace.",
        ) from error
    with repository.lock():
        # Twice: even a worktree that its creation left locked. It fails for a folder that is no worktree: nothing to do.
        run_git(["worktree", "remove", "--force", "--force", "--", str(folder)], folder=repository.root)


def _submodules(repository: Repository, commit: str) -> Iterator[tuple[Path, str]]:
    """Yield the path and the commit of every submodule that `commit` records."""
    listing = repository.read("ls-tree", "-r", "-z", "--full-tree", commit).output
    for entry in listing.split(b"\0")[:-1]:
        facts, _, name = entry.partition(b"\t")
        mode, *_, linked = facts.split(b" ")
        if mode == b"160000":
            yield Path(os.fsdecode(name)), linked.decode("ascii")
