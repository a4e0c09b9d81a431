"""Fixtures of the tests of what a device script imports."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edgeloop_shared.traces import OperatorTable, TraceBatch, unpack_batch
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


@dataclass
class Remembered:
    """A reporter that remembers what it was told."""

    metrics: list[tuple[str, float, int | None]] = field(default_factory=list)
    results: dict[str, Any] = field(default_factory=dict)
    files: list[tuple[Path, str]] = field(default_factory=list)
    tables: list[OperatorTable] = field(default_factory=list)
    batches: list[TraceBatch] = field(default_factory=list)

    def metric(self, name: str, value: float, step: int | None) -> None:
        self.metrics.append((name, value, step))

    def result(self, values: dict[str, Any]) -> None:
        self.results |= values

    def file(self, path: Path, name: str) -> None:
        self.files.append((path, name))

    def operator_table(self, table: OperatorTable) -> None:
        self.tables.append(table)

    def trace_batch(self, data: bytes) -> None:
        self.batches.append(unpack_batch(data))

    def close(self) -> None:
        pass


@pytest.fixture
def reported() -> Iterator[Remembered]:
    """What is reported during the test."""
    before, remembered = reporting.current(), Remembered()
    reporting.use(remembered)
    yield remembered
    reporting.use(before)
