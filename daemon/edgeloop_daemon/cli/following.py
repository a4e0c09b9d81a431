"""Following long work in the terminal: log lines, a progress line, and Ctrl-C."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import click

from edgeloop_daemon.cli.client import Client, Record
from edgeloop_daemon.cli.output import ProgressLine, clean, clean_lines, size
from edgeloop_shared.errors import (
    CancelledByUserError,
    DaemonUnreachableError,
    EdgeloopError,
    TaskFailedError,
    error_from_dict,
)
from edgeloop_shared.progress import progress_fraction, progress_words

_PROGRESS_SECONDS = 1


def follow_job(client: Client, job: Record, label: str, *, show_log: bool) -> Record:
    """Wait until a job ends and return it; Ctrl-C cancels it. Raises the job's error when it failed."""
    line = ProgressLine(label)
    offset = 0
    with _followed(client, "jobs", job["id"]):
        ended = False
        while not ended:
            page = client.get(f"/jobs/{job['id']}/log", offset=offset, wait=_PROGRESS_SECONDS)
            offset, ended = page["next_offset"], page["ended"]
            if show_log and page["text"]:
                line.clear()
                click.echo(clean_lines(page["text"]), nl=False, err=True)
            job = client.get(f"/jobs/{job['id']}")
            progress = job["progress"] or {}
            line.show(progress.get("fraction"), progress.get("message") or job["state"])
    line.clear()
    raise_error_of(job, log_was_shown=show_log)
    return job


def follow_run(
    client: Client, run: Record, label: str, *, show_log: bool, to_stdout: bool = True, show_last: bool = False
) -> Record:
    """Wait until a run on a device ends and return it; its output goes where the script sent it. Ctrl-C cancels it.

    With `show_last` the progress line shows the last line of output.
    """
    line = ProgressLine(label)
    line.show(None, run["state"])
    offset, paused, looked_at = 0, "", 0.0
    with _followed(client, "runs", run["id"]):
        ended = False
        while not ended:
            page = client.get(f"/runs/{run['id']}/log", offset=offset, wait=_PROGRESS_SECONDS)
            offset, ended = page["next_offset"], page["ended"]
            if show_log and page["items"]:
                line.clear()
                for item in page["items"]:
                    click.echo(clean(item["text"]), file=_target(item, to_stdout))
            if show_last and page["items"]:
                line.show(None, page["items"][-1]["text"])
            elif not ended and (not (page["items"] and show_log) or time.monotonic() >= looked_at + _PROGRESS_SECONDS):
                run, looked_at = client.get(f"/runs/{run['id']}"), time.monotonic()
                if run["state"] == "running" and paused != (run["message"] or ""):
                    paused = run["message"] or ""
                    line.clear()
                    _say_how_to_go_on(run)
                line.show(*_progress_of(run))
                ended = run["may_return"] and not page["items"]  # nobody knows when
            elif not ended and run["progress"]:
                line.show(*_progress_of(run))  # again, below what was just printed
    run = client.get(f"/runs/{run['id']}", wait=30)
    line.clear()
    raise_error_of(run, log_was_shown=show_log)
    return run


def follow_tool(client: Client, run: Record, label: str) -> Record:
    """Wait as `follow_run` does, for a tool of edgeloop's own on a device: its progress is the last line that it said.

    Raises what the tool raised, not that a task raised it.
    """
    try:
        return follow_run(client, run, label, show_log=False, show_last=True)
    except TaskFailedError as error:
        cause = error.details.get("cause")
        raise error_from_dict(cause) if cause else error from None


def raise_error_of(work: Record, *, log_was_shown: bool) -> None:
    """Raise the error of a job or a run that failed or was cancelled; without the traceback that stands in a log that was shown."""
    if work["state"] == "cancelled":
        if work["error"]:  # somebody else wanted it
            raise error_from_dict(work["error"])
        raise CancelledByUserError(f"{work['id']} was cancelled.")
    if work["state"] == "failed":
        error = error_from_dict(work["error"]) if work["error"] else EdgeloopError(f"{work['id']} failed.")
        if log_was_shown:
            error.details.pop("traceback", None)
        raise error


def _say_how_to_go_on(run: Record) -> None:
    if run["message"]:
        ways = f"`edgeloop break show {run['id']}` shows it, `edgeloop break continue {run['id']}` goes on."
        click.echo(f"{clean(run['message'])}: {ways}", err=True)


def _progress_of(run: Record) -> tuple[float | None, str]:
    transfer, progress = run["transfer"], run["progress"]
    if run["message"]:
        return None, run["message"]
    if run["state"] == "preparing" and transfer and transfer["total"]:
        done = f"sent {size(transfer['received'])} of {size(transfer['total'])}"
        return transfer["received"] / transfer["total"], done
    if run["state"] == "running" and progress:
        amounts = progress["done"], progress["total"]
        return progress_fraction(*amounts), f"{progress_words(*amounts)} {progress['text']}"
    return None, str(run["state"])


def _target(item: Record, to_stdout: bool) -> TextIO:
    return sys.stdout if to_stdout and item["source"] == "stdout" else sys.stderr


@contextmanager
def _followed(client: Client, kind: str, work: str) -> Iterator[None]:
    """Cancel the work on Ctrl-C, and tell how to follow it again when the daemon, without which it goes on, has ended."""
    try:
        yield
    except KeyboardInterrupt:
        Client(client.folders).delete(
            f"/{kind}/{work}"
        )  # a connection of its own: the interrupted one is in the middle of an answer
        raise CancelledByUserError("Cancelled.") from None
    except DaemonUnreachableError as error:
        hint = f"{work} may go on without it: `edgeloop logs -f {work}` starts the daemon and follows."
        raise DaemonUnreachableError(error.message, hint=hint) from None
