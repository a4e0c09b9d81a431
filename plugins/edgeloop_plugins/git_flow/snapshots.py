"""Snapshots: the exact state of the working tree as a commit, without touching branch, index or files."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from edgeloop_plugins.git_flow.parameters import Snapshot, SnapshotParameters
from edgeloop_plugins.git_flow.repository import Repository
from edgeloop_shared.errors import InvalidInputError

QUERY_SECONDS = 8.0  # of the ten that a query has
_RUN_ID = re.compile(r"\A[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.)){0,99}\Z")


def snapshot(workspace: Path, run_id: str) -> str:
    """Record the working tree as a commit under `refs/edgeloop/runs/<run_id>` and return the commit's id.

    The commit holds the whole working tree of the workspace's repository: changes and untracked files are in, ignored files are
    not. Its parent is HEAD where there is a commit. Submodules are recorded at the commit that they have checked out.
    Raises `SourceControlError` when Git fails or the run has a snapshot already, and `InvalidInputError` for a run id that cannot
    be part of a reference's name.
    """
    if _RUN_ID.match(run_id) is None or run_id.endswith((".", ".lock")):
        raise InvalidInputError(
            f"{run_id!r} cannot be the id of a run.", hint="Use letters, digits, '-', '_' and single dots."
        )
    repository = Repository.open(workspace)
    with repository.lock():
        commit = _commit_working_tree(repository, f"edgeloop run {run_id}")
        _keep(repository, f"refs/edgeloop/runs/{run_id}", commit)
    return commit


def forget(workspace: Path, run_id: str) -> None:
    """Remove the reference that `snapshot` made for a run; the commit goes with Git's next cleaning if nothing else holds it."""
    repository = Repository.open(workspace, timeout=QUERY_SECONDS)
    with repository.lock():
        repository.write(f"forget the run {run_id}", "update-ref", "-d", "--", f"refs/edgeloop/runs/{run_id}")


def take_snapshot(parameters: SnapshotParameters, workspace: Path) -> Snapshot:
    """Record the working tree as `snapshot` does, under a reference named after the commit itself."""
    repository = Repository.open(workspace, timeout=QUERY_SECONDS)
    with repository.lock():
        commit = _commit_working_tree(repository, parameters.message)
        ref = f"refs/edgeloop/snapshots/{commit}"
        if repository.read("rev-parse", "--verify", "--quiet", ref).status != 0:  # the same state in the same second
            _keep(repository, ref, commit)
    return Snapshot(commit, ref)


def _keep(repository: Repository, ref: str, commit: str) -> None:
    # The empty old value makes Git refuse to replace a reference that exists.
    repository.write(f"record {ref}", "update-ref", "--", ref, commit, "")


def _commit_working_tree(repository: Repository, message: str) -> str:
    with tempfile.TemporaryDirectory(prefix="edgeloop-snapshot-") as folder:
        index = Path(folder, "index")
        own = {"GIT_INDEX_FILE": str(index)}
        if (repository.git_folder / "index").exists():
            # Starting from the present index, Git need not read files again that did not change. The copy keeps the
            # modification time, by which Git tells that a file may have changed after the index was written.
            shutil.copy2(repository.git_folder / "index", index)
        repository.write("add the files", "add", "--all", environment=own)
        tree = repository.write("write the tree", "write-tree", environment=own)
    head = repository.read("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    parent = ["-p", head.text] if head.status == 0 else []
    return repository.write(
        "write the commit", "commit-tree", *parent, "-m", message, tree, environment=repository.identity()
    )
