"""What a user is told about a repository before they trust it, without anything of it running."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeloop_plugins.git_flow.examination import examine

RunGit = Callable[..., str]


@pytest.fixture
def workspace(git: RunGit, tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    git(folder, "init", "--quiet")
    return folder


def test_a_plain_repository_and_a_folder_without_one_hold_nothing_to_tell(workspace: Path, tmp_path: Path) -> None:
    assert (workspace / ".git" / "hooks" / "pre-commit.sample").exists() or not any(
        (workspace / ".git" / "hooks").iterdir()
    )
    assert examine(workspace) == ()
    assert examine(tmp_path / "home") == ()


@pytest.mark.parametrize(
    "key",
    [
        "core.fsmonitor",
        "core.sshCommand",
        "core.gitProxy",
        "core.askPass",
        "core.editor",
        "core.pager",
        "core.alternateRefsCommand",
        "sequence.editor",
        "interactive.diffFilter",
        "diff.external",
        "diff.a.b c.command",
        "diff.words.textconv",
        "filter.lfs.clean",
        "filter.lfs.smudge",
        "filter.lfs.process",
        "merge.ours.driver",
        "mergetool.mine.cmd",
        "difftool.mine.path",
        "credential.helper",
        "credential.https://example.org.helper",
        "gpg.program",
        "gpg.ssh.program",
        "gpg.ssh.defaultKeyCommand",
        "hook.mine.command",
        "trailer.sign.command",
        "remote.origin.uploadpack",
        "remote.origin.receivepack",
        "uploadpack.packObjectsHook",
        "pager.log",
        "lfs.customtransfer.x.path",
        "lfs.extension.x.clean",
    ],
)
def test_a_setting_that_runs_a_command_is_named_with_it(git: RunGit, workspace: Path, key: str) -> None:
    git(workspace, "config", key, "evil --now")
    (sentence,) = examine(workspace)
    assert sentence.lower().startswith(key.lower())
    assert ".git/config" in sentence
    assert sentence.endswith(": evil --now")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("alias.st", "!evil"),
        ("submodule.lib.update", "!evil"),
        ("remote.origin.url", "ext::evil"),
        ("url.ext::evil.insteadOf", "https://example.org/"),
        ("core.worktree", "/"),
    ],
)
def test_values_of_special_forms_are_named_too(git: RunGit, workspace: Path, key: str, value: str) -> None:
    git(workspace, "config", key, value)
    (sentence,) = examine(workspace)
    assert key.lower() in sentence.lower()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("core.fsmonitor", "true"),
        ("pager.log", "false"),
        ("alias.st", "status"),
        ("submodule.lib.update", "rebase"),
        ("remote.origin.url", "https://example.org/x.git"),
        ("core.editor", ""),
        ("filter.lfs.required", "true"),
        ("user.name", "evil"),
    ],
)
def test_settings_that_run_nothing_are_not_listed(git: RunGit, workspace: Path, key: str, value: str) -> None:
    git(workspace, "config", key, value)
    assert examine(workspace) == ()


def test_hooks_are_named_unless_they_are_samples_or_cannot_run(git: RunGit, workspace: Path) -> None:
    own = workspace / "scripts"
    for folder in (workspace / ".git" / "hooks", own):
        folder.mkdir(exist_ok=True)
        for name, mode in (("pre-commit", 0o755), ("post-merge.sample", 0o755), ("pre-push", 0o644)):
            (folder / name).write_text("#!/bin/sh\n")
            (folder / name).chmod(mode)
    git(workspace, "config", "core.hooksPath", "scripts")
    assert examine(workspace) == (
        "core.hooksPath in .git/config takes the hooks, which are commands, from scripts",
        "The hook scripts/pre-commit runs on the Git operation of that name.",
        "The hook .git/hooks/pre-commit runs on the Git operation of that name.",
    )


def test_included_files_are_followed_whatever_their_condition(git: RunGit, workspace: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.cfg"
    outside.write_text("[include]\n\tpath = outside.cfg\n[alias]\n\tst = !evil\n")
    (workspace / "inner.cfg").write_text(
        f'[includeIf "gitdir:/nowhere/"]\n\tpath = {outside}\n[core]\n\teditor = evil\n'
    )
    git(workspace, "config", "include.path", "../inner.cfg")
    assert examine(workspace) == (
        f"inner.cfg includes a file from outside of the repository: {outside}",
        f"{outside} includes a file from outside of the repository: outside.cfg",
        f"alias.st in {outside} is a Git command that runs: evil",
        "core.editor in inner.cfg runs a command to edit a message: evil",
    )


def test_nested_repositories_and_worktree_settings_are_examined(git: RunGit, workspace: Path) -> None:
    nested = workspace / "data" / "nested"
    nested.mkdir(parents=True)
    git(nested, "init", "--quiet")
    git(nested, "config", "core.fsmonitor", "evil")
    git(workspace, "config", "extensions.worktreeConfig", "true")
    git(workspace, "config", "--worktree", "core.pager", "evil")
    module = workspace / ".git" / "modules" / "lib"
    module.mkdir(parents=True)
    (module / "HEAD").write_text("ref: refs/heads/main\n")
    (module / "config").write_text("[core]\n\tsshCommand = evil\n")
    told = "\n".join(examine(workspace))
    assert "core.fsmonitor in data/nested/.git/config" in told
    assert "core.pager in .git/config.worktree" in told
    assert "core.sshcommand in .git/modules/lib/config" in told


def test_a_subfolder_and_a_linked_worktree_lead_to_the_same_repository(
    git: RunGit, workspace: Path, tmp_path: Path
) -> None:
    git(workspace, "commit", "--quiet", "--allow-empty", "-m", "1")
    git(workspace, "worktree", "add", "--quiet", str(tmp_path / "linked"))
    (workspace / "sub").mkdir()
    git(workspace, "config", "core.editor", "evil")
    for folder in (workspace / "sub", tmp_path / "linked"):
        (sentence,) = examine(folder)
        assert "core.editor" in sentence


def test_a_folder_that_looks_like_the_inside_of_a_repository_is_named(git: RunGit, tmp_path: Path) -> None:
    disguised = tmp_path / "disguised"
    disguised.mkdir()
    git(disguised, "init", "--quiet", "--bare")
    git(disguised, "config", "core.fsmonitor", "evil")
    told = examine(disguised)
    assert "looks like the inside of a repository" in told[0]
    assert "core.fsmonitor in config" in told[1]


@pytest.mark.parametrize("make", ["broken", "large", "fifo", "link to a device"])
def test_a_configuration_that_cannot_be_read_is_named(workspace: Path, make: str) -> None:
    path = workspace / ".git" / "config"
    path.unlink()
    if make == "broken":
        path.write_text("[core\n")
    elif make == "large":
        path.write_bytes(b"#" * (2 << 20))
    elif make == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    (sentence,) = examine(workspace)
    assert ".git/config was not examined" in sentence


def test_names_and_values_cannot_disguise_themselves(workspace: Path) -> None:
    (workspace / ".git" / "config").write_text(f'[alias]\n\tst = "!evil\\n\x1b[2K{"x" * 1000}"\n')
    (sentence,) = examine(workspace)
    assert sentence.isprintable()
    assert len(sentence) < 300


def test_nothing_of_the_repository_runs(git: RunGit, workspace: Path, tmp_path: Path) -> None:
    trap = f"touch {tmp_path}/it-ran; false"
    (workspace / ".gitattributes").write_text("* filter=evil diff=evil\n")
    (workspace / "file").write_text("1")
    git(workspace, "add", "file")
    for key in ("core.fsmonitor", "core.pager", "core.editor", "diff.external", "filter.evil.clean", "pager.config"):
        git(workspace, "config", key, trap)
    git(workspace, "config", "alias.config", f"!{trap}")
    assert len(examine(workspace)) == 7
    assert not (tmp_path / "it-ran").exists()
