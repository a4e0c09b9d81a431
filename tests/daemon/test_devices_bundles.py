"""Which files of a workspace travel with a script, and how often they are read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgeloop_daemon.devices.bundles import BundleCollector, RunWorkspace, missing_file_hint
from edgeloop_daemon.store.blobs import BlobStore
from edgeloop_shared.errors import BundleError, InvalidInputError, NotFoundError, TaskFailedError


class Workspace:
    """A workspace on disk and a collector for it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "work"
        self.blobs = BlobStore(folder / "blobs")
        (folder / "blobs").mkdir()
        self.collector = BundleCollector(self.blobs)
        self.write("task.py")

    def write(self, path: str, content: str = "x") -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
        return target

    async def paths(
        self, *arguments: str, script: str = "task.py", settings: tuple[str, ...] = (), include: tuple[str, ...] = ()
    ) -> list[str]:
        workspace = RunWorkspace("w1", self.root, settings)
        bundle = await self.collector.collect(workspace, script, arguments, include)
        return [file.path for file in bundle.files]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


async def test_the_script_and_all_python_files_travel(workspace: Workspace) -> None:
    for path in ("helpers.py", "package/module.py", "notes.txt", "package/data.bin"):
        workspace.write(path)
    assert await workspace.paths() == ["helpers.py", "package/module.py", "task.py"]


async def test_the_record_of_a_conversion_travels_with_its_model(workspace: Workspace) -> None:
    for path in ("a.mnn", "a.mnn.nodes.json", "b.mnn", "c.mnn.nodes.json"):
        workspace.write(path)
    assert await workspace.paths("a.mnn", "b.mnn") == ["a.mnn", "a.mnn.nodes.json", "b.mnn", "task.py"]


async def test_hidden_folders_caches_and_environments_stay_here(workspace: Workspace) -> None:
    for path in (".git/hook.py", ".venv/a.py", "__pycache__/b.py", "deep/.cache/c.py", ".hidden.py"):
        workspace.write(path)
    assert await workspace.paths(include=("**/*.py",)) == ["task.py"]
    workspace.write("env/lib/d.py")
    workspace.write("env/pyvenv.cfg")
    assert await workspace.paths() == ["task.py"]


async def test_globs_of_the_settings_travel_and_may_name_nothing(workspace: Workspace) -> None:
    workspace.write("models/a.mnn")
    workspace.write("models/b.txt")
    assert await workspace.paths(settings=("models/*.mnn", "data/*")) == ["models/a.mnn", "task.py"]


async def test_a_folder_travels_with_all_that_is_in_it(workspace: Workspace) -> None:
    for path in ("data/a.npy", "data/deep/b.npy", "data/.secret"):
        workspace.write(path)
    for pattern in ("data", "data/", "data/**"):
        assert await workspace.paths(include=(pattern,)) == ["data/a.npy", "data/deep/b.npy", "task.py"]


async def test_a_hidden_file_travels_when_it_is_named(workspace: Workspace) -> None:
    workspace.write("data/.labels")
    assert await workspace.paths(include=("data/.labels",)) == ["data/.labels", "task.py"]


async def test_an_include_on_the_command_line_that_names_nothing_is_refused(workspace: Workspace) -> None:
    with pytest.raises(InvalidInputError, match=r"model\.mn"):
        await workspace.paths(include=("model.mn",))


@pytest.mark.parametrize("pattern", ["../secret", "/etc/passwd", "a/../../b", "..", "a\\b", ""])
async def test_an_include_that_looks_outside_is_refused(workspace: Workspace, pattern: str) -> None:
    with pytest.raises(InvalidInputError):
        await workspace.paths(include=(pattern,))


async def test_arguments_that_name_files_travel(workspace: Workspace) -> None:
    for path in ("model.mnn", "data/a.npy", "labels.txt"):
        workspace.write(path)
    found = await workspace.paths("model.mnn", "--data", "data/a.npy", "--labels=labels.txt", "nothing", "-", "")
    assert found == ["data/a.npy", "labels.txt", "model.mnn", "task.py"]


async def test_an_absolute_argument_is_given_to_the_script_as_the_device_has_it(workspace: Workspace) -> None:
    model = workspace.write("model.mnn")
    outside = workspace.root.parent / "outside.txt"
    outside.touch()
    arguments = (str(model), f"--model={model}", str(outside), "x" * 5000, "a\0b")
    bundle = await workspace.collector.collect(RunWorkspace("w1", workspace.root), "task.py", arguments, ())
    assert bundle.arguments == ("model.mnn", "--model=model.mnn", str(outside), "x" * 5000, "a\0b")
    assert [file.path for file in bundle.files] == ["model.mnn", "task.py"]


