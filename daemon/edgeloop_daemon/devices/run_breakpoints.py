"""The breakpoints on operators that go with a run, and their references among the files of its workspace."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgeloop_daemon.devices.selection import bundle_path
from edgeloop_shared.errors import InvalidInputError, NotFoundError
from edgeloop_shared.operator_breakpoints import OperatorBreakpointOrder

MAX_REFERENCES = 1000  # files of one breakpoint
_SUFFIX = ".npy"


@dataclass(frozen=True)
class RunBreakpoint:
    """What a worker is told of a breakpoint, and where in the workspace its references lie: a folder, or one `.npy` file."""

    order: OperatorBreakpointOrder
    reference: str | None = None


@dataclass(frozen=True)
class RunBreakpoints:
    """Those that a run begins with. `with_kept` says whether what the workspace keeps is for it, also what is added later."""

    items: tuple[RunBreakpoint, ...] = ()
    with_kept: bool = False

    @property
    def orders(self) -> tuple[OperatorBreakpointOrder, ...]:
        """What its worker is told."""
        return tuple(one.order for one in self.items)


NO_BREAKPOINTS = RunBreakpoints()


def reference_folder(breakpoint_id: str) -> str:
    """Return where among a run's files the references of a breakpoint lie: where no file of a workspace is ever put."""
    return f".edgeloop/references/{breakpoint_id}"


def reference_files(root: Path, breakpoints: Iterable[RunBreakpoint]) -> dict[str, str]:
    """Return the references of breakpoints: by their path among the run's files that from the workspace's `root`. Blocks.

    Raises `NotFoundError`, `InvalidInputError`, and `BundleError` for a path that leaves the workspace.
    """
    return {
        f"{one.order.reference}/{PurePosixPath(path).name}": path
        for one in breakpoints
        if one.reference is not None
        for path in _arrays(root, one.reference)
    }


def _arrays(root: Path, reference: str) -> Iterator[str]:
    path = bundle_path(root.resolve(), reference, "reference")
    if path.endswith(_SUFFIX) and (root / path).is_file():
        yield path
        return
    if not (root / path).is_dir():
        raise NotFoundError(
            f"There is no folder or `.npy` file {path} in the workspace {root}.",
            hint="Record one: with edgeloop_task.record('reference'): model(x)",
        )
    found = sorted(one.name for one in (root / path).iterdir() if one.name.endswith(_SUFFIX))
    if not found or len(found) > MAX_REFERENCES:
        raise InvalidInputError(
            f"The folder {path} holds {len(found)} `.npy` files; a breakpoint takes 1 to {MAX_REFERENCES}.",
            hint="The file of the operator conv1 is conv1.npy.",
        )
    for name in found:
        yield f"{path}/{name}"
