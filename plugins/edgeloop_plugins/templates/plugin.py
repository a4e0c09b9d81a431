"""Declares the project templates. The folders beside this module hold what `edgeloop init` copies."""

from __future__ import annotations

from edgeloop import ProjectTemplate, hookimpl

_FOLDERS = "edgeloop_plugins.templates"


@hookimpl
def edgeloop_project_templates() -> list[ProjectTemplate]:
    """Return the built-in templates."""
    return [
        ProjectTemplate(
            name="digits-mnn",
            summary="Handwritten digits: a convolutional network trained with MNN itself on real data, in seconds.",
            folder=f"{_FOLDERS}:digits_mnn",
            requires=("MNN", "numpy", "scikit-learn"),
        ),
        ProjectTemplate(
            name="empty",
            summary="Settings and one small device script to begin with.",
            folder=f"{_FOLDERS}:empty",
            requires=("numpy",),
            adds_to_folders=True,
        ),
    ]
