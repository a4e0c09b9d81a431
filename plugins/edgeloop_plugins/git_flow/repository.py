"""A Git repository: the one module that starts Git, through GitPython's command wrapper.

GitPython's objects are several times slower than Git on large repositories and keep child processes until they are closed;
its dynamic calls let an argument become an option. So every call here is a fixed argument vector for `Git.execute`,
and nothing is held between calls.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeloop_shared.errors import SourceControlError

OLDEST = (2, 20)


def _no_git(lines: Sequence[str]) -> SourceControlError:
    return SourceControlError(
        "Git cannot be started.",
        hint=f"Install Git {OLDEST[0]}.{OLDEST[1]} or newer and make sure that `git --version` works in a terminal.",
        details={"native_output": list(lines)},
    )


try:
    from git.cmd import Git
    from git.exc import GitCommandNotFound
except ImportError as error:  # GitPython runs `git version` when it is imported, and fails where that fails
    raise _no_git(str(error).splitlines()) from error

_COMMIT = re.compile(r"\A[0-9a-f]{40}([0-9a-f]{24})?\Z")

# Nothing of the repository's own may run on the way: no hooks, no file system monitor, no signing program, and no maintenance
# that outlives the command. Git before 2.36 takes the monitor's value for a command, so it is empty rather than `false`.
# `safe.bareRepository` keeps a folder that merely looks like a repository's inside from being taken for one.
_HARDENING = (
    "core.fsmonitor=",
    f"core.hooksPath={os.devnull}",
    "core.splitIndex=false",
    "core.safecrlf=false",
    "commit.gpgSign=false",
    "add.ignoreErrors=false",
    "advice.addEmbeddedRepo=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "safe.bareRepository=explicit",
)
# A hook that starts edgeloop has these set, and they would point every call at the hook's repository.
_FOREIGN = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
)
_ENVIRONMENT = {
    "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}


@dataclass(frozen=True)
class Answer:
    """What a Git command answered: its exit status (negative: minus the signal), its output and its own messages."""

    status: int
    output: bytes
    messages: tuple[str, ...]

    @property
    def text(self) -> str:
        """The output without its last newline; bytes that are not UTF-8 come back as they were when used as a path."""
        return os.fsdecode(self.output.removesuffix(b"\n"))


def run_git(
    arguments: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> Answer:
    """Run `git ARGUMENTS` in `folder` and return its answer, whatever its exit status.

    Without a `timeout` Git stays in the caller's process group, where a job's cancellation reaches it. With one (in seconds) it
    gets a group of its own, which is ended when the time is over. Raises `SourceControlError` when Git is missing or too old,
    or when the time is over.
    """
    _check_version(str(Git.GIT_PYTHON_GIT_EXECUTABLE))
    options = [part for setting in _HARDENING for part in ("-c", setting)]
    return _execute(
        [str(Git.GIT_PYTHON_GIT_EXECUTABLE), *options, *arguments],
        folder=folder,
        environment={**_ENVIRONMENT, **(environment or {})},
        timeout=timeout,
    )


def _execute(command: list[str], *, folder: Path, environment: Mapping[str, str], timeout: float | None) -> Answer:
    foreign = [name for name in _FOREIGN if name in os.environ and name not in environment]
    if foreign:  # GitPython can add to the environment, but take nothing away
        command = ["env", *(part for name in foreign for part in ("-u", name)), *command]
    if not folder.is_dir():  # GitPython would run the command in the current folder instead
        raise SourceControlError(f"The folder {folder} does not exist.", hint="Was it moved or deleted meanwhile?")
    group: dict[str, Any] = {} if timeout is None else {"process_group": 0}
    try:
        wrapper = Git(folder).execute(command, as_process=True, env=environment, **group)
    except (GitCommandNotFound, PermissionError) as error:
        raise _no_git(str(error).splitlines()) from error
    process: subprocess.Popen[bytes] = wrapper.proc
    try:
        output, messages = process.communicate(timeout=timeout)
    except BaseException as error:
        _end(process, own_group=timeout is not None)
        if isinstance(error, subprocess.TimeoutExpired):
            raise SourceControlError(
                f"Git took longer than {timeout:g} s in {folder}, so it was stopped.",
                hint="Large files that Git should not record belong into .gitignore.",
            ) from None
        raise
    return Answer(process.returncode, output, tuple(messages.decode(errors="backslashreplace").splitlines()))


def _end(process: subprocess.Popen[bytes], *, own_group: bool) -> None:
    def send(number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number) if own_group else process.send_signal(number)

    send(signal.SIGTERM)  # on which Git removes its lock files
    try:
        process.communicate(timeout=1)
    except subprocess.TimeoutExpired:
        send(signal.SIGKILL)
        process.communicate()


@functools.cache
def _check_version(executable: str) -> None:
    answer = _execute([executable, "version"], folder=Path(os.sep), environment=_ENVIRONMENT, timeout=10)
    if answer.status != 0:
        raise _no_git(answer.messages)
    match = re.search(rb"(\d+)\.(\d+)", answer.output)
    if match is None or (int(match[1]), int(match[2])) < OLDEST:
        raise SourceControlError(
            f"{answer.text or executable} is too old for edgeloop.",
            hint=f"Install Git {OLDEST[0]}.{OLDEST[1]} or newer.",
        )


def is_commit_id(text: str) -> bool:
    """Return whether `text` is a whole commit id and nothing that Git could take for an option or a name."""
    return _COMMIT.match(text) is not None


@dataclass(frozen=True)
class Repository:
    """The repository that a workspace belongs to.

    `root` is the top of its working tree, `folder` the workspace in it (often the same), `git_folder` where this working tree
    keeps its index, `common_folder` what all of the repository's worktrees share. `timeout` limits each command, in seconds.
    """

    root: Path
    folder: Path
    git_folder: Path
    common_folder: Path
    timeout: float | None = None

    @classmethod
    def open(cls, workspace: Path, *, timeout: float | None = None) -> Repository:
        """Return the repository of a workspace. Raises `SourceControlError` when it belongs to none."""

        def ask(question: str) -> Path:
            answer = run_git(["rev-parse", question], folder=workspace, timeout=timeout)
            if answer.status != 0:
                raise failure(f"{workspace} is not in a Git repository", answer, hint="`git init` makes it one.")
            return Path(answer.text)

        root, git_folder = ask("--show-toplevel"), ask("--absolute-git-dir")
        return cls(root, workspace.resolve(), git_folder, common_folder(git_folder), timeout)

    def read(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Answer:
        """Run a Git command that only reads, at the top of the working tree; it takes no lock."""
        return run_git(
            ["--no-optional-locks", *arguments], folder=self.root, environment=environment, timeout=self.timeout
        )

    def write(self, doing: str, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
        """Run a Git command at the top of the working tree and return its output.

        Raises `SourceControlError` with Git's own lines when it fails; `doing` says what Git could not do.
        """
        answer = run_git(arguments, folder=self.root, environment=environment, timeout=self.timeout)
        if answer.status != 0:
            raise failure(f"Git could not {doing} in {self.root}", answer)
        return answer.text

    def identity(self) -> dict[str, str]:
        """Return the environment that lets Git write a commit: empty where the user has told Git who they are."""
        if self.read("-c", "user.useConfigOnly=true", "var", "GIT_COMMITTER_IDENT").status == 0:
            return {}
        fallback = {"NAME": "edgeloop", "EMAIL": "edgeloop@localhost"}
        names = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in fallback.items()}
        return {name: os.environ.get(name) or value for name, value in names.items()}

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the repository's lock for writing: one writer of edgeloop at a time, over all processes and worktrees."""
        descriptor = os.open(self.common_folder / "edgeloop.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._wait_for(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _wait_for(self, descriptor: int) -> None:
        if self.timeout is None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            return
        end = time.monotonic() + self.timeout
        while not _take(descriptor):
            if time.monotonic() > end:
                raise SourceControlError(
                    f"Another operation of edgeloop has been writing to {self.root} for more than {self.timeout:g} s.",
                    hint="Try again when it has ended; `edgeloop jobs` lists what runs.",
                )
            time.sleep(0.02)


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def common_folder(git_folder: Path) -> Path:
    """Return what the worktrees of a repository share, given the folder that one of them has for itself."""
    pointer = git_folder / "commondir"
    if not pointer.is_file():
        return git_folder
    with pointer.open("rb") as file:
        text = file.read(8192)
    return (git_folder / os.fsdecode(text.partition(b"\0")[0].rstrip(b"\r\n"))).resolve()


def failure(message: str, answer: Answer, *, hint: str = "") -> SourceControlError:
    """Return the error for a Git command that failed, with Git's own lines."""
    lines = list(answer.messages)
    said = next((line for line in lines if line.startswith(("fatal: ", "error: "))), lines[-1] if lines else "")
    ended = (
        f"it was ended by signal {-answer.status}" if answer.status < 0 else f"it exited with status {answer.status}"
    )
    reason = said.removeprefix("fatal: ").removeprefix("error: ").rstrip(".") or ended
    return SourceControlError(f"{message}: {reason}.", hint=hint, details={"native_output": lines})


def create(workspace: Path) -> None:
    """Make a folder a repository of its own on the branch `main`, whose first commit holds what lies in it.

    A folder that has a repository of its own already stays as it is.
    """
    if os.path.lexists(workspace / ".git"):
        return
    answer = run_git(["init", "--quiet"], folder=workspace)
    if answer.status != 0:
        raise failure(f"Git could not make {workspace} a repository", answer)
    repository = Repository.open(workspace)
    with repository.lock():
        # `git init --initial-branch` needs Git 2.28.
        repository.write("name the first branch", "symbolic-ref", "HEAD", "refs/heads/main")
        repository.write("add the files", "add", "--all")
        repository.write(
            "commit", "commit", "--quiet", "--allow-empty", "--message=Start", environment=repository.identity()
        )