@pytest.mark.parametrize("script", ["../task.py", "/etc/passwd", "a/../../task.py"])
async def test_a_script_outside_the_workspace_is_refused(workspace: Workspace, script: str) -> None:
    with pytest.raises(BundleError) as raised:
        await workspace.paths(script=script)
    assert raised.value.details["path"] == script


@pytest.mark.parametrize("script", ["missing.py", ".", ""])
async def test_a_script_that_is_not_there_is_named(workspace: Workspace, script: str) -> None:
    with pytest.raises((NotFoundError, BundleError)):
        await workspace.paths(script=script)


async def test_a_link_inside_the_workspace_travels_as_what_it_names(workspace: Workspace) -> None:
    workspace.write("models/v2.mnn", "weights")
    (workspace.root / "latest.mnn").symlink_to("models/v2.mnn")
    bundle = await workspace.collector.collect(RunWorkspace("w1", workspace.root), "task.py", ("latest.mnn",), ())
    (file,) = (file for file in bundle.files if file.path == "latest.mnn")
    assert workspace.blobs.path(file.sha256).read_text() == "weights"


@pytest.mark.parametrize("way", ["argument", "include", "python", "folder"])
async def test_a_link_that_leaves_the_workspace_is_refused(workspace: Workspace, way: str) -> None:
    secret = workspace.root.parent / "secrets"
    secret.mkdir()
    (secret / "key.py").write_text("secret")
    name = "linked" if way == "folder" else "linked.py"
    (workspace.root / name).symlink_to(secret if way == "folder" else secret / "key.py")
    with pytest.raises(BundleError) as raised:
        await workspace.paths(
            *(("linked.py",) if way == "argument" else ()),
            include={"include": ("linked.py",), "folder": ("linked/*",)}.get(way, ()),
        )
    assert raised.value.details["path"].startswith("linked")
    assert not any(path.is_file() and path.read_bytes() == b"secret" for path in (secret.parent / "blobs").rglob("*"))


async def test_a_link_that_leads_nowhere_or_into_git_is_refused(workspace: Workspace) -> None:
    workspace.write(".git/config", "token")
    for target in ("missing", ".git/config"):
        link = workspace.root / "link.py"
        link.symlink_to(target)
        with pytest.raises(BundleError, match=r"link\.py"):
            await workspace.paths()
        link.unlink()


async def test_an_unchanged_file_is_not_read_again(workspace: Workspace) -> None:
    model = workspace.write("model.mnn", "first")
    os.utime(model, ns=(10**18, 10**18))
    before = await workspace.collector.collect(RunWorkspace("w1", workspace.root), "task.py", ("model.mnn",), ())
    # The same size, time and inode: only somebody who reads the file again would notice.
    with model.open("r+") as file:
        file.write("other")
    os.utime(model, ns=(10**18, 10**18))
    after = await workspace.collector.collect(RunWorkspace("w1", workspace.root), "task.py", ("model.mnn",), ())
    assert after.blobs == before.blobs


async def test_a_changed_file_travels_as_it_is_now(workspace: Workspace) -> None:
    model = workspace.write("model.mnn", "first")
    for content in ("first", "other", "third"):  # within one tick of a coarse clock
        model.write_text(content)
        bundle = await workspace.collector.collect(RunWorkspace("w1", workspace.root), "task.py", ("model.mnn",), ())
        (file,) = (file for file in bundle.files if file.path == "model.mnn")
        assert workspace.blobs.path(file.sha256).read_text() == content


async def test_the_mode_that_travels_says_only_whether_it_is_executable(workspace: Workspace) -> None:
    workspace.write("tool.py").chmod(0o700)
    bundle = await workspace.collector.collect(RunWorkspace("w1", workspace.root), "task.py", (), ())
    assert {file.path: oct(file.mode) for file in bundle.files} == {"task.py": "0o644", "tool.py": "0o755"}


async def test_names_that_a_phone_would_confuse_are_refused(workspace: Workspace) -> None:
    workspace.write("Data.py")
    workspace.write("data.py")
    if len(list(workspace.root.glob("*ata.py"))) < 2:
        pytest.skip("needs a file system that tells upper from lower case (needs macOS to be skipped)")
    with pytest.raises(BundleError):
        await workspace.paths()


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ("FileNotFoundError: [Errno 2] No such file or directory: 'data/a.npy' (task.py, line 3)", "data/a.npy"),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'data/b.npy'", ""),
        ("FileNotFoundError: '../outside.txt'", ""),
        ("FileNotFoundError: '/etc/passwd'", ""),
        ("ValueError: 'data/a.npy'", ""),
    ],
)
def test_a_file_that_was_left_behind_is_named_in_the_hint(workspace: Workspace, message: str, name: str) -> None:
    workspace.write("data/a.npy")
    (workspace.root.parent / "outside.txt").touch()
    hint = missing_file_hint(TaskFailedError(message), workspace.root)
    assert (name in hint and "[run] include" in hint) if name else hint == ""
