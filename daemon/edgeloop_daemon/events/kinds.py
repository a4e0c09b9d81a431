"""The kinds of events: one typed declaration each, from which the documentation lists them.

An event is small: it says what happened to what. Who needs more asks for the job, the run or the device that it names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from edgeloop_shared.device_states import Activity


@dataclass(frozen=True)
class Occurrence:
    """Base of what can happen. `kind` is its stable name.

    `subject` is the field that says what it happened to. A kind that `supersedes` makes earlier events of the same kind and
    subject worthless: they are removed from the log (those who follow it have seen them).
    """

    kind: ClassVar[str]
    subject: ClassVar[str | None] = None
    supersedes: ClassVar[bool] = False


@dataclass(frozen=True)
class DaemonStarted(Occurrence):
    """The daemon has started. No device is linked at that moment, whatever earlier events say."""

    kind = "daemon.started"
    version: str


@dataclass(frozen=True)
class DaemonStopped(Occurrence):
    """The daemon stops in good order; one that is killed says nothing."""

    kind = "daemon.stopped"


@dataclass(frozen=True)
class JobQueued(Occurrence):
    """A job was accepted and waits for its turn."""

    kind = "job.queued"
    subject = "job"
    job: str
    name: str
    work: Literal["tool", "train", "operation"]


@dataclass(frozen=True)
class JobStarted(Occurrence):
    """A job runs."""

    kind = "job.started"
    subject = "job"
    job: str


@dataclass(frozen=True)
class JobProgressed(Occurrence):
    """How far a job is, at most twice a second; `fraction` is in 0..1, or null where nobody can know."""

    kind = "job.progress"
    subject = "job"
    supersedes = True
    job: str
    fraction: float | None
    message: str


@dataclass(frozen=True)
class JobSucceeded(Occurrence):
    """A job has ended and has a result."""

    kind = "job.succeeded"
    subject = "job"
    job: str


@dataclass(frozen=True)
class JobFailed(Occurrence):
    """A job has failed; `code` and `message` are those of its error."""

    kind = "job.failed"
    subject = "job"
    job: str
    code: str
    message: str


@dataclass(frozen=True)
class JobCancelled(Occurrence):
    """A job was cancelled."""

    kind = "job.cancelled"
    subject = "job"
    job: str


@dataclass(frozen=True)
class RunQueued(Occurrence):
    """A run was accepted and its device is told."""

    kind = "run.queued"
    subject = "run"
    run: str
    device: str
    script: str


@dataclass(frozen=True)
class RunTransferred(Occurrence):
    """How many of its bundle's missing bytes have arrived on the device, at most twice a second."""

    kind = "run.transfer"
    subject = "run"
    supersedes = True
    run: str
    received: int
    total: int


@dataclass(frozen=True)
class RunProgressed(Occurrence):
    """How far a run's script says that it is, at most twice a second; `total` is null where nobody can know."""

    kind = "run.progress"
    subject = "run"
    supersedes = True
    run: str
    done: float
    total: float | None
    text: str


@dataclass(frozen=True)
class RunWaiting(Occurrence):
    """A run waits for a worker of its device, behind `before` others; `running` runs have the workers.

    `before_of_others` and `running_of_others` say how many of each belong to other computers; null where the device does not say.
    """

    kind = "run.waiting"
    subject = "run"
    supersedes = True
    run: str
    before: int
    before_of_others: int | None = None
    running: int | None = None
    running_of_others: int | None = None


@dataclass(frozen=True)
class RunStarted(Occurrence):
    """A run's script has begun on its device."""

    kind = "run.started"
    subject = "run"
    run: str


@dataclass(frozen=True)
class RunFileReported(Occurrence):
    """A run's script has reported a file, whose bytes follow."""

    kind = "run.file"
    subject = "run"
    run: str
    name: str
    size: int


@dataclass(frozen=True)
class RunOperatorHit(Occurrence):
    """Breakpoints on operators have hit, `hits` times in this run so far; at most twice a second. The latest one is named.

    `operator` and `breakpoint` are the device's words.
    """

    kind = "run.operator-hit"
    subject = "run"
    supersedes = True
    run: str
    hits: int
    operator: str
    breakpoint: str


@dataclass(frozen=True)
class RunPaused(Occurrence):
    """A run waits at an operator until it is told how to go on; `operator` is the device's word."""

    kind = "run.paused"
    subject = "run"
    run: str
    stop: int
    operator: str


