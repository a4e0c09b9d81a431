"""Workspaces are opened, created from templates, trusted and closed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from edgeloop_daemon.plugins import load_plugins
from edgeloop_daemon.store.database import Database
from edgeloop_daemon.workspaces.settings import load_settings
from edgeloop_daemon.workspaces.workspaces import Workspaces
from edgeloop_shared.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    NotTrustedError,
    PluginError,
    SettingsError,
    SourceControlError,
)


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.hook("edgeloop_project_templates")
async def test_a_template_becomes_a_trusted_workspace_in_a_repository(workspaces: Workspaces, tmp_path: Path) -> None:
    folder = tmp_path / "far" / "away" / "my shapes"
    workspace = await workspaces.create(folder, "shapes")

    assert (workspace.name, workspace.path, workspace.is_trusted) == ("my shapes", str(folder), True)
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and ".git/" not in str(path)}
    assert files == {"edgeloop.toml", ".gitignore", "train.py", "models/readme"}
    assert (await asyncio.to_thread(load_settings, folder)).name == "my shapes"
    assert (folder / "train.py").read_text() == "print('@NAME@')\n"
    assert _git(folder, "rev-parse", "--show-toplevel") == str(folder)
    assert _git(folder, "status", "--porcelain") == ""
    assert await workspaces.listed() == (workspace,)


@pytest.mark.parametrize("name", ['say "hi"', "back\\slash", "ünïcode 🙂", "'single'"])
async def test_any_printable_name_survives_the_settings_file(workspaces: Workspaces, tmp_path: Path, name: str) -> None:
    workspace = await workspaces.create(tmp_path / "new", "shapes", name=name)

    assert workspace.name == name
    assert (await asyncio.to_thread(load_settings, tmp_path / "new")).name == name


@pytest.mark.parametrize("name", ["", "two\nlines", "tab\t", "x" * 101, "\x7f"])
async def test_a_name_that_cannot_be_shown_is_refused(workspaces: Workspaces, tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInputError, match="name"):
        await workspaces.create(tmp_path / "new", "shapes", name=name)
    assert not (tmp_path / "new").exists()


async def test_a_new_workspace_inside_of_a_repository_gets_one_of_its_own(workspaces: Workspaces, cloned: Path) -> None:
    await workspaces.create(cloned / "inner", "shapes")

    assert _git(cloned / "inner", "rev-parse", "--show-toplevel") == str(cloned / "inner")


async def test_an_unknown_template_is_told_which_there_are(workspaces: Workspaces, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="There are: shapes, bare"):
        await workspaces.create(tmp_path / "new", "circles")


async def test_missing_distributions_are_named_before_anything_is_created(
    workspaces: Workspaces, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await workspaces.create(tmp_path / "new", "hungry")

    assert caught.value.details["missing"] == ["no-such-thing", "nor-this"]
    assert f"{sys.executable} -m pip install no-such-thing nor-this" in caught.value.hint
    assert not (tmp_path / "new").exists()


async def test_a_folder_that_is_not_empty_is_refused(workspaces: Workspaces, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "train.py").write_text("mine")
    with pytest.raises(ConflictError, match="not empty"):
        await workspaces.create(tmp_path / "full", "shapes")

    assert [path.name for path in (tmp_path / "full").iterdir()] == ["train.py"]


async def test_an_empty_folder_will_do(workspaces: Workspaces, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    assert (await workspaces.create(tmp_path / "empty", "shapes")).name == "empty"


async def test_a_template_that_adds_to_folders_overwrites_nothing(workspaces: Workspaces, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "train.py").write_text("mine")
    (folder / ".gitignore").symlink_to("nowhere")
    _git(folder, "init", "--quiet")
    workspace = await workspaces.create(folder, "bare")

    assert workspace.name == "project"
    assert (folder / "train.py").read_text() == "mine"
    assert (folder / ".gitignore").is_symlink()
    with pytest.raises(ConflictError, match="a workspace already"):
        await workspaces.create(folder, "bare")


@pytest.mark.parametrize(
    ("template", "error"), [("hollow", PluginError), ("lost", PluginError), ("wrong", SettingsError)]
)
async def test_a_creation_that_fails_leaves_nothing_behind(
    workspaces: Workspaces, tmp_path: Path, template: str, error: type[Exception]
) -> None:
    (tmp_path / "project").mkdir()
    for folder in (tmp_path / "new" / "deep", tmp_path / "project"):
        with pytest.raises(error):
            await workspaces.create(folder, template)

    assert not (tmp_path / "new").exists()
    assert list((tmp_path / "project").iterdir()) == []
    assert await workspaces.listed() == ()


async def test_a_place_that_cannot_be_written_is_refused(workspaces: Workspaces, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInputError, match="cannot be created"):
        await workspaces.create(tmp_path / "file" / "new", "shapes")


async def test_a_foreign_folder_is_opened_but_not_trusted(workspaces: Workspaces, cloned: Path) -> None:
    workspace = await workspaces.open(cloned)

    assert (workspace.name, workspace.is_trusted) == ("Cloned", False)
    with pytest.raises(NotTrustedError, match="training is refused") as caught:
        await workspaces.require_trusted(workspace.id, "training")
    assert "edgeloop trust" in caught.value.hint


async def test_trust_is_given_taken_and_kept_over_opening_again(workspaces: Workspaces, cloned: Path) -> None:
    workspace = await workspaces.open(cloned)
    trusted = await workspaces.set_trust(workspace.id, is_trusted=True)
    again = await workspaces.open(cloned)
    allowed = await workspaces.require_trusted(workspace.id, "training")
    taken = await workspaces.set_trust(workspace.id, is_trusted=False)

    assert trusted.is_trusted
    assert again == trusted == allowed
    assert not taken.is_trusted


@pytest.mark.hook("edgeloop_source_control")
async def test_what_a_repository_would_run_is_told_before_it_is_trusted(workspaces: Workspaces, cloned: Path) -> None:
    _git(cloned, "config", "core.fsmonitor", f"touch {cloned / 'ran'}")
    workspace = await workspaces.open(cloned)
    trust = await workspaces.trust(workspace.id)

    assert not trust.is_trusted
    assert len(trust.risks) == 1
    assert "core.fsmonitor" in trust.risks[0]
    assert not (cloned / "ran").exists()


async def test_opening_by_another_path_is_the_same_workspace(
    workspaces: Workspaces, cloned: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(cloned)

    assert (await workspaces.open(tmp_path / "link")).id == (await workspaces.open(cloned)).id


async def test_a_name_that_changed_is_read_again(workspaces: Workspaces, cloned: Path) -> None:
    before = await workspaces.open(cloned)
    (cloned / "edgeloop.toml").write_text('name = "Renamed"\n')
    after = await workspaces.open(cloned)

    assert (before.name, after.name, before.id == after.id) == ("Cloned", "Renamed", True)


async def test_folders_that_are_no_workspace_are_refused(workspaces: Workspaces, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="is no folder"):
        await workspaces.open(tmp_path / "nowhere")
    (tmp_path / "plain").mkdir()
    with pytest.raises(InvalidInputError, match=r"holds no edgeloop\.toml"):
        await workspaces.open(tmp_path / "plain")
    (tmp_path / "plain" / "edgeloop.toml").write_text('name = "x"')
    with pytest.raises(SourceControlError, match="in no repository"):
        await workspaces.open(tmp_path / "plain")


async def test_a_closed_workspace_keeps_its_files_and_its_trust(workspaces: Workspaces, cloned: Path) -> None:
    workspace = await workspaces.open(cloned, trust=True)
    await workspaces.close(workspace.id)
    with pytest.raises(NotFoundError):
        await workspaces.get(workspace.id)
    closed = await workspaces.listed()
    again = await workspaces.open(cloned)

    assert closed == ()
    assert (again.id, again.is_trusted) == (workspace.id, True)
    assert (cloned / "edgeloop.toml").exists()


async def test_the_workspace_of_a_folder_is_the_innermost_above_it(workspaces: Workspaces, cloned: Path) -> None:
    outer = await workspaces.open(cloned)
    inner = await workspaces.create(cloned / "models" / "inner", "shapes")

    assert await workspaces.find(cloned / "models") == outer
    assert await workspaces.find(cloned / "models" / "inner" / "deep") == inner
    assert await workspaces.find(cloned.parent) is None


async def test_a_workspace_whose_folder_is_gone_runs_nothing(
    workspaces: Workspaces, cloned: Path, tmp_path: Path
) -> None:
    workspace = await workspaces.open(cloned, trust=True)
    cloned.rename(tmp_path / "elsewhere")
    with pytest.raises(NotFoundError, match="does not exist any more"):
        await workspaces.require_trusted(workspace.id, "training")


async def test_without_source_control_the_error_names_the_plugin_that_failed(database: Database, cloned: Path) -> None:
    plugins = await asyncio.to_thread(load_plugins, [EntryPoint("git_flow", "no_such_module", "edgeloop")])
    with pytest.raises(PluginError, match=r"git_flow.*No module named"):
        await Workspaces(database, plugins).open(cloned)
