"""Models with planted faults in a workspace, and the search as a job would run it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeloop.testing import RecordingContext, call_handler
from edgeloop_plugins.divergence.results import DivergeResult
from edgeloop_plugins.model_tools.plugin import edgeloop_model_tools

Diverge = Callable[..., DivergeResult]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("diverging")
    command = [sys.executable, str(Path(__file__).with_name("divergence_models.py")), str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return folder


@pytest.fixture
def context(tmp_path: Path, models: Path) -> RecordingContext:
    workspace, folder = tmp_path / "workspace", tmp_path / "job"
    shutil.copytree(models, workspace)
    return RecordingContext(workspace, folder)


@pytest.fixture
def diverge(context: RecordingContext) -> Diverge:
    """Return `diverge(model, **parameters) -> result`."""
    tool = next(one for one in edgeloop_model_tools() if one.name == "diverge")

    def call(model: str, **parameters: Any) -> DivergeResult:
        result: DivergeResult = call_handler(tool, context, model=model, **parameters)
        assert max(map(len, result.report.splitlines())) <= 80
        return result

    return call
