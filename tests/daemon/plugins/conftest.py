"""What the tests of plugins share: plugins written to a folder that is on the path, for jobs as well."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

NewPlugin = Callable[..., EntryPoint]

HEAD = """
from __future__ import annotations
import enum
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from edgeloop import *
"""


@pytest.fixture
def new_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NewPlugin:
    """Return a function that writes a plugin's module and returns its entry point."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))

    def write(name: str, source: str) -> EntryPoint:
        module = f"{name}_{abs(hash(str(tmp_path)))}"  # modules of earlier tests are still imported
        (folder / f"{module}.py").write_text(HEAD + textwrap.dedent(source).replace("MODULE", module))
        return EntryPoint(name, module, "edgeloop")

    return write
