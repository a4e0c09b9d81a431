"""Bundles: what travels with a script, with a tool or for a job, and its way into the blob store."""

from __future__ import annotations

import asyncio
import re
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeloop_daemon.devices.selection import Selection, too_many
from edgeloop_daemon.store.blobs import BlobStore
from edgeloop_shared.bundles import MAX_MANIFEST_BYTES, BundleFile, BundleManifest, check_bundle_path
from edgeloop_shared.channels import LOST_SECONDS
from edgeloop_shared.codec import encode_json
from edgeloop_shared.errors import BundleError, EdgeloopError, InvalidInputError, NotFoundError

_SETTLED_NS = 2_000_000_000  # a file changed within the same tick of its clock may be changed again unseen
_MAX_CACHED = 50_000
_QUOTED = re.compile(r"'([^'\n]{1,512})'|\"([^\"\n]{1,512})\"")


@dataclass(frozen=True)
class RunWorkspace:
    """What a run needs to know of a workspace.

    `include` holds globs relative to `root`, `device` the default device, `memory_mb` what a script may allocate,
    in MiB (None: the device's own bound). A debug session waits `debug_lost_seconds` for a device whose link is lost. `name` is
    what the device's user is shown.
    """

    id: str
    root: Path
    include: tuple[str, ...] = ()
    device: str | None = None
    memory_mb: int | None = None
    debug_lost_seconds: float = LOST_SECONDS
    name: str | None = None


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
        selection = Selection(workspace.root.resolve())
        path, travelling = selection.add_run(script, arguments, workspace.include, include)
        for target, source in placed.items():
            selection.place(target, source)
        return self._bundle(selection, path, travelling)

    def _collect_tool(self, workspace: RunWorkspace, tool: DeviceTool, include: tuple[str, ...]) -> Bundle:
        selection = Selection(workspace.root.resolve())
        if tool.script is not None:
            selection.add_run(tool.script, tool.script_arguments, workspace.include, include)
        for file in tool.files:
            selection.add_file(file)
        source = BundleFile(tool.path, self._blobs.add_bytes(tool.source), len(tool.source))
        return self._bundle(selection, tool.path, tool.arguments, source)

    def _collect_job_script(self, workspace: RunWorkspace, job: JobScript) -> Bundle:
        selection = Selection(workspace.root.resolve())
        if job.like is not None:
            selection.add_run(job.like, job.like_arguments, workspace.include)
        for file in job.files:
            selection.add_file(file)
        own = Selection(job.folder.resolve())
        for file in job.job_files:
            own.add_file(file)
        others = [self._store(job_path(path), source) for path, source in sorted(own.files.items())]
        if job.script not in {*selection.files, *(file.path for file in others)}:
            raise NotFoundError(f"The script {job.script[:200]!r} is none of the files that travel.")
        return self._bundle(selection, job.script, job.arguments, *others)

    def _bundle(
        self, selection: Selection, script_path: str, travelling: tuple[str, ...], *others: BundleFile
    ) -> Bundle:
        files = (*others, *(self._store(path, source) for path, source in sorted(selection.files.items())))
        manifest = BundleManifest(files)
        content = encode_json(manifest)
        if len(content) > MAX_MANIFEST_BYTES:
            raise too_many(len(files))
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


def tool_path(name: str) -> str:
    """Return where the script of a tool lies in a bundle: in a hidden folder, so no file of a workspace is ever there."""
    return f".edgeloop/{name}.py"


def job_path(path: str) -> str:
    """Return where a file of a job's folder lies in a bundle, by its path in that folder."""
    return f".edgeloop/job/{path}"


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
