"""Bundles: which files of a workspace travel with a script, and their way into the blob store."""

from __future__ import annotations

import asyncio
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgeloop_daemon.store.blobs import BlobStore
from edgeloop_shared.bundles import (
    MAX_BUNDLE_BYTES,
    MAX_FILES,
    MAX_MANIFEST_BYTES,
    BundleFile,
    BundleManifest,
    check_bundle_path,
)
from edgeloop_shared.codec import encode_json
from edgeloop_shared.errors import BundleError, EdgeloopError, InvalidInputError, NotFoundError, TooLargeError

_SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules"})
_SETTLED_NS = 2_000_000_000  # a file changed within the same tick of its clock may be changed again unseen
_MAX_CACHED = 50_000
_QUOTED = re.compile(r"'([^'\n]{1,512})'|\"([^\"\n]{1,512})\"")


@dataclass(frozen=True)
class RunWorkspace:
    """What a run needs to know of a workspace.

    `include` holds globs relative to `root`, `device` the default device.

    `memory_mb` is what a script may allocate, in MiB (None: the device's own bound).
    """

    id: str
    root: Path
    include: tuple[str, ...] = ()
    device: str | None = None
    memory_mb: int | None = None


@dataclass(frozen=True)
class DeviceTool:
    """Work of edgeloop's own on a device: the module of `edgeloop_task` that does it, and its parameters (any dataclass).

    It travels as a script of one line. `files` of the workspace go with it; with a `script` of the workspace also what a run of
    that script with `script_arguments` would take along.
    """

    name: str
    module: str
    parameters: object
    files: tuple[str, ...] = ()
    script: str | None = None
    script_arguments: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """Where its script lies in the bundle."""
        return tool_path(self.name)

    @property
    def source(self) -> bytes:
        """The script."""
        return f"import runpy\n\nrunpy.run_module({self.module!r}, run_name='__main__')\n".encode()

    @property
    def arguments(self) -> tuple[str, ...]:
        """The script's arguments: the parameters as JSON."""
        return (encode_json(self.parameters).decode(),)


@dataclass(frozen=True)
class JobScript:
    """A script that a job runs on a device, with `files` of the workspace and `job_files` of the job's folder `folder`.

    `script` is where it lies in the bundle. With `like`, a script of the workspace, what a run of that would take along goes as
    well.
    """

    script: str
    arguments: tuple[str, ...]
    files: tuple[str, ...]
    job_files: tuple[str, ...]
    folder: Path
    like: str | None = None
    like_arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bundle:
    """A collected bundle: `manifest` and all `blobs` (SHA-256, the manifest's included) are in the store.

    `script` and `arguments` are as the device needs them: files of the workspace by their path from its root.
    """

    manifest: str
    manifest_bytes: int
    blobs: frozenset[str]
    files: tuple[BundleFile, ...]
    script: str
    arguments: tuple[str, ...]


