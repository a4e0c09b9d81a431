"""The examination of a repository before it is trusted: which of its own settings would run commands.

Git takes commands from a repository's configuration and hooks, and runs them on commands as plain as `git status`. Everything
here is read as a file: `git config --file` parses single files from outside of the repository, and nothing of it runs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edgeloop_plugins.git_flow.repository import common_folder, run_git

MAX_FILE = 1 << 20  # bytes of a configuration file
MAX_INCLUDES = 50
MAX_ENTRIES = 200_000  # files and folders that are looked through for nested repositories
_SHOWN = 120  # characters of a value

# Settings whose value is a command, and when Git runs it. `*` is any subsection.
_COMMANDS = (
    ("core.sshcommand", "to reach a remote over SSH"),
    ("core.gitproxy", "to reach a remote"),
    ("core.askpass", "to ask for a password"),
    ("core.editor", "to edit a message"),
    ("sequence.editor", "to edit the steps of a rebase"),
    ("core.pager", "to show output"),
    ("core.alternaterefscommand", "to list the references of borrowed objects"),
    ("interactive.difffilter", "to show changes"),
    ("diff.external", "to show differences"),
    ("diff.*.command", "to show differences"),
    ("diff.*.textconv", "to show differences"),
    ("difftool.*.cmd", "to show differences"),
    ("difftool.*.path", "to show differences"),
    ("filter.*.clean", "on every file of its kind that is added"),
    ("filter.*.smudge", "on every file of its kind that is checked out"),
    ("filter.*.process", "on every file of its kind that is added or checked out"),
    ("merge.*.driver", "to merge files"),
    ("mergetool.*.cmd", "to merge files"),
    ("mergetool.*.path", "to merge files"),
    ("credential.helper", "with the passwords for remotes"),
    ("credential.*.helper", "with the passwords for remotes"),
    ("gpg.program", "to sign or verify"),
    ("gpg.*.program", "to sign or verify"),
    ("gpg.ssh.defaultkeycommand", "to sign"),
    ("hook.*.command", "as a hook"),
    ("trailer.*.command", "to write a message"),
    ("trailer.*.cmd", "to write a message"),
    ("remote.*.uploadpack", "to fetch"),
    ("remote.*.receivepack", "to push"),
    ("remote.*.vcs", "to reach a remote"),
    ("uploadpack.packobjectshook", "to serve a fetch"),
    ("gc.recentobjectshook", "to clean up"),
    ("tar.*.command", "to write an archive"),
    ("browser.*.cmd", "to show help"),
    ("browser.*.path", "to show help"),
    ("man.*.cmd", "to show help"),
    ("man.*.path", "to show help"),
    ("guitool.*.cmd", "as a tool"),
    ("sendemail.sendmailcmd", "to send mail"),
    ("sendemail.smtpserver", "to send mail"),
    ("sendemail.tocmd", "to send mail"),
    ("sendemail.cccmd", "to send mail"),
    ("imap.tunnel", "to send mail"),
    ("instaweb.httpd", "to serve pages"),
    ("lfs.customtransfer.*.path", "to transfer large files"),
    ("lfs.extension.*.clean", "on large files"),
    ("lfs.extension.*.smudge", "on large files"),
)
_BOOLEANS = frozenset({"", "true", "false", "yes", "no", "on", "off", "0", "1"})


@dataclass
class _Findings:
    """What was found so far, in the order of the search and without repetitions."""

    root: Path
    sentences: dict[str, None] = field(default_factory=dict)
    files: set[Path] = field(default_factory=set)

    def add(self, sentence: str) -> None:
        self.sentences[sentence] = None

    def name(self, path: Path) -> str:
        path = Path(os.path.normpath(path))
        return _shown(str(path.relative_to(self.root) if path.is_relative_to(self.root) else path))


def locate(workspace: Path) -> Path | None:
    """Return the top folder of the repository that a workspace belongs to, or None. Nothing of the repository is run."""
    workspace = workspace.resolve()
    return next((folder for folder in (workspace, *workspace.parents) if _git_folder(folder) is not None), None)


def examine(workspace: Path) -> tuple[str, ...]:
    """Tell, one sentence each, which settings of the workspace's repository would run commands; () when there are none.

    Settings of the user and of the system are not listed: they are trusted already. Repositories that lie in the working tree, and
    those of submodules, are examined too. Nothing of the repository is run.
    """
    workspace = workspace.resolve()
    root = locate(workspace)
    findings = _Findings(root or workspace)
    if _is_git_folder(workspace):
        findings.add(f"The folder {_shown(str(workspace))} looks like the inside of a repository, which Git would use.")
        _examine_git_folder(workspace, workspace, findings)
    if root is not None:
        for nested in _repositories(root, findings):
            git_folder = _git_folder(nested)
            if git_folder is not None:
                _examine_git_folder(git_folder, nested, findings)
    return tuple(findings.sentences)


def _git_folder(folder: Path) -> Path | None:
    """Return the folder that `.git` in `folder` is or points to, or None when there is none."""
    path = folder / ".git"
    if path.is_dir():  # Git passes over a `.git` that is no repository, and goes on to the parent folder
        return path if _is_git_folder(path) else None
    data = _read(path)
    if data is None or not data.startswith(b"gitdir: "):
        return None
    return folder / os.fsdecode(data.removeprefix(b"gitdir: ").partition(b"\0")[0].rstrip(b"\r\n"))


def _is_git_folder(folder: Path) -> bool:
    common = common_folder(folder)
    return os.path.lexists(folder / "HEAD") and (common / "objects").is_dir() and (common / "refs").is_dir()


def _repositories(root: Path, findings: _Findings) -> Iterator[Path]:
    yield root
    seen = 0
    for parent, folders, files in os.walk(root):
        if ".git" in folders:
            folders.remove(".git")
        seen += len(folders) + len(files)
        if seen > MAX_ENTRIES:
            findings.add(
                f"{findings.name(root)} holds more than {MAX_ENTRIES} files; repositories nested in it were not all examined."
            )
            return
        if parent != str(root) and os.path.lexists(Path(parent, ".git")):
            yield Path(parent)


def _examine_git_folder(git_folder: Path, work_tree: Path, findings: _Findings) -> None:
    common = common_folder(git_folder)
    _examine_configuration(common / "config", common, work_tree, findings)
    for path in (git_folder / "config.worktree", *sorted(common.glob("worktrees/*/config.worktree"))):
        _examine_configuration(path, common, work_tree, findings)
    _examine_hooks(common / "hooks", findings)
    modules = common / "modules"
    if modules.is_dir():
        for parent, _, files in os.walk(modules):
            if "config" in files and "HEAD" in files:
                _examine_configuration(Path(parent, "config"), Path(parent), work_tree, findings)
                _examine_configuration(Path(parent, "config.worktree"), Path(parent), work_tree, findings)
                _examine_hooks(Path(parent, "hooks"), findings)


def _examine_hooks(folder: Path, findings: _Findings) -> None:
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.suffix != ".sample" and path.is_file() and os.access(path, os.X_OK):
            findings.add(f"The hook {findings.name(path)} runs on the Git operation of that name.")


def _examine_configuration(path: Path, common: Path, work_tree: Path, findings: _Findings) -> None:
    if not os.path.lexists(path) or path.resolve() in findings.files:
        return
    findings.files.add(path.resolve())
    where = findings.name(path)
    if len(findings.files) > MAX_INCLUDES:
        findings.add(f"{where} was not examined: there are too many configuration files.")
        return
    data = _read(path)
    if data is None:
        findings.add(f"{where} was not examined: it is no readable file of at most {MAX_FILE >> 20} MiB.")
        return
    # Parsed from outside of the repository, without includes and without conditions.
    answer = run_git(
        ["--no-optional-locks", "config", "--null", "--no-includes", "--list", "--file", str(path)],
        folder=Path(os.sep),
        timeout=5,
    )
    if answer.status != 0:
        findings.add(f"{where} was not examined: Git cannot read it.")
        return
    for entry in answer.output.split(b"\0")[:-1]:
        key, _, value = os.fsdecode(entry).partition("\n")
        sentence = _sentence(key, value, where)
        if sentence:
            findings.add(sentence)
        if key == "core.hookspath" and value:
            _examine_hooks(_resolved(value, work_tree), findings)
        if key == "core.worktree" and not _resolved(value, common).resolve().is_relative_to(findings.root):
            findings.add(f"core.worktree in {where} makes Git work on another folder: {_shown(value)}")
        if re.fullmatch(r"include(if\..*)?\.path", key, re.DOTALL):
            included = _resolved(value, path.parent)
            if not included.resolve().is_relative_to(findings.root) and not included.resolve().is_relative_to(common):
                findings.add(f"{where} includes a file from outside of the repository: {_shown(value)}")
            _examine_configuration(included, common, work_tree, findings)


def _sentence(key: str, value: str, where: str) -> str | None:
    """Return what a setting does when it runs a command. `key` is as Git lists it: all but the subsection in lower case."""
    section, _, rest = key.partition(".")
    middle, _, name = rest.rpartition(".")
    general = f"{section}.*.{name}" if middle else key
    for pattern, when in _COMMANDS:
        if value and (key == pattern or general == pattern or _deep(pattern, key)):
            return f"{_shown(key)} in {where} runs a command {when}: {_shown(value)}"
    if key == "core.fsmonitor" and value.lower() not in _BOOLEANS:
        return f"core.fsmonitor in {where} runs a command whenever Git looks at the files: {_shown(value)}"
    if key == "core.hookspath" and value:
        return f"core.hooksPath in {where} takes the hooks, which are commands, from {_shown(value)}"
    if section == "pager" and value.lower() not in _BOOLEANS:
        return f"{_shown(key)} in {where} runs a command to show output: {_shown(value)}"
    if section == "alias" and value.lstrip().startswith("!"):
        return f"{_shown(key)} in {where} is a Git command that runs: {_shown(value.lstrip()[1:])}"
    if section == "submodule" and name == "update" and value.startswith("!"):
        return f"{_shown(key)} in {where} runs a command to update the submodule: {_shown(value[1:])}"
    if value.startswith("ext::") or (section == "url" and middle.startswith("ext::")):
        return f"{_shown(key)} in {where} runs a command to reach a remote: {_shown(value)}"
    return None


def _deep(pattern: str, key: str) -> bool:
    """Return whether a pattern with two words before its `*` fits, such as `lfs.extension.*.clean`."""
    first, star, last = pattern.partition("*")
    return first.count(".") == 2 and bool(star) and key.startswith(first) and key.endswith(last)


def _resolved(value: str, base: Path) -> Path:
    if value == "~" or value.startswith("~/"):
        return Path.home() / value[2:]
    return base / value


def _read(path: Path) -> bytes | None:
    """Return a regular file's bytes, or None for anything else, a file that is too large or one that cannot be read."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_FILE:
            return None
        return path.read_bytes()
    except OSError:
        return None


def _shown(text: str) -> str:
    """Return a foreign text on one line, without characters that could disguise it on a terminal, and not too long."""
    clean = "".join(character if character.isprintable() else "�" for character in text)
    return clean if len(clean) <= _SHOWN else f"{clean[: _SHOWN - 1]}…"
