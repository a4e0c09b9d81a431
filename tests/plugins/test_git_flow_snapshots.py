"""Snapshots and worktrees of real repositories, however odd."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeloop_plugins.git_flow.parameters import SnapshotParameters
from edgeloop_plugins.git_flow.repository import Repository, create, run_git
from edgeloop_plugins.git_flow.snapshots import snapshot, take_snapshot
from edgeloop_plugins.git_flow.worktrees import checkout, discard
from edgeloop_shared.errors import InvalidInputError, SourceControlError

RunGit = Callable[..., str]


@pytest.fixture
def workspace(git: RunGit, tmp_path: Path) -> Path:
    """A repository with a commit, an unstaged change, a staged change, an untracked and an ignored file."""
    folder = tmp_path / "workspace"
    folder.mkdir()
    for name in ("unstaged", "staged", "removed"):
        (folder / name).write_text("old\n")
    (folder / ".gitignore").write_text("ignored\n")
    create(folder)
    (folder / "unstaged").write_text("new\n")
    (folder / "staged").write_text("new\n")
    git(folder, "add", "staged")
    (folder / "removed").unlink()
    (folder / "untracked").write_text("new\n")
    (folder / "ignored").write_text("secret\n")
    return folder


def state(git: RunGit, folder: Path) -> tuple[object, ...]:
    """All that a snapshot must not touch."""
    index = folder / ".git" / "index"
    return (
        (folder / ".git" / "HEAD").read_bytes(),
        git(folder, "branch", "--all", "--verbose"),
        index.read_bytes() if index.exists() else None,
        git(folder, "--no-optional-locks", "status", "--porcelain=v2", "-z"),
        git(folder, "stash", "list"),
    )


def files(git: RunGit, folder: Path, commit: str) -> dict[str, str]:
    names = git(folder, "ls-tree", "-r", "-z", "--name-only", "--full-tree", commit).split("\0")[:-1]
    return {name: git(folder, "cat-file", "blob", f"{commit}:{name}") for name in names}


def test_a_new_folder_becomes_a_repository_on_main_with_one_commit(git: RunGit, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("print()\n")
    shutil.rmtree(tmp_path / "home")
    create(tmp_path)
    assert git(tmp_path, "log", "--format=%D", "--all") == "HEAD -> main\n"
    assert git(tmp_path, "status", "--porcelain") == ""
    assert files(git, tmp_path, "HEAD") == {"train.py": "print()\n"}


def test_a_folder_inside_of_another_repository_gets_one_of_its_own(git: RunGit, workspace: Path) -> None:
    inner = workspace / "ignored-project"
    inner.mkdir()
    create(inner)
    assert git(inner, "rev-parse", "--show-toplevel") == f"{inner}\n"


def test_an_existing_repository_stays_as_it_is(git: RunGit, workspace: Path) -> None:
    before = state(git, workspace)
    create(workspace)
    assert state(git, workspace) == before


def test_without_an_identity_commits_are_written_as_edgeloop(git: RunGit, tmp_path: Path) -> None:
    (tmp_path / "home" / ".gitconfig").write_text("")
    folder = tmp_path / "new"
    folder.mkdir()
    create(folder)
    commit = snapshot(folder, "r1")
    for name in ("HEAD", commit):
        assert git(folder, "log", "-1", "--format=%an <%ae> %cn", name) == "edgeloop <edgeloop@localhost> edgeloop\n"


def test_with_an_identity_commits_are_the_users(git: RunGit, workspace: Path) -> None:
    commit = snapshot(workspace, "r1")
    assert git(workspace, "log", "-1", "--format=%an %ce", commit) == "Ada ada@example.org\n"


def test_a_snapshot_holds_the_working_tree_and_touches_nothing(git: RunGit, workspace: Path) -> None:
    before = state(git, workspace)
    commit = snapshot(workspace, "r1")
    assert state(git, workspace) == before
    assert files(git, workspace, commit) == {
        ".gitignore": "ignored\n",
        "staged": "new\n",
        "unstaged": "new\n",
        "untracked": "new\n",
    }
    assert (
        git(workspace, "rev-parse", "refs/edgeloop/runs/r1", f"{commit}^")
        == f"{commit}\n{git(workspace, 'rev-parse', 'HEAD')}"
    )


def test_an_edit_of_the_same_size_at_the_same_time_is_in_the_snapshot(git: RunGit, workspace: Path) -> None:
    # Such an entry is racy: only because the index is as old as the file does Git look at the contents.
    moment = 1_700_000_000_123_456_789
    path = workspace / "raced"
    path.write_text("aaa")
    os.utime(path, ns=(moment, moment))
    git(workspace, "config", "core.trustctime", "false")
    git(workspace, "add", "raced")
    path.write_text("bbb")
    os.utime(path, ns=(moment, moment))
    os.utime(workspace / ".git" / "index", ns=(moment, moment))
    assert files(git, workspace, snapshot(workspace, "r1"))["raced"] == "bbb"


def test_an_empty_repository_gives_a_commit_without_a_parent(git: RunGit, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    git(folder, "init", "--quiet")
    first = snapshot(folder, "r1")
    (folder / "file").write_text("1")
    second = snapshot(folder, "r2")
    assert git(folder, "log", "--format=%P", first) == "\n"
    assert (files(git, folder, first), files(git, folder, second)) == ({}, {"file": "1"})
    assert git(folder, "status", "--porcelain") == "?? file\n"


def test_a_detached_head_stays_detached(git: RunGit, workspace: Path) -> None:
    git(workspace, "checkout", "--quiet", "--detach")
    before = state(git, workspace)
    commit = snapshot(workspace, "r1")
    assert state(git, workspace) == before
    assert git(workspace, "rev-parse", f"{commit}^") == git(workspace, "rev-parse", "HEAD")


def test_odd_file_names_are_kept(git: RunGit, workspace: Path, tmp_path: Path) -> None:
    names = [b"two words", b"new\nline", b"-option", b":(glob)*", b"caf\xc3\xa9", b'"quote"\t']
    if sys.platform != "darwin":  # whose file systems take Unicode only
        names.append(b"latin-\xe9")
    for name in names:
        (workspace / os.fsdecode(name)).write_bytes(name)
    commit = snapshot(workspace, "r1")
    tree = checkout(workspace, commit, tmp_path / "tree")
    assert {name: (tree / os.fsdecode(name)).read_bytes() for name in names} == {name: name for name in names}


def test_an_unfinished_merge_is_recorded_as_it_lies_there(git: RunGit, workspace: Path) -> None:
    git(workspace, "stash", "--quiet")
    git(workspace, "checkout", "--quiet", "-b", "other")
    (workspace / "staged").write_text("theirs\n")
    git(workspace, "commit", "--quiet", "-am", "theirs")
    git(workspace, "checkout", "--quiet", "main")
    (workspace / "staged").write_text("ours\n")
    git(workspace, "commit", "--quiet", "-am", "ours")
    subprocess.run(["git", "merge", "other"], cwd=workspace, capture_output=True, check=False)
    before = state(git, workspace)
    commit = snapshot(workspace, "r1")
    assert state(git, workspace) == before
    assert "<<<<<<<" in files(git, workspace, commit)["staged"]


def test_a_workspace_may_be_a_part_of_a_repository(git: RunGit, workspace: Path, tmp_path: Path) -> None:
    part = workspace / "parts" / "one"
    part.mkdir(parents=True)
    (part / "train.py").write_text("print()\n")
    commit = snapshot(part, "r1")
    present = checkout(part, commit, tmp_path / "tree")
    assert present == tmp_path / "tree" / "parts" / "one"
    assert (present / "train.py").read_text() == "print()\n"
    assert (tmp_path / "tree" / "untracked").read_text() == "new\n"


def test_a_workspace_that_its_repository_ignores_is_named(git: RunGit, workspace: Path, tmp_path: Path) -> None:
    part = workspace / "part"
    part.mkdir()
    (part / "train.py").write_text("print()\n")
    (workspace / ".gitignore").write_text("part\n")
    commit = snapshot(part, "r1")
    with pytest.raises(SourceControlError, match="does not hold the workspace"):
        checkout(part, commit, tmp_path / "tree")
    assert not (tmp_path / "tree").exists()


def test_a_linked_worktree_is_a_workspace_too(git: RunGit, workspace: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    git(workspace, "worktree", "add", "--quiet", str(linked))
    (linked / "only here").write_text("1")
    commit = snapshot(linked, "r1")
    assert "only here" in files(git, workspace, commit)
    assert git(linked, "status", "--porcelain") == "?? 'only here'\n".replace("'", '"')


def test_hooks_monitors_and_signing_do_not_run(git: RunGit, workspace: Path, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/it-ran\nexit 1\n")
    program.chmod(0o755)
    hooks = tmp_path / "hooks"
    for folder in (hooks, workspace / ".git" / "hooks"):
        folder.mkdir(exist_ok=True)
        for hook in ("post-checkout", "reference-transaction", "post-index-change", "pre-commit"):
            shutil.copy(program, folder / hook)
    git(workspace, "config", "core.fsmonitor", str(program))
    git(workspace, "config", "gpg.program", str(program))
    git(workspace, "config", "commit.gpgSign", "true")
    for path in (None, str(hooks)):
        if path:
            git(workspace, "config", "core.hooksPath", path)
        commit = snapshot(workspace, f"r{bool(path):d}")
        checkout(workspace, commit, tmp_path / "tree")
        discard(workspace, tmp_path / "tree")
    assert not (tmp_path / "it-ran").exists()
    subprocess.run(["git", "status"], cwd=workspace, capture_output=True, check=False)
    assert (tmp_path / "it-ran").exists(), "the trap does not work, so the test proves nothing"


def test_submodules_are_recorded_and_laid_out_without_a_network(git: RunGit, workspace: Path, tmp_path: Path) -> None:
    inner, library = tmp_path / "inner", tmp_path / "library"
    for folder, name in ((inner, "deep.py"), (library, "lib.py")):
        folder.mkdir()
        (folder / name).write_text("1")
        create(folder)
    allow = ("-c", "protocol.file.allow=always")
    git(library, *allow, "submodule", "--quiet", "add", str(inner), "inner")
    git(library, "commit", "--quiet", "-m", "inner")
    git(workspace, *allow, "submodule", "--quiet", "add", str(library), "lib dir")
    git(workspace, *allow, "submodule", "--quiet", "update", "--init", "--recursive")
    shutil.rmtree(inner)
    shutil.rmtree(library)
    commit = snapshot(workspace, "r1")
    tree = checkout(workspace, commit, tmp_path / "tree")
    assert (tree / "lib dir" / "lib.py").read_text() == "1"
    assert (tree / "lib dir" / "inner" / "deep.py").read_text() == "1"
    discard(workspace, tree)
    assert not tree.exists()
    for folder in (workspace, workspace / "lib dir", workspace / "lib dir" / "inner"):
        assert git(folder, "worktree", "list").count("\n") == 1


def test_a_worktree_is_detached_and_discarded_with_its_changes(git: RunGit, workspace: Path, tmp_path: Path) -> None:
    before = state(git, workspace)
    commit = snapshot(workspace, "r1")
    tree = tmp_path / "a folder" / "tree"
    assert checkout(workspace, commit, tree) == tree
    assert git(tree, "status", "--porcelain=v2", "--branch").splitlines() == [
        f"# branch.oid {commit}",
        "# branch.head (detached)",
    ]
    (tree / "staged").write_text("changed in the run")
    (tree / "output").write_text("written by the run")
    discard(workspace, tree)
    assert not tree.exists()
    assert git(workspace, "worktree", "list").count("\n") == 1
    assert state(git, workspace) == before


def test_discarding_what_is_gone_or_no_worktree_is_no_error(git: RunGit, workspace: Path, tmp_path: Path) -> None:
    tree = checkout(workspace, snapshot(workspace, "r1"), tmp_path / "tree")
    shutil.rmtree(tree)
    discard(workspace, tree)
    discard(workspace, tree)
    (tree / "half").mkdir(parents=True)
    discard(workspace, tree)
    assert not tree.exists()
    assert git(workspace, "worktree", "list").count("\n") == 1


def test_a_run_has_one_snapshot_only(git: RunGit, workspace: Path) -> None:
    first = snapshot(workspace, "r1")
    (workspace / "unstaged").write_text("newer\n")
    with pytest.raises(SourceControlError, match="refs/edgeloop/runs/r1") as caught:
        snapshot(workspace, "r1")
    assert caught.value.details["native_output"]
    assert git(workspace, "rev-parse", "refs/edgeloop/runs/r1") == f"{first}\n"


@pytest.mark.parametrize("run_id", ["", "..", "a..b", "a/b", "-d", "a.lock", "a b", "a\n", "x" * 200])
def test_a_run_id_that_is_no_name_is_refused(workspace: Path, run_id: str) -> None:
    with pytest.raises(InvalidInputError):
        snapshot(workspace, run_id)


@pytest.mark.parametrize("commit", ["HEAD", "--force", "abc", "0" * 39, "g" * 40])
def test_only_whole_commit_ids_are_checked_out(workspace: Path, tmp_path: Path, commit: str) -> None:
    with pytest.raises(InvalidInputError):
        checkout(workspace, commit, tmp_path / "tree")


def test_a_failure_shows_gits_own_lines(git: RunGit, workspace: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceControlError) as caught:
        checkout(workspace, "1" * 40, tmp_path / "tree")
    assert "could not lay out 111111111111" in caught.value.message
    assert any(line.startswith("fatal: ") for line in caught.value.details["native_output"])


def test_a_folder_without_a_repository_is_an_error(git: RunGit, tmp_path: Path) -> None:
    with pytest.raises(SourceControlError, match="not in a Git repository"):
        snapshot(tmp_path / "home", "r1")
    with pytest.raises(SourceControlError, match="does not exist"):
        snapshot(tmp_path / "nowhere", "r1")


def test_the_operation_returns_the_commit_and_what_keeps_it(git: RunGit, workspace: Path) -> None:
    before = state(git, workspace)
    taken = take_snapshot(SnapshotParameters(message="Before the\nbig change"), workspace)
    assert git(workspace, "log", "-1", "--format=%B", taken.ref) == "Before the\nbig change\n\n"
    assert git(workspace, "rev-parse", taken.ref) == f"{taken.commit}\n"
    assert state(git, workspace) == before


def test_a_repository_that_is_being_written_to_makes_a_query_give_up(git: RunGit, workspace: Path) -> None:
    repository = Repository.open(workspace, timeout=0.1)
    with (workspace / ".git" / "edgeloop.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(SourceControlError, match="Another operation"), repository.lock():
            pass
    with repository.lock():
        pass


def test_a_command_that_takes_too_long_is_stopped_with_its_helpers(
    git: RunGit, workspace: Path, tmp_path: Path
) -> None:
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)
    git(workspace, "config", "filter.slow.clean", f"exec sleep 1000 > '{fifo}'")
    (workspace / ".gitattributes").write_text("* filter=slow\n")
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(SourceControlError, match="took longer than 1 s"):
            run_git(["add", "--all"], folder=workspace, timeout=1.0)
        os.set_blocking(reader, True)
        assert os.read(reader, 1) == b"", "the filter still holds its end"
    finally:
        os.close(reader)


def test_the_environment_of_a_hook_does_not_lead_to_another_repository(
    git: RunGit, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    create(other)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    commit = snapshot(workspace, "r1")
    monkeypatch.delenv("GIT_DIR")
    monkeypatch.delenv("GIT_INDEX_FILE")
    assert "untracked" in files(git, workspace, commit)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (None, "Git cannot be started"),
        ("echo git version 2.19.6", "git version 2.19.6 is too old"),
        ("exit 3", "cannot be started"),
    ],
)
def test_git_that_is_missing_old_or_broken_is_named(tmp_path: Path, program: str | None, message: str) -> None:
    binaries = tmp_path / "bin"
    binaries.mkdir()
    if program:
        (binaries / "git").write_text(f"#!/bin/sh\n{program}\n")
        (binaries / "git").chmod(0o755)
    script = (
        "from edgeloop.handlers import load_handler\n"
        "from edgeloop_shared.errors import SourceControlError\n"
        "from pathlib import Path\n"
        "try:\n"
        "    load_handler('edgeloop_plugins.git_flow.snapshots:snapshot')(Path('/'), 'r1')\n"
        "except SourceControlError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={"PATH": str(binaries)}, capture_output=True, text=True, check=True
    )
    assert message in done.stdout
    assert "2.20 or newer" in done.stdout


def test_the_declaration_imports_no_git() -> None:
    script = "import sys, edgeloop_plugins.git_flow.plugin; print('git' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