@dataclass(frozen=True)
class RunResumed(Occurrence):
    """A run that waited at an operator goes on."""

    kind = "run.resumed"
    subject = "run"
    run: str
    stop: int
    answer: str


@dataclass(frozen=True)
class RunReturned(Occurrence):
    """A run that had ended because its device was lost goes on: the device is back and still has it."""

    kind = "run.returned"
    subject = "run"
    run: str


@dataclass(frozen=True)
class RunSucceeded(Occurrence):
    """A run has ended well, and all that it has reported is here."""

    kind = "run.succeeded"
    subject = "run"
    run: str


@dataclass(frozen=True)
class RunFailed(Occurrence):
    """A run has failed; `code` and `message` are those of its error."""

    kind = "run.failed"
    subject = "run"
    run: str
    code: str
    message: str


@dataclass(frozen=True)
class RunCancelled(Occurrence):
    """A run was cancelled."""

    kind = "run.cancelled"
    subject = "run"
    run: str


@dataclass(frozen=True)
class DevicePaired(Occurrence):
    """A device was paired; `name` is its own word."""

    kind = "device.paired"
    subject = "device"
    device: str
    name: str


@dataclass(frozen=True)
class DeviceLinked(Occurrence):
    """A device has linked from `address`: runs can be sent to it."""

    kind = "device.linked"
    subject = "device"
    device: str
    address: str


@dataclass(frozen=True)
class DeviceUnlinked(Occurrence):
    """A device's link has ended."""

    kind = "device.unlinked"
    subject = "device"
    device: str


@dataclass(frozen=True)
class DeviceReported(Occurrence):
    """A linked device says how it is. What it does not tell is null; the device itself says more (`state`)."""

    kind = "device.state"
    subject = "device"
    supersedes = True
    device: str
    activity: Activity | None
    battery_percent: int | None
    celsius: float | None
    is_storage_low: bool


@dataclass(frozen=True)
class DeviceRevoked(Occurrence):
    """A device was unpaired; `by_device` tells that its own user did so."""

    kind = "device.revoked"
    subject = "device"
    device: str
    by_device: bool = False


@dataclass(frozen=True)
class PhoneSeen(Occurrence):
    """A phone announces itself nearby. `name` is random; `device` is the paired device that it is, or null."""

    kind = "phone.seen"
    subject = "name"
    name: str
    device: str | None


@dataclass(frozen=True)
class PhoneGone(Occurrence):
    """A phone announces itself no more."""

    kind = "phone.gone"
    subject = "name"
    name: str
    device: str | None


@dataclass(frozen=True)
class PairingOpened(Occurrence):
    """A pairing window was opened; it expires at `expires_at`, in seconds since the UNIX epoch."""

    kind = "pairing.opened"
    expires_at: float


@dataclass(frozen=True)
class PairingTriedWrongly(Occurrence):
    """Somebody came with a wrong code; `wrong_tries` counts those of this window."""

    kind = "pairing.wrong-try"
    wrong_tries: int


@dataclass(frozen=True)
class PairingClosed(Occurrence):
    """The pairing window has ended; `state` is `paired`, `expired`, `guessed` (too often) or `closed`."""

    kind = "pairing.closed"
    state: str


@dataclass(frozen=True)
class WorkspaceOpened(Occurrence):
    """A folder was opened as a workspace."""

    kind = "workspace.opened"
    subject = "workspace"
    workspace: str
    name: str
    path: str


@dataclass(frozen=True)
class WorkspaceClosed(Occurrence):
    """A workspace was closed; its files stay."""

    kind = "workspace.closed"
    subject = "workspace"
    workspace: str


@dataclass(frozen=True)
class WorkspaceTrusted(Occurrence):
    """A workspace's code may run from now on."""

    kind = "workspace.trusted"
    subject = "workspace"
    workspace: str


@dataclass(frozen=True)
class WorkspaceDistrusted(Occurrence):
    """A workspace's code may not run any more."""

    kind = "workspace.distrusted"
    subject = "workspace"
    workspace: str


@dataclass(frozen=True)
class BreakpointAdded(Occurrence):
    """A breakpoint was added to a workspace; `breakpoint_kind` is `line`, `exception` or `operator`."""

    kind = "breakpoint.added"
    subject = "breakpoint"
    breakpoint: str
    breakpoint_kind: str


@dataclass(frozen=True)
class BreakpointRemoved(Occurrence):
    """A breakpoint was removed."""

    kind = "breakpoint.removed"
    subject = "breakpoint"
    breakpoint: str