class BundleCollector:
    """Collects bundles; a file that has not changed since it was last read is not read again."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._known: dict[tuple[str, int, int, int], str] = {}

    async def collect(
        self,
        workspace: RunWorkspace,
        script: str,
        arguments: tuple[str, ...],
        include: tuple[str, ...],
        placed: Mapping[str, str] | None = None,
    ) -> Bundle:
        """Return the bundle of a run: the script, the workspace's Python files, what the globs name, and its arguments' files.

        `placed` are further files: by their path in the bundle that from the workspace's root.
        Raises `NotFoundError` for a script that is not there, `InvalidInputError` for a glob of `include` that names
        nothing or looks outside, `BundleError` for a path or a link that leaves the workspace, and `TooLargeError`.
        """
        return await asyncio.to_thread(self._collect, workspace, script, arguments, include, placed or {})

    async def collect_tool(self, workspace: RunWorkspace, tool: DeviceTool, include: tuple[str, ...]) -> Bundle:
        """Return the bundle of a tool. Raises as `collect` does, `NotFoundError` also for a file of the tool that is not there."""
        return await asyncio.to_thread(self._collect_tool, workspace, tool, include)

    async def collect_job_script(self, workspace: RunWorkspace, job: JobScript) -> Bundle:
        """Return the bundle of a job's script. Raises as `collect_tool` does."""
        return await asyncio.to_thread(self._collect_job_script, workspace, job)

    def _collect(
        self,
        workspace: RunWorkspace,
        script: str,
        arguments: tuple[str, ...],
        include: tuple[str, ...],
        placed: Mapping[str, str],
    ) -> Bundle:
        selection = _Selection(workspace.root.resolve())
        path = selection.add_run(script, workspace.include, include)
        travelling = tuple(selection.add_argument(argument) for argument in arguments)
        for target, source in placed.items():
            selection.place(target, source)
        return self._bundle(selection, path, travelling)

    def _collect_tool(self, workspace: RunWorkspace, tool: DeviceTool, include: tuple[str, ...]) -> Bundle:
        selection = _Selection(workspace.root.resolve())
        if tool.script is not None:
            selection.add_run(tool.script, workspace.include, include)
            for argument in tool.script_arguments:
                selection.add_argument(argument)
        for file in tool.files:
            selection.add_file(file)
        source = BundleFile(tool.path, self._blobs.add_bytes(tool.source), len(tool.source))
        return self._bundle(selection, tool.path, tool.arguments, source)

    def _collect_job_script(self, workspace: RunWorkspace, job: JobScript) -> Bundle:
        selection = _Selection(workspace.root.resolve())
        if job.like is not None:
            selection.add_run(job.like, workspace.include, ())
            for argument in job.like_arguments:
                selection.add_argument(argument)
        for file in job.files:
            selection.add_file(file)
        own = _Selection(job.folder.resolve())
        for file in job.job_files:
            own.add_file(file)
        others = [self._store(job_path(path), source) for path, source in sorted(own.files.items())]
        if job.script not in {*selection.files, *(file.path for file in others)}:
            raise NotFoundError(f"The script {job.script[:200]!r} is none of the files that travel.")
        return self._bundle(selection, job.script, job.arguments, *others)

    def _bundle(
        self, selection: _Selection, script_path: str, travelling: tuple[str, ...], *others: BundleFile
    ) -> Bundle:
        files = (*others, *(self._store(path, source) for path, source in sorted(selection.files.items())))
        manifest = BundleManifest(files)
        content = encode_json(manifest)
        if len(content) > MAX_MANIFEST_BYTES:
            raise _too_many(len(files))
        sha256 = self._blobs.add_bytes(content)
        blobs = frozenset({sha256, *(file.sha256 for file in files)})
        return Bundle(sha256, len(content), blobs, files, script_path, travelling)

    def _store(self, path: str, source: Path) -> BundleFile:
        try:
            status = source.stat()
            mode = 0o755 if status.st_mode & stat.S_IXUSR else 0o644
            key = (str(source), status.st_size, status.st_mtime_ns, status.st_ino)
            sha256 = self._known.get(key)
            size = status.st_size
            if sha256 is None or not self._blobs.hold(sha256, size):
                sha256, size = self._blobs.add_file(source)
                if size == status.st_size and time.time_ns() - status.st_mtime_ns > _SETTLED_NS:
                    if len(self._known) >= _MAX_CACHED:
                        self._known.clear()
                    self._known[key] = sha256
        except OSError as error:
            raise InvalidInputError(f"{path} cannot be read: {error.strerror}.") from None
        return BundleFile(path, sha256, size, mode)


