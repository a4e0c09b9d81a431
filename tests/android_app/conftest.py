"""The app as it is staged, once for all tests here."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from android_app.staging import load_stage

Sources = dict[Path, ast.Module]


@pytest.fixture(scope="session")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that buildozer would run in, without MNN."""
    folder: Path = tmp_path_factory.mktemp("android") / "staged"
    load_stage().stage(folder, None)
    return folder


@pytest.fixture(scope="session")
def sources(staged: Path) -> Sources:
    """Every Python file of the app, by its path there."""
    app = staged / "app"
    return {path.relative_to(app): ast.parse(path.read_text()) for path in sorted(app.rglob("*.py"))}
