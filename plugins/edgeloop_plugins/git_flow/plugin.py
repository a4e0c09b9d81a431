"""What the Git plugin offers. Light: the daemon loads this module at start, and Git only when a handler runs."""

from __future__ import annotations

from collections.abc import Iterable

from edgeloop import SourceControl, WorkspaceOperation, hookimpl
from edgeloop_plugins.git_flow.parameters import Snapshot, SnapshotParameters

_PACKAGE = "edgeloop_plugins.git_flow"


@hookimpl
def edgeloop_source_control() -> SourceControl:
    """Record workspaces in Git."""
    return SourceControl(
        create=f"{_PACKAGE}.repository:create",
        locate=f"{_PACKAGE}.examination:locate",
        examine=f"{_PACKAGE}.examination:examine",
        snapshot=f"{_PACKAGE}.snapshots:snapshot",
        checkout=f"{_PACKAGE}.worktrees:checkout",
        discard=f"{_PACKAGE}.worktrees:discard",
        forget=f"{_PACKAGE}.snapshots:forget",
    )


@hookimpl
def edgeloop_workspace_operations() -> Iterable[WorkspaceOperation]:
    """Offer what is useful outside of a training too."""
    return [
        WorkspaceOperation(
            group="git",
            name="snapshot",
            summary="Record the working tree, uncommitted changes included, without touching branch or index.",
            parameters=SnapshotParameters,
            result=Snapshot,
            handler=f"{_PACKAGE}.snapshots:take_snapshot",
            runs="query",
        )
    ]