class _Selection:
    """The chosen files: by their path in the bundle, where their bytes are. Links are followed inside the workspace only."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._bytes = 0
        self.files: dict[str, Path] = {}

    def add_run(self, script: str, usual: tuple[str, ...], include: tuple[str, ...]) -> str:
        """Add what a run of `script` takes along; return the script's path from the root."""
        path = self.add_file(script, "script")
        self.add_python_files()
        for pattern in usual:
            self.add_glob(pattern)
        for pattern in include:
            if not self.add_glob(pattern):
                raise InvalidInputError(f"Nothing in the workspace matches the include {pattern!r}.")
        return path

    def add_file(self, name: str, noun: str = "file") -> str:
        path = bundle_path(self._root, name, noun)
        if not is_file(self._root / path):
            raise NotFoundError(f"There is no {noun} {path} in the workspace {self._root}.")
        self._add(path)
        return path

    def place(self, target: str, source: str) -> None:
        """Add the file `source` as `target`."""
        check_bundle_path(target)
        self._add(source, target)

    def add_python_files(self) -> None:
        for path in self._walk(self._root):
            if path.endswith(".py") and not PurePosixPath(path).name.startswith("."):
                self._add(path)

    def add_glob(self, pattern: str) -> bool:
        """Add what `pattern` names, folders with all that is in them; return whether that is anything."""
        parts = PurePosixPath(pattern).parts
        if not parts or PurePosixPath(pattern).is_absolute() or ".." in parts or "\\" in pattern or "\0" in pattern:
            raise InvalidInputError(
                f"The include {pattern!r} does not name files inside the workspace.",
                hint="Use paths and globs relative to the workspace, such as models/*.mnn or data/**.",
            )
        before = len(self.files)
        wants_hidden = parts[-1].startswith(".")
        found = False
        try:
            for match in sorted(self._root.glob(pattern)):
                relative = match.relative_to(self._root).as_posix()
                if relative == ".":
                    children: Iterator[str] = self._walk(self._root)
                elif match.is_dir():
                    children = self._walk(match)
                else:
                    children = iter((relative,))
                for path in children:
                    name = PurePosixPath(path).name
                    if self._is_skipped(path) or (name.startswith(".") and not wants_hidden):
                        continue
                    if (self._root / path).is_file():
                        found = True
                        self._add(path)
        except ValueError as error:
            raise InvalidInputError(f"The include {pattern!r} is no glob: {error}.") from None
        return found or len(self.files) > before

    def add_argument(self, argument: str) -> str:
        """Add the file that an argument names, if it does; return the argument as the device needs it."""
        option, equals, value = argument.partition("=")
        if equals and option.startswith("-"):
            return f"{option}={self.add_argument(value)}"
        path = _inside(self._root, argument)
        try:
            if path is None or path == "." or self._is_skipped(path) or not (self._root / path).is_file():
                return argument
        except (OSError, ValueError):  # too long for a file name, or with a NUL
            return argument
        self._add(path)
        return path if Path(argument).is_absolute() else argument

    def _walk(self, folder: Path) -> Iterator[str]:
        """Yield the files below `folder`, without hidden folders, caches and virtual environments."""
        for base, folders, names in os.walk(folder):
            folders[:] = sorted(
                name for name in folders if not _skips(name) and not (Path(base, name) / "pyvenv.cfg").is_file()
            )
            for name in sorted(names):
                yield Path(base, name).relative_to(self._root).as_posix()

    def _is_skipped(self, path: str) -> bool:
        return any(_skips(part) for part in PurePosixPath(path).parts[:-1])

    def _add(self, path: str, target: str | None = None) -> None:
        if (target or path) in self.files:
            return
        source = self._root / path
        try:
            resolved = source.resolve(strict=True)
        except (OSError, RuntimeError):
            raise BundleError(
                f"{path} is a link that leads nowhere.", hint="Remove or repair it.", details={"path": path}
            ) from None
        if not resolved.is_relative_to(self._root):
            raise BundleError(
                f"{path} is a link that leaves the workspace.",
                hint="Only files inside the workspace travel to a device: copy it in, or leave it out.",
                details={"path": path},
            )
        if self._is_skipped(resolved.relative_to(self._root).as_posix()):
            raise BundleError(
                f"{path} is a link into a hidden folder.", hint="Copy what it names.", details={"path": path}
            )
        if not resolved.is_file():
            return
        self.files[target or path] = resolved
        self._bytes += resolved.stat().st_size
        if len(self.files) > MAX_FILES:
            raise _too_many(len(self.files))
        if self._bytes > MAX_BUNDLE_BYTES:
            raise TooLargeError(
                f"The files for {path} and the others exceed the limit of {MAX_BUNDLE_BYTES} bytes for a bundle.",
                hint="Name fewer files under [run] include in edgeloop.toml.",
                details={"limit": MAX_BUNDLE_BYTES},
            )


def tool_path(name: str) -> str:
    """Return where the script of a tool lies in a bundle: in a hidden folder, so no file of a workspace is ever there."""
    return f".edgeloop/{name}.py"


def job_path(path: str) -> str:
    """Return where a file of a job's folder lies in a bundle, by its path in that folder."""
    return f".edgeloop/job/{path}"


def bundle_path(root: Path, name: str, noun: str = "file") -> str:
    """Return the path from `root` that `name` spells (links not considered). Raises `BundleError` if it leads out of there."""
    path = _inside(root, name)
    if path is None:
        raise BundleError(
            f"The {noun} {name[:200]!r} is outside the workspace {root}.",
            hint="Only files of the workspace travel to a device.",
            details={"path": name[:200]},
        )
    return path


def is_file(path: Path) -> bool:
    """Return whether there is a file, also for a name that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long for a file name, or with a NUL
        return False


def _inside(root: Path, text: str) -> str | None:
    if not text or "\0" in text:
        return None
    path = os.path.relpath(os.path.normpath(root / text), root)
    return None if path == ".." or path.startswith("../") else path


def missing_file_hint(error: EdgeloopError, root: Path) -> str:
    """Return what to do when a task failed because a file of the workspace did not travel; else nothing. Blocks.

    The error is the device's word: a name in it is only looked up, inside `root`.
    """
    if "FileNotFoundError" not in error.message:
        return ""
    for match in _QUOTED.finditer(error.message):
        name = match[1] or match[2]
        try:
            check_bundle_path(name)
            resolved = (root / name).resolve()
            if resolved.is_relative_to(root.resolve()) and resolved.exists():
                return (
                    f"{name} is in the workspace but did not travel to the device: add it to `[run] include` in"
                    f" edgeloop.toml, or run with `--include {name}`."
                )
        except (BundleError, OSError, RuntimeError):
            continue
    return ""


def _skips(folder: str) -> bool:
    return folder.startswith(".") or folder in _SKIPPED_FOLDERS


def _too_many(count: int) -> TooLargeError:
    return TooLargeError(
        f"A bundle of {count} files exceeds the limit.",
        hint="Name fewer files under [run] include in edgeloop.toml.",
        details={"limit": MAX_FILES},
    )
