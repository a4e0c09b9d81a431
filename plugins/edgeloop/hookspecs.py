"""The hooks. A plugin implements any of them with `@edgeloop.hookimpl` in the module that its entry point names."""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from edgeloop.declarations import ModelTool, ProjectTemplate, SourceControl, TrainingBackend, WorkspaceOperation

PROJECT = "edgeloop"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def edgeloop_model_tools() -> Iterable[ModelTool]:  # type: ignore[empty-body]
    """Return the model tools that this plugin offers."""


@hookspec
def edgeloop_training_backends() -> Iterable[TrainingBackend]:  # type: ignore[empty-body]
    """Return the places where this plugin can run a training."""


@hookspec
def edgeloop_project_templates() -> Iterable[ProjectTemplate]:  # type: ignore[empty-body]
    """Return the project templates that `edgeloop init` may copy."""


@hookspec
def edgeloop_workspace_operations() -> Iterable[WorkspaceOperation]:  # type: ignore[empty-body]
    """Return the operations on a workspace that this plugin offers."""


@hookspec(firstresult=True)
def edgeloop_source_control() -> SourceControl | None:
    """Return how a workspace's state is recorded, or None to leave it to another plugin."""
