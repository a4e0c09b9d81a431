"""Fixtures of the tests of what a device script imports."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from companion_app.task_reporter import Remembered

import edgeloop_task
from edgeloop_task import reporting


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small MNN models; see `task_models.py`."""
    folder = tmp_path_factory.mktemp("models")
    maker = Path(__file__).with_name("task_models.py")
    # The converter leaves scratch files in its working folder.
    done = subprocess.run([sys.executable, str(maker), str(folder)], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def reported() -> Iterator[Remembered]:
    """What is reported during the test."""
    before, remembered = reporting.current(), Remembered()
    reporting.use(remembered)
    yield remembered
    reporting.use(before)


@pytest.fixture
def network(models: Path) -> Iterator[edgeloop_task.Model]:
    """A convolution and a pooling."""
    with edgeloop_task.load_model(models / "network.mnn") as model:
        yield model


@pytest.fixture
def planted(models: Path) -> Iterator[edgeloop_task.Model]:
    """A model whose operator `root` makes a NaN."""
    with edgeloop_task.load_model(models / "planted.mnn") as model:
        yield model
