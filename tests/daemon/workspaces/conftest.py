"""What the tests of workspaces share: templates of their own, the real Git plugin, a database."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from blockbuster import BlockBuster, blockbuster_ctx

from edgeloop_daemon.plugins import Plugins, load_plugins
from edgeloop_daemon.store.database import Database, open_database
from edgeloop_daemon.workspaces.workspaces import Workspaces

_PLUGIN = """
from edgeloop import ProjectTemplate, hookimpl

@hookimpl
def edgeloop_project_templates():
    return [
        ProjectTemplate("shapes", "Shapes.", "shapes_templates:shapes", requires=("numpy",)),
        ProjectTemplate("bare", "Settings only.", "shapes_templates:shapes", adds_to_folders=True),
        ProjectTemplate("hungry", "Needs much.", "shapes_templates:shapes", requires=("no-such-thing", "numpy", "nor-this")),
        ProjectTemplate("hollow", "Holds nothing.", "shapes_templates:hollow"),
        ProjectTemplate("lost", "Is nowhere.", "shapes_templates:nowhere"),
        ProjectTemplate("wrong", "Has bad settings.", "shapes_templates:wrong"),
    ]
"""


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plugins:
    package = tmp_path / "packages" / "shapes_templates"
    files = {
        "__init__.py": "",
        "shapes/edgeloop.toml": 'name = "@NAME@"\n',
        "shapes/gitignore": "artifacts/\n",
        "shapes/train.py": "print('@NAME@')\n",
        "shapes/models/readme": "none yet\n",
        "shapes/__pycache__/train.pyc": "",
        "hollow/train.py": "",
        "wrong/edgeloop.toml": "nam = 1",
    }
    for name, text in files.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    (package.parent / "shapes_plugin.py").write_text(_PLUGIN)
    monkeypatch.syspath_prepend(package.parent)
    return load_plugins(
        [
            EntryPoint("shapes", "shapes_plugin", "edgeloop"),
            EntryPoint("git_flow", "edgeloop_plugins.git_flow.plugin", "edgeloop"),
        ]
    )


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(tmp_path / "edgeloop.db") as database:
        yield database


@pytest.fixture
def workspaces(database: Database, plugins: Plugins, monkeypatch: pytest.MonkeyPatch) -> Workspaces:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return Workspaces(database, plugins)


@pytest.fixture
def cloned(tmp_path: Path) -> Path:
    """A folder as somebody else's clone would be: a repository with settings."""
    folder = tmp_path / "cloned"
    folder.mkdir()
    (folder / "edgeloop.toml").write_text('name = "Cloned"\n')
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    return folder


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[BlockBuster]:
    with blockbuster_ctx("edgeloop_daemon") as watchdog:
        yield watchdog
