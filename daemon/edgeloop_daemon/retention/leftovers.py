"""What a training leaves in its workspace: its snapshot and, when its process was killed, worktree and half an artifact."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from edgeloop_daemon.jobs.artifacts import artifacts_folder, draft_of
from edgeloop_daemon.jobs.job_folder import JobFolder
from edgeloop_daemon.jobs.training import tree_of
from edgeloop_daemon.plugins import Plugins
from edgeloop_daemon.workspaces.workspaces import Workspaces
from edgeloop_shared.errors import EdgeloopError


class TrainingLeftovers:
    """Removes them. Git runs for that, so a workspace that is closed or not trusted keeps them: `NotTrustedError` and such."""

    def __init__(self, jobs: Path, plugins: Plugins, workspaces: Workspaces) -> None:
        self._jobs = jobs
        self._plugins = plugins
        self._workspaces = workspaces

    async def remove_worktree(self, workspace: str, job: str) -> None:
        """Remove the worktree and the half-fetched artifacts of a training that has ended without doing so."""
        folder = JobFolder(self._jobs / job)
        place = await self._workspaces.require_trusted(workspace, "removing a worktree")
        plugin, control = self._plugins.source_control()
        await self._plugins.query(plugin, control.discard, place.folder, tree_of(folder.files))
        await asyncio.to_thread(_remove_draft, place.folder, folder)

    async def forget_snapshot(self, workspace: str, job: str) -> None:
        """Let go of the commit that a training ran."""
        place = await self._workspaces.require_trusted(workspace, "removing a snapshot")
        plugin, control = self._plugins.source_control()
        if control.forget:
            await self._plugins.query(plugin, control.forget, place.folder, job)


def _remove_draft(workspace: Path, folder: JobFolder) -> None:
    try:
        spec = folder.spec()
        artifacts = artifacts_folder(workspace, str(spec.parameters["artifacts"]))
    except (OSError, ValueError, TypeError, KeyError, EdgeloopError):  # then nobody knows where it would lie
        return
    shutil.rmtree(draft_of(artifacts, spec.job), ignore_errors=True)
