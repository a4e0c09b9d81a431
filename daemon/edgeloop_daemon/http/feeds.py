"""What can be followed: the events and the logs of jobs and runs, each as pages that come when there is something new.

The first page comes at once. After `QUIET_SECONDS` without news there is an empty one, so that the peer sees that all is well.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator

from edgeloop_daemon.devices.runs import LogPage as RunLogPage
from edgeloop_daemon.devices.runs import Runs
from edgeloop_daemon.events.event_log import Choice, EventLog, EventPage
from edgeloop_daemon.events.kinds import KINDS
from edgeloop_daemon.jobs.jobs import Jobs
from edgeloop_daemon.jobs.log_page import LogPage as JobLogPage
from edgeloop_shared.errors import InvalidInputError

QUIET_SECONDS = 15.0
_LOG_BYTES = 65536
_EVENTS = 100  # at a time: a client's WebSocket may take no more than a few megabytes in one message


async def follow_events(log: EventLog, since: int | None, choice: Choice) -> AsyncIterator[EventPage]:
    """Yield what happens behind the cursor `since` (None: from now on), without end."""
    clock = asyncio.get_running_loop().time
    cursor = log.latest if since is None else since
    told_at = -math.inf
    while True:
        page = await log.page(cursor, limit=_EVENTS, choice=choice)
        cursor = page.next
        if page.items or page.reset or clock() >= told_at + QUIET_SECONDS:
            yield page
            told_at = clock()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(told_at + QUIET_SECONDS):
                await log.wait(cursor)


async def follow_job_log(jobs: Jobs, job: str, offset: int) -> AsyncIterator[JobLogPage]:
    """Yield a job's log from the byte `offset` on, until the job ends. Raises `NotFoundError`."""
    page = await jobs.log(job, offset=offset, limit=_LOG_BYTES)
    yield page
    while not page.ended:
        page = await jobs.log(job, offset=page.next_offset, limit=_LOG_BYTES, wait=QUIET_SECONDS)
        yield page


async def follow_run_log(runs: Runs, run: str, offset: int) -> AsyncIterator[RunLogPage]:
    """Yield a run's output behind `offset` (zero, or an earlier page's `next_offset`), until the run ends.

    Raises `NotFoundError`.
    """
    page = await runs.log(run, offset, _LOG_BYTES)
    yield page
    while not page.ended:
        page = await runs.log(run, page.next_offset, _LOG_BYTES, QUIET_SECONDS)
        yield page


def choice_of(kinds: tuple[str, ...], workspace: str | None) -> Choice:
    """Return the choice of events by kinds (`job.failed`) and groups of them (`job`). Raises `InvalidInputError`."""
    groups = {kind.partition(".")[0] for kind in KINDS}
    unknown = [kind for kind in kinds if kind not in KINDS and kind not in groups]
    if unknown:
        message = f"{unknown[0]!r} is no kind of event"
        raise InvalidInputError(
            f"{message}.",
            hint=f"There are the groups {', '.join(sorted(groups))}, and in them: {', '.join(KINDS)}.",
            details={"fields": [{"field": "kinds", "message": message}]},
        )
    return Choice(kinds, workspace)