@dataclass(frozen=True)
class DebugStarted(Occurrence):
    """A debug session has begun to debug a run."""

    kind = "debug.started"
    subject = "session"
    session: str
    run: str
    device: str
    script: str


@dataclass(frozen=True)
class DebugWaiting(Occurrence):
    """A debug session's script waits for an editor to attach."""

    kind = "debug.waiting"
    subject = "session"
    session: str


@dataclass(frozen=True)
class DebugRunning(Occurrence):
    """A debug session's script runs, for the first time or again after it was paused or its device away."""

    kind = "debug.running"
    subject = "session"
    supersedes = True
    session: str


@dataclass(frozen=True)
class DebugPaused(Occurrence):
    """A debug session has stopped at `line` of `file`, which is relative to the workspace where it is one of its files."""

    kind = "debug.paused"
    subject = "session"
    supersedes = True
    session: str
    file: str | None
    line: int | None
    function: str
    reason: str
    description: str
    thread: int


@dataclass(frozen=True)
class DebugLinkLost(Occurrence):
    """The link to a debug session's device is lost; the session goes on when it is back."""

    kind = "debug.link-lost"
    subject = "session"
    session: str


@dataclass(frozen=True)
class DebugOutput(Occurrence):
    """The debugger of a session prints, for a logpoint say; at most 500 times per session."""

    kind = "debug.output"
    subject = "session"
    session: str
    text: str


@dataclass(frozen=True)
class DebugEnded(Occurrence):
    """A debug session has ended; `code` is that of the error, null where there is none."""

    kind = "debug.ended"
    subject = "session"
    session: str
    reason: str
    code: str | None


@dataclass(frozen=True)
class TokenCreated(Occurrence):
    """A token was made."""

    kind = "token.created"
    subject = "name"
    name: str


@dataclass(frozen=True)
class TokenRevoked(Occurrence):
    """A token was revoked; the streams that it had opened have ended."""

    kind = "token.revoked"
    subject = "name"
    name: str


@dataclass(frozen=True)
class StoragePruned(Occurrence):
    """Old jobs and runs were removed, and traces of runs that stay."""

    kind = "storage.pruned"
    jobs: int
    runs: int
    traces: int
    freed_bytes: int


KINDS: Mapping[str, type[Occurrence]] = {
    one.kind: one
    for one in (
        *(DaemonStarted, DaemonStopped),
        *(JobQueued, JobStarted, JobProgressed, JobSucceeded, JobFailed, JobCancelled),
        *(
            RunQueued,
            RunTransferred,
            RunWaiting,
            RunStarted,
            RunProgressed,
            RunFileReported,
            RunOperatorHit,
            RunPaused,
            RunResumed,
        ),
        *(RunReturned, RunSucceeded, RunFailed, RunCancelled),
        *(DevicePaired, DeviceLinked, DeviceUnlinked, DeviceRevoked),
        *(PhoneSeen, PhoneGone),
        *(PairingOpened, PairingTriedWrongly, PairingClosed),
        *(WorkspaceOpened, WorkspaceClosed, WorkspaceTrusted, WorkspaceDistrusted),
        *(BreakpointAdded, BreakpointRemoved),
        *(DebugStarted, DebugWaiting, DebugRunning, DebugPaused, DebugLinkLost, DebugOutput, DebugEnded),
        *(TokenCreated, TokenRevoked),
        *(StoragePruned,),
    )
}

_MAX_MESSAGE = 500


def job_ended(job: str, state: str, error: Mapping[str, Any] | None) -> Occurrence:
    """Return what has happened to a job that ends in `state`; `error` is the JSON form of its error."""
    if state == "succeeded":
        return JobSucceeded(job)
    return JobCancelled(job) if state == "cancelled" else JobFailed(job, *_code_and_message(error))


def run_ended(run: str, state: str, error: Mapping[str, Any] | None) -> Occurrence:
    """Return what has happened to a run that ends in `state`; `error` is the JSON form of its error."""
    if state == "succeeded":
        return RunSucceeded(run)
    return RunCancelled(run) if state == "cancelled" else RunFailed(run, *_code_and_message(error))


def _code_and_message(error: Mapping[str, Any] | None) -> tuple[str, str]:
    known = error or {}
    return str(known.get("code", "error"))[:100], str(known.get("message", ""))[:_MAX_MESSAGE]
